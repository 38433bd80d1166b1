"""A policy with a journal of its replies: played again, it gives those that are there already."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from math import inf
from pathlib import Path

from vlm_gym import strict
from vlm_gym.episode import Episode
from vlm_gym.recordings.position import to_episode
from vlm_gym.registry import find
from vlm_gym.render import look
from vlm_gym.rollouts.policy import Policy, RawReply, Request
from vlm_gym.rollouts.reply_file import ReplyFile, parse_line
from vlm_gym.storage import LineFormat

ReplyKey = tuple[Episode, int]
"""Which reply of a journal: the episode, and the number of the turn from 0."""
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
        on_reply: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = policy.name
        self.sees = policy.sees
        self.mute = False
        self._policy = policy
        self._reply_budget = reply_budget
        self._on_reply = on_reply
        self._episodes = {_deal(episode): episode for episode in episodes}
        self._replies = ReplyFile(path, REPLY_LINES, _key_entries)
        self._spent: dict[Episode, float] = {}
        for key in self._replies:
            self._count(key)
        if hasattr(policy, "on_reply"):
            policy.on_reply = self._keep

    def act(self, requests: Sequence[Request]) -> list[str]:
        """Reply to each request, from the journal or by the policy."""
        for request in self._unanswered(requests):
            episode, _ = self._key(request)
            if self._spent.get(episode, 0.0) >= self._reply_budget:
                self._keep(request, LATE)
        asked = self._unanswered(requests)
        if asked:
            if self.mute:
                raise Silent(f"{self.name} has not replied to this yet")
            try:
                replies = self._policy.act(asked)
            except Exception as error:  # any error of a model or its server
                message = str(error)  # ours begin with the name
                mine = message.startswith(self.name)
                raise Silent(message if mine else f"{self.name} gave no reply: {message}") from error
            for request, reply in zip(asked, replies, strict=True):
                self._keep(request, reply)
        return [self._replies[self._key(request)] for request in requests]

    def _unanswered(self, requests: Sequence[Request]) -> list[Request]:
        """Return the requests whose reply is not in the journal."""
        return [request for request in requests if self._key(request) not in self._replies]

    def __len__(self) -> int:
        return len(self._replies)

    def knows(self, episode: Episode) -> bool:
        """Return whether the journal holds a reply of this episode."""
        return (episode, 0) in self._replies

    def close(self) -> None:
        """Close the file."""
        self._replies.close()

    def _keep(self, request: Request, reply: str) -> None:
        """Write down a reply, unless it is there; policies call this as soon as they have one."""
        key = self._key(request)
        if key in self._replies:
            return
        self._replies.add(key, reply if isinstance(reply, RawReply) else RawReply(reply, {}))
        self._count(key)
        self._on_reply()

    def _count(self, key: ReplyKey) -> None:
        """Add the time that a reply took to that of its episode."""
        episode, _ = key
        seconds = self._replies[key].usage.get("seconds", 0.0)
        self._spent[episode] = self._spent.get(episode, 0.0) + seconds

    def _key(self, request: Request) -> ReplyKey:
        state = request.state
        return self._episodes[request.game.name, state.knobs, state.seed, request.look], request.number


def _deal(episode: Episode) -> tuple[object, ...]:
    """Return a key of an episode that is computed from what a request shows of it."""
    return episode.game, find(episode.game).settle(episode.reasoning), episode.seed, look(episode.perception)


def _key_entries(key: ReplyKey) -> Mapping[str, object]:
    episode, number = key
    return {"episode": asdict(episode), "number": number}


def _entry(line: str) -> tuple[ReplyKey, RawReply]:
    data, reply = parse_line(line, ("episode", "number"))
    return (to_episode(data["episode"]), strict.whole(data["number"], "number", 0)), reply


REPLY_LINES = LineFormat("replies", b'{"episode":', _entry)
"""What a journal is made of."""
