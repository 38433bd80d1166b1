"""Credit over turns by name, and the scale of its advantages."""

from collections.abc import Hashable, Sequence
from math import sqrt

from .estimators import by_lookahead, by_reply, by_return, by_turn, gigpo
from .graph import graph
from .leaves import leaves
from .turns import CreditTurn

EPSILON = 1e-4
"""What is added to a spread before it divides, as in TRL."""


def over_turns(
    name: str, turns: Sequence[CreditTurn], tasks: Sequence[int], gamma: float, steps: int
) -> list[float]:
    """Compute the advantages of turns by ``grpo.turn_credit``; `steps` is the horizon of ``ahead``.

    A state that play breaks off in has the value of `leaves`; GiGPO, as published, counts it as 0.
    """
    if name == "turn":
        return by_turn(turns)
    if name == "solver":
        return by_reply(turns)
    if name == "gigpo":
        return gigpo(turns, gamma)
    last = leaves(turns, tasks, gamma)
    if name == "return":
        return by_return(turns, gamma, last)
    if name == "graph":
        return graph(turns, tasks, gamma, last)
    assert name == "ahead", name
    return by_lookahead(turns, gamma, steps, last)


def scaled(advantages: Sequence[float], keys: Sequence[Hashable]) -> list[float]:
    """Divide every advantage by the root mean square of those with the same key."""
    squares: dict[Hashable, float] = {}
    counts: dict[Hashable, int] = {}
    for value, key in zip(advantages, keys, strict=True):
        squares[key] = squares.get(key, 0.0) + value * value
        counts[key] = counts.get(key, 0) + 1
    quotients = list[float]()
    for value, key in zip(advantages, keys, strict=True):
        spread = sqrt(squares[key] / counts[key])
        quotients.append(value / (spread + EPSILON))
    return quotients
