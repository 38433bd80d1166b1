"""Episodes in, turns out: many games play at once, and the policy sees them in batches."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from vlm_gym.actions import parse_for
from vlm_gym.envs.run import Run
from vlm_gym.episode import Episode
from vlm_gym.game import Step
from vlm_gym.prompt import instructions
from vlm_gym.registry import find
from vlm_gym.render import look
from vlm_gym.rollouts.history import History
from vlm_gym.rollouts.policy import PastTurn, Policy, RawReply, Refusal, Request, reply_to_all
from vlm_gym.rollouts.record import Turn, fingerprint
from vlm_gym.rollouts.reward import following, sight, terms
from vlm_gym.workers import Pool, ask, pool

LANES = 64
"""Episodes that are played at the same time: the largest batch a policy is asked for."""

_AHEAD = 4
"""Episodes, in units of `lanes`, that may be finished or in play behind the oldest one in play."""


@dataclass
class _Lane:
    """An episode in play and the turns it has had so far."""

    episode: Episode
    run: Run
    text: str
    turns: list[Turn] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether the episode is finished: the game is over, out of turns, or a reply was refused."""
        return self.run.ended or bool(self.turns and self.turns[-1].refused)


def rollout(
    episodes: Iterable[Episode],
    policy: Policy,
    workers: int | Pool = 0,
    lanes: int = LANES,
    history: History | int | None = None,
) -> Iterator[Turn]:
    """Play episodes and give their turns: episode by episode in the order asked for, turn by turn.

    With `workers`, games are played in that many processes, or in a pool such as `cluster.Cluster`. A
    `portable` policy is copied into them; any other stays here, and the processes send it their requests, in
    batches. `lanes` episodes are played at the same time, in all processes together. The next begins when one
    ends, but not too far ahead of the oldest one still in play, so memory does not grow behind a long game or
    a slow reader. Neither order nor content depends on `workers` or `lanes`. A request shows what
    `history` says of the turns before; a number is that of the turns, with replies as they were written. An
    episode in which a reply is refused (`Refusal`) ends with that turn; the others continue.
    """
    if lanes < 1:
        raise ValueError(f"lanes={lanes} is not possible; at least one episode is played at a time")
    shown = history if isinstance(history, History) else History(history)
    crew = pool(workers)
    if crew is None:
        return _here(episodes, policy, lanes, shown)
    return _there(episodes, policy, crew, lanes, shown)


def _here(episodes: Iterable[Episode], policy: Policy, lanes: int, history: History) -> Iterator[Turn]:
    """Play in this process."""
    waiting = iter(episodes)
    begun: deque[_Lane] = deque()
    while True:
        playing = [lane for lane in begun if not lane.ended]
        while len(playing) < lanes and len(begun) < _AHEAD * lanes:
            if (episode := next(waiting, None)) is None:
                break
            playing.append(_lane(episode))
            begun.append(playing[-1])
        if not begun:
            return
        _turn(playing, policy, history)
        while begun and begun[0].ended:
            yield from begun.popleft().turns


class _Chunk(tuple[Episode, ...]):
    """Episodes for one process at a time."""

    def __str__(self) -> str:
        return f"{len(self)} episodes from {self[0]} to {self[-1]}"


def _there(
    episodes: Iterable[Episode], policy: Policy, crew: Pool, lanes: int, history: History
) -> Iterator[Turn]:
    """Play in the processes of a pool."""
    share = max(1, lanes // crew.size)
    waiting = iter(episodes)
    chunks = iter(lambda: _Chunk(islice(waiting, share)), _Chunk())
    sent = policy if policy.portable else _Far(policy.name, policy.sees)
    answer = None if policy.portable else partial(reply_to_all, policy)
    for turns in crew.map(partial(_play_chunk, sent, history), chunks, answer):
        yield from turns


def _play_chunk(policy: Policy, history: History, chunk: _Chunk) -> list[Turn]:
    return list(_here(chunk, policy, len(chunk), history))


@dataclass
class _Far:
    """In a worker process, a proxy of a policy in the parent process."""

    name: str
    sees: bool
    portable: bool = True

    def act(self, requests: Sequence[Request]) -> list[str]:
        replies: list[str] = ask(requests)
        return replies


def _lane(episode: Episode) -> _Lane:
    game = find(episode.game)
    run = Run(game, game.settle(episode.reasoning), look(episode.perception))
    run.start(episode.seed)
    return _Lane(episode, run, instructions(game, run.knobs))


def _request(lane: _Lane, history: History) -> Request:
    run = lane.run
    count = history.count(run.game)
    recent = lane.turns[-count:] if count else []
    past = [past_of(turn) for turn in recent]
    return Request(run.game, run.state, run.look, run.turns, lane.text, history.shown(run.game, past))


def past_of(turn: Turn) -> PastTurn:
    """Return a turn as later requests show it: why it was lost, or else what happened in the game."""
    return PastTurn(turn.state, turn.reply, turn.error or turn.event)


def _turn(lanes: list[_Lane], policy: Policy, history: History) -> None:
    """Request one reply in every lane and play it."""
    requests = [_request(lane, history) for lane in lanes]
    for lane, reply in zip(lanes, policy.act(requests), strict=True):
        picture = fingerprint(lane.run.picture()) if policy.sees else ""
        lane.turns.append(play(lane.run, lane.episode, policy.name, reply, picture))


def play(run: Run, episode: Episode, policy: str, reply: str, picture: str) -> Turn:
    """Play one reply, and record what came of it: the same for models, solvers and people.

    A refused reply is a turn without an action, and the last one of its episode.
    """
    number = run.turns
    before = run.state
    said = reply if isinstance(reply, RawReply) else RawReply(reply, {})
    refused = said.why if isinstance(said, Refusal) else ""
    parsed = parse_for(run.game, before, said, run.legal)
    error = f"the endpoint refused to reply: {refused}" if refused else parsed.error
    outcome = run.step(parsed.action, error)
    step = Step(run.state, outcome.reward, run.state.score - before.score, run.event)
    return Turn(
        episode=episode,
        policy=policy,
        number=number,
        state=before,
        reply=str(said),
        usage=said.usage,
        action=parsed.action,
        error=run.error,
        event=run.event,
        rewards=terms(parsed, step, sight(run.game, before, parsed), following(run.game, before, parsed)),
        score=run.state.score,
        terminated=outcome.terminated,
        truncated=outcome.truncated or bool(refused),
        success=run.game.success(run.state),
        picture=picture,
        refused=refused,
    )
