"""Episodes in, turns out: many games play at once, and the policy sees them in batches."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from vlm_gym.actions import parse
from vlm_gym.episode import Episode
from vlm_gym.game import Step
from vlm_gym.policy import Policy, Request
from vlm_gym.prompt import instructions
from vlm_gym.record import Turn, fingerprint
from vlm_gym.registry import find
from vlm_gym.render import look
from vlm_gym.reward import terms
from vlm_gym.run import Run

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


def rollout(episodes: Iterable[Episode], policy: Policy, lanes: int = LANES) -> Iterator[Turn]:
    """Play episodes and give their turns: episode by episode in the order asked for, turn by turn.

    The next episode begins when one ends, but not too far ahead of the oldest one still in play, so memory
    does not grow behind a long game or a slow reader. Neither order nor content depends on `lanes`.
    """
    waiting = iter(episodes)
    begun: deque[_Lane] = deque()
    while True:
        playing = [lane for lane in begun if not lane.run.ended]
        while len(playing) < lanes and len(begun) < _AHEAD * lanes:
            if (episode := next(waiting, None)) is None:
                break
            playing.append(_lane(episode))
            begun.append(playing[-1])
        if not begun:
            return
        _turn(playing, policy)
        while begun and begun[0].run.ended:
            yield from begun.popleft().turns


def _lane(episode: Episode) -> _Lane:
    game = find(episode.game)
    run = Run(game, game.settle(episode.reasoning), look(episode.perception))
    run.start(episode.seed)
    return _Lane(episode, run, instructions(game, run.knobs))


def _turn(lanes: list[_Lane], policy: Policy) -> None:
    """Ask for one reply in every lane, and play it."""
    requests = [
        Request(lane.run.game, lane.run.state, lane.run.look, lane.run.turns, lane.text) for lane in lanes
    ]
    for lane, reply in zip(lanes, policy.act(requests), strict=True):
        picture = fingerprint(lane.run.picture()) if policy.sees else ""
        lane.turns.append(play(lane.run, lane.episode, policy.name, reply, picture))


def play(run: Run, episode: Episode, policy: str, reply: str, picture: str) -> Turn:
    """Play one reply, and put down what came of it: the same for models, solvers and people."""
    number, before = run.turns, run.state
    parsed = parse(reply, run.legal, run.game.read)
    outcome = run.step(parsed.action, parsed.error)
    step = Step(run.state, outcome.reward, run.state.score - before.score, run.event)
    return Turn(
        episode=episode,
        policy=policy,
        number=number,
        state=before,
        reply=reply,
        action=parsed.action,
        error=run.error,
        event=run.event,
        rewards=terms(run.game, before, parsed, step),
        score=run.state.score,
        terminated=outcome.terminated,
        truncated=outcome.truncated,
        success=run.game.success(run.state),
        picture=picture,
    )
