"""A journal of replies, each on disk at once, so that no paid request is repeated."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from math import inf
from pathlib import Path

from vlm_gym import strict
from vlm_gym.episode import Episode
from vlm_gym.registry import find
from vlm_gym.render import look
from vlm_gym.rollouts.policy import Policy, RawReply, Refusal, Request
from vlm_gym.rollouts.position import to_episode
from vlm_gym.storage import Appender, LineFormat, dumps, read_lines

LATE = RawReply("", {"late": 1.0})
"""What counts as the reply once the time of an episode is up: a turn that is lost."""


class Silent(RuntimeError):
    """A policy gave no reply. Its `__cause__` is what the policy raised."""


class Journal:
    """A policy that writes every reply down, and gives those that it finds written down.

    Played again with the same journal, episodes go as they went, up to the reply that is missing. All replies
    of an episode may take `reply_budget` seconds; later ones are `LATE`. With `mute`, nothing new is
    asked for. Raises `ValueError` for a file that holds something else, `Silent` where there is no reply.
    """

    portable = False

    def __init__(
        self,
        policy: Policy,
        path: Path,
        episodes: Iterable[Episode],
        reply_budget: float = inf,
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = policy.name
        self.sees = policy.sees
        self.mute = False
        self._policy = policy
        self._reply_budget = reply_budget
        self._heard = heard
        self._episodes = {_deal(episode): episode for episode in episodes}
        self._said: dict[tuple[Episode, int], RawReply] = {}
        self._spent: dict[Episode, float] = {}
        for episode, number, said in read_lines(path, REPLY_LINES):
            self._remember(episode, number, said)
        self._file = Appender(path, REPLY_LINES)
        if hasattr(policy, "heard"):
            policy.heard = self._hear

    def act(self, requests: Sequence[Request]) -> list[str]:
        """Reply to each request, from the journal or by the policy."""
        asked = [request for request in requests if self._address(request) not in self._said]
        for request in asked:
            if self._spent.get(self._address(request)[0], 0.0) >= self._reply_budget:
                self._hear(request, LATE)
        asked = [request for request in asked if self._address(request) not in self._said]
        if asked:
            if self.mute:
                raise Silent(f"{self.name} has not replied to this yet")
            try:
                replies = self._policy.act(asked)
            except Exception as error:  # any error of a model or its server
                words = str(error)  # ours begin with the name
                mine = words.startswith(self.name)
                raise Silent(words if mine else f"{self.name} gave no reply: {words}") from error
            for request, reply in zip(asked, replies, strict=True):
                self._hear(request, reply)
        return [self._said[self._address(request)] for request in requests]

    def __len__(self) -> int:
        return len(self._said)

    def knows(self, episode: Episode) -> bool:
        """Return whether the journal holds a reply of this episode."""
        return (episode, 0) in self._said

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _hear(self, request: Request, reply: str) -> None:
        """Write down a reply, unless it is there; policies call this as soon as they have one."""
        episode, number = self._address(request)
        if (episode, number) in self._said:
            return
        said = reply if isinstance(reply, RawReply) else RawReply(reply, {})
        entry: dict[str, object] = {
            "episode": asdict(episode),
            "number": number,
            "reply": str(said),
            "usage": said.usage,
        }
        if isinstance(said, Refusal):
            entry["refused"] = said.why
        self._file.write(f"{dumps(entry)}\n")
        self._remember(episode, number, said)
        self._heard()

    def _remember(self, episode: Episode, number: int, said: RawReply) -> None:
        self._said[episode, number] = said
        self._spent[episode] = self._spent.get(episode, 0.0) + said.usage.get("seconds", 0.0)

    def _address(self, request: Request) -> tuple[Episode, int]:
        state = request.state
        return self._episodes[request.game.name, state.knobs, state.seed, request.look], request.number


def _deal(episode: Episode) -> tuple[object, ...]:
    """Return a key of an episode that is computed from what a request shows of it."""
    return episode.game, find(episode.game).settle(episode.reasoning), episode.seed, look(episode.perception)


def to_raw_reply(data: Mapping[str, object]) -> RawReply:
    """Make a reply or a refusal of the entries ``reply`` and ``usage``, or ``refused``.

    Raises `ValueError` for entries of another type. An amount that is not a number counts as not reported.
    """
    if "refused" in data:
        return Refusal(strict.text(data["refused"], "refused"))
    for name in ("reply", "usage"):
        if name not in data:
            raise ValueError(f"the line has no {name!r}")
    if not isinstance(data["usage"], dict):
        raise ValueError(f"usage is {strict.shown(data['usage'])}, not an object")
    return RawReply(strict.text(data["reply"], "reply"), data["usage"])


def _entry(line: str) -> tuple[Episode, int, RawReply]:
    optional = ("reply", "usage", "refused")
    data = strict.record(strict.parse(line), "the line", ("episode", "number", *optional), optional)
    return to_episode(data["episode"]), strict.whole(data["number"], "number", 0), to_raw_reply(data)


REPLY_LINES = LineFormat("replies", b'{"episode":', _entry)
"""What a journal is made of."""
