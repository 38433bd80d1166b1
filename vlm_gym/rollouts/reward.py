"""What a reply earns, term by term: as data, so that training, evaluation and people count alike."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from vlm_gym.actions import Reply, parse_for
from vlm_gym.game import Game, State, Step
from vlm_gym.workers import Pool, pool


def fork(game: Game[Any], state: State, replies: Iterable[str]) -> list[Step[Any]]:
    """Score replies to one state, each as if it were the only one.

    A reply without exactly one legal answer leaves the state as it is, earns `Game.illegal`, and its error is
    the event. Equal replies get equal steps, whatever their order, number or process.
    """
    legal = game.legal(state)
    return [take(game, state, parse_for(game, state, reply, legal)) for reply in replies]


def fork_all(
    game: Game[Any],
    states: Sequence[State],
    replies: Sequence[Iterable[str]],
    workers: int | Pool = 0,
) -> list[list[Step[Any]]]:
    """Score a batch, `replies[i]` to `states[i]`: here, or in processes where a game's steps are slow.

    Raises `ValueError` if states and replies do not pair up.
    """
    groups = [(state, tuple(group)) for state, group in zip(states, replies, strict=True)]
    crew = pool(workers)
    if crew is None:
        return _fork_groups(game, groups)
    share = max(1, -(-len(groups) // crew.size))
    parts = [groups[start : start + share] for start in range(0, len(groups), share)]
    return [steps for part in crew.map(partial(_fork_groups, game), parts) for steps in part]


def take(game: Game[Any], state: State, reply: Reply) -> Step[Any]:
    """Take the step of one reply, as `fork` does."""
    if reply.action is None:
        return Step(state, game.illegal(state.knobs), 0.0, reply.error)
    return game.step(state, reply.action)


def sight(game: Game[Any], state: State, reply: Reply) -> float | None:
    """Score what a reply saw: the share of cells, in [0, 1]; None if it told no perception."""
    return None if reply.perception is None else game.scene(state).grade(reply.perception)


def terms(reply: Reply, step: Step[Any], seen: float | None) -> dict[str, float]:
    """Grade one reply by its step and its `sight`.

    ``game`` is in [-2, 2], ``format`` 0 or 1, ``perception`` in [0, 1], by cell.
    """
    return {
        "game": step.reward,
        "format": float(reply.well_formed and reply.perception is not None and reply.thought is not None),
        "perception": seen or 0.0,
    }


def _fork_groups(game: Game[Any], groups: list[tuple[State, tuple[str, ...]]]) -> list[list[Step[Any]]]:
    return [fork(game, state, replies) for state, replies in groups]
