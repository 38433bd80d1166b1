"""Rollouts: many episodes are played at once, and the policy gets their requests in batches."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from vlm_gym.actions import parse_for
from vlm_gym.envs.run import Run
from vlm_gym.episode import Episode
from vlm_gym.game import Step
from vlm_gym.prompt import instructions
from vlm_gym.recordings.record import Turn, fingerprint
from vlm_gym.registry import find
from vlm_gym.render import look
from vlm_gym.rollouts.history import History
from vlm_gym.rollouts.policy import PastTurn, Policy, RawReply, Refusal, Request, reply_to_all
from vlm_gym.rollouts.reward import following, perception_accuracy, terms
from vlm_gym.worker_process import ask
from vlm_gym.workers import Pool, chunks, pool

PARALLEL_EPISODES = 64
"""Episodes that are played at the same time: the largest batch a policy is asked for."""

_AHEAD = 4
"""Episodes that may be finished or in play behind the oldest one in play, as a multiple of those in play."""


@dataclass
class _Playing:
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
    parallel_episodes: int = PARALLEL_EPISODES,
    history: History | int | None = None,
) -> Iterator[Turn]:
    """Play episodes and yield their turns: episode by episode in the order of `episodes`, turn by turn.

    With `workers`, games are played in that many processes, or in a pool such as `cluster.Cluster`. A
    `portable` policy is copied into them; any other stays here, and the processes send it their requests, in
    batches. So many `parallel_episodes` are played at the same time, in all processes together. The next
    begins when one ends, but not too far ahead of the oldest one in play, so memory does not grow behind
    a long game or a slow reader. Neither order nor content depends on `workers` or `parallel_episodes`.
    A request shows what `history` says of the turns before; a number is that of the turns, with replies as
    they were written. An episode in which a reply is refused (`Refusal`) ends with that turn; the others
    continue.
    """
    if parallel_episodes < 1:
        raise ValueError(f"parallel_episodes={parallel_episodes} is not possible; it is 1 or more")
    shown = history if isinstance(history, History) else History(history)
    crew = pool(workers)
    if crew is None:
        return _play_here(episodes, policy, parallel_episodes, shown)
    return _play_in_pool(episodes, policy, crew, parallel_episodes, shown)


def _play_here(
    episodes: Iterable[Episode], policy: Policy, parallel: int, history: History
) -> Iterator[Turn]:
    """Play in this process."""
    waiting = iter(episodes)
    begun: deque[_Playing] = deque()
    while True:
        playing = [each for each in begun if not each.ended]
        while len(playing) < parallel and len(begun) < _AHEAD * parallel:
            if (episode := next(waiting, None)) is None:
                break
            playing.append(_start(episode))
            begun.append(playing[-1])
        if not begun:
            return
        _turn(playing, policy, history)
        while begun and begun[0].ended:  # in order: what ends earlier waits for the oldest
            yield from begun.popleft().turns


def _play_in_pool(
    episodes: Iterable[Episode], policy: Policy, crew: Pool, parallel: int, history: History
) -> Iterator[Turn]:
    """Play in the processes of a pool."""
    share = max(1, parallel // crew.size)  # parallel episodes of each process
    sent = policy if policy.portable else _RemotePolicy(policy.name, policy.sees)
    answer = None if policy.portable else partial(reply_to_all, policy)
    tasks = chunks(episodes, share, _name)
    for turns in crew.map(partial(_play_chunk, sent, history), tasks, answer):
        yield from turns


def _name(chunk: Sequence[Episode]) -> str:
    return f"{len(chunk)} episodes from {chunk[0]} to {chunk[-1]}"


def _play_chunk(policy: Policy, history: History, chunk: Sequence[Episode]) -> list[Turn]:
    return list(_play_here(chunk, policy, len(chunk), history))


@dataclass
class _RemotePolicy:
    """In a worker process, a proxy of a policy in the parent process."""

    name: str
    sees: bool
    portable: bool = True

    def act(self, requests: Sequence[Request]) -> list[str]:
        replies: list[str] = ask(requests)
        return replies


def _start(episode: Episode) -> _Playing:
    game = find(episode.game)
    run = Run(game, game.settle(episode.reasoning), look(episode.perception))
    run.start(episode.seed)
    return _Playing(episode, run, instructions(game, run.knobs))


def _request(playing: _Playing, history: History) -> Request:
    run = playing.run
    count = history.count(run.game)
    recent = playing.turns[-count:] if count else []
    past = [past_of(turn) for turn in recent]
    return Request(run.game, run.state, run.look, run.turns, playing.text, history.shown(run.game, past))


def past_of(turn: Turn) -> PastTurn:
    """Return a turn as later requests show it: why it was lost, or else what happened in the game."""
    return PastTurn(turn.state, turn.reply, turn.error or turn.event)


def _turn(playing: list[_Playing], policy: Policy, history: History) -> None:
    """Request one reply in every episode and play it."""
    requests = [_request(each, history) for each in playing]
    for each, reply in zip(playing, policy.act(requests), strict=True):
        picture = fingerprint(each.run.picture()) if policy.sees else ""
        each.turns.append(play_reply(each.run, each.episode, policy.name, reply, picture))


def play_reply(run: Run, episode: Episode, policy: str, reply: str, picture: str) -> Turn:
    """Play one reply, and record what came of it: the same for models, solvers and people.

    A refused reply is a turn without an action, and the last one of its episode.
    """
    number = run.turns
    before = run.state
    raw = reply if isinstance(reply, RawReply) else RawReply(reply, {})
    refused = raw.why if isinstance(raw, Refusal) else ""
    parsed = parse_for(run.game, before, raw, run.legal)
    error = f"the endpoint refused to reply: {refused}" if refused else parsed.error
    outcome = run.step(parsed.action, error)
    step = Step(run.state, outcome.reward, run.state.score - before.score, run.event)
    return Turn(
        episode=episode,
        policy=policy,
        number=number,
        state=before,
        reply=str(raw),
        usage=raw.usage,
        action=parsed.action,
        error=run.error,
        event=run.event,
        rewards=terms(
            parsed, step, perception_accuracy(run.game, before, parsed), following(run.game, before, parsed)
        ),
        score=run.state.score,
        terminated=outcome.terminated,
        truncated=outcome.truncated or bool(refused),
        success=run.game.success(run.state),
        picture=picture,
        refused=refused,
    )
