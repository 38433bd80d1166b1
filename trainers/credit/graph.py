"""Exact backup of values over merged states: equal states of all plays of a step are one node of a graph.

    V(s) = mean over the visits of s of r + gamma V(s')
    A = r + gamma V(s') - V(s)                       where s is visited twice or more
    A = G - mean of G at the same number of turns    elsewhere

A legal turn adds one to ``state.turn``, so the only cycles of the graph are illegal replies, which lead from
a state to itself. With n visits, m of them illegal, the equation is solved for V(s):

    V(s) = (sum over legal visits of r + gamma V(s') + sum over illegal visits of r) / (n - gamma m)

This generalises GiGPO (arXiv:2505.10978), which averages returns over equal observations without a backup,
and Tree-GRPO (arXiv:2509.21240), whose branches never meet again.
"""

from collections.abc import Hashable, Sequence

from .turns import CreditTurn, less_mean, returns_to_go

Key = tuple[int, Hashable]
"""A task and a state of it."""


def values(
    turns: Sequence[CreditTurn], tasks: Sequence[int], gamma: float, last: Sequence[float] | None = None
) -> dict[Key, float]:
    """Compute V of every state from which a turn was taken.

    ``tasks[i]`` is the task of ``turns[i]``, ``last[i]`` the value of ``turns[i].after`` where play broke off
    there; 0 without it. A state in which all visits are illegal has its mean return to go.
    """
    visits: dict[Key, list[int]] = {}
    for index, (turn, task) in enumerate(zip(turns, tasks, strict=True)):
        visits.setdefault((task, turn.state), []).append(index)
    value_of: dict[Key, float] = {}
    returns = returns_to_go(turns, gamma)

    def after(index: int) -> float:
        turn = turns[index]
        if turn.over:
            return 0.0
        key = (tasks[index], turn.after)
        if key in value_of:
            return value_of[key]
        return 0.0 if last is None else last[index]

    # A legal turn leads to a higher `turn`, so values of later states are computed first.
    for key in sorted(visits, key=lambda key: key[1].turn, reverse=True):  # type: ignore[attr-defined]
        legal = list[int]()
        illegal = list[int]()
        for index in visits[key]:
            stays = turns[index].after == turns[index].state
            (illegal if stays else legal).append(index)
        if not legal:
            value_of[key] = sum(returns[index] for index in illegal) / len(illegal)
            continue
        # First all legal visits, then all illegal ones: the order of a sum decides its last bits.
        total = sum(turns[index].reward + gamma * after(index) for index in legal)
        total += sum(turns[index].reward for index in illegal)
        value_of[key] = total / (len(legal) + (1 - gamma) * len(illegal))
    return value_of


def graph(
    turns: Sequence[CreditTurn], tasks: Sequence[int], gamma: float, last: Sequence[float] | None = None
) -> list[float]:
    """Compute the advantages of turns by the backup of values over merged states; `last` as in `values`."""
    value_of = values(turns, tasks, gamma, last)
    counts: dict[Key, int] = {}
    for turn, task in zip(turns, tasks, strict=True):  # visits of each state, over all plays
        key = (task, turn.state)
        counts[key] = counts.get(key, 0) + 1
    ends = []
    for index, (turn, task) in enumerate(zip(turns, tasks, strict=True)):
        ends.append(value_of.get((task, turn.after), 0.0 if last is None else last[index]))
    alone = less_mean(returns_to_go(turns, gamma, ends), [(turn.group, turn.number) for turn in turns])
    advantages = []
    for index, (turn, task) in enumerate(zip(turns, tasks, strict=True)):
        key = (task, turn.state)
        if counts[key] < 2:  # the only visit: its value would be its own return
            advantages.append(alone[index])
            continue
        rest = 0.0 if turn.over else ends[index]
        advantages.append(turn.reward + gamma * rest - value_of[key])
    return advantages
