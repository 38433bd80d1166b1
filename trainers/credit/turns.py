"""The turns of a training step for credit: states and rewards, without pictures and tokens."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple


class CreditTurn(NamedTuple):
    """One turn of a play: a reply to `state` that earned `reward` and led to `after`.

    A play is a stretch of an episode that the policy plays within one training step. The plays of a group
    begin in one state. States are compared by ``==`` and hashed, so equal states of different plays are one
    state. An illegal reply leaves the state as it is: ``after == state``.
    """

    group: int
    """Number of the group; plays of a group begin in one state of one task."""
    play: int
    """Number of the play, over all groups."""
    number: int
    """Turns of the play before this one; those of a play stand in order."""
    state: Hashable
    action: str | None
    """The legal action that was played, None for an illegal reply."""
    reward: float
    after: Hashable
    over: bool
    """Whether the game is over in `after`: its value is 0. A play that ends by the turn limit is not over,
    and its last state has a value like any other: truncation is bootstrapped."""


def returns_to_go(
    turns: Sequence[CreditTurn], gamma: float, last: Sequence[float] | None = None
) -> list[float]:
    """Compute G_t = r_t + gamma G_{t+1} of every turn, in the order of `turns`.

    ``last[i]`` is the value of ``turns[i].after``, used where a play breaks off there and the game is not
    over; 0 without it.
    """
    returns = [0.0] * len(turns)
    following: dict[int, float] = {}
    for index in reversed(range(len(turns))):
        turn = turns[index]
        if turn.play in following:
            rest = following[turn.play]
        elif turn.over or last is None:
            rest = 0.0
        else:
            rest = last[index]
        returns[index] = turn.reward + gamma * rest
        following[turn.play] = returns[index]
    return returns


def less_mean(values: Sequence[float], keys: Sequence[Hashable]) -> list[float]:
    """Subtract from every value the mean of the values with the same key."""
    sums: dict[Hashable, float] = {}
    counts: dict[Hashable, int] = {}
    for value, key in zip(values, keys, strict=True):
        sums[key] = sums.get(key, 0.0) + value
        counts[key] = counts.get(key, 0) + 1
    return [value - sums[key] / counts[key] for value, key in zip(values, keys, strict=True)]
