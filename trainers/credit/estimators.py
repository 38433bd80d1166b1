"""Advantages of turns by returns: of the turn alone, of what follows, of the play, and GiGPO's sum of two."""

from collections import Counter
from collections.abc import Hashable, Sequence

from .turns import CreditTurn, less_mean, returns_to_go


def by_turn(turns: Sequence[CreditTurn]) -> list[float]:
    """Compute A = r - mean of r over the replies to the same state of the group.

    This is the advantage of GRPO (Shao et al., 2024, arXiv:2402.03300, equation 3, without the division by
    the standard deviation) where a reply is an episode of one turn, as in arXiv:2505.13426.
    """
    return less_mean([turn.reward for turn in turns], [(turn.group, turn.state) for turn in turns])


def by_reply(turns: Sequence[CreditTurn]) -> list[float]:
    """Compute A = r - mean of r over the replies to the same state of the group, or to its turn.

    This is for rewards that judge a move, such as the value lost by it: they can be compared over states.
    """
    return less_mean([turn.reward for turn in turns], _peers(turns))


def by_return(turns: Sequence[CreditTurn], gamma: float, last: Sequence[float] | None = None) -> list[float]:
    """Compute A = G_t - mean of G_t over the plays of the group at the same number of turns.

    ``last[i]`` is the value of ``turns[i].after``, as in `returns_to_go`.
    """
    return less_mean(returns_to_go(turns, gamma, last), [(turn.group, turn.number) for turn in turns])


def by_play(turns: Sequence[CreditTurn], gamma: float) -> list[float]:
    """Compute A = G_0 - mean of G_0 over the plays of the group, for all turns of a play alike: trajectory
    GRPO."""
    totals = {}
    groups = {}
    for turn, value in zip(turns, returns_to_go(turns, gamma), strict=True):
        if turn.number == 0:
            totals[turn.play] = value
            groups[turn.play] = turn.group
    centred = less_mean(list(totals.values()), list(groups.values()))
    advantages = dict(zip(totals, centred, strict=True))
    return [advantages[turn.play] for turn in turns]


def gigpo(turns: Sequence[CreditTurn], gamma: float, weight: float = 1.0) -> list[float]:
    """Compute A = A_play + weight * A_step as GiGPO does (Feng et al., 2025, arXiv:2505.10978, equations 3
    to 8).

    A_step compares the return to go of a turn with those of all turns of the group from the same state. We
    compare states, which are exact, where the paper compares observations, and divide by 1, the paper's
    ``F_norm = 1``.
    """
    anchors = [(turn.group, turn.state) for turn in turns]
    steps = less_mean(returns_to_go(turns, gamma), anchors)
    plays = by_play(turns, gamma)
    return [play + weight * step for play, step in zip(plays, steps, strict=True)]


def by_lookahead(turns: Sequence[CreditTurn], gamma: float, steps: int, last: Sequence[float]) -> list[float]:
    """Compute A = Q - mean of Q over the replies to the same state of the group, with Q of `steps` turns
    more.

    Q = r_t + ... + gamma^steps r_{t+steps} + gamma^(steps+1) V, where V is the value of the state reached,
    0 where the game is over. ``last[i]`` is the value of ``turns[i].after``. Turns of the continuation are
    rows as well; one that no other turn of the group shares its state with has the mean of its number of
    turns for a baseline.
    """
    index_of: dict[tuple[int, int], int] = {(turn.play, turn.number): row for row, turn in enumerate(turns)}
    values = []
    for turn in turns:
        total = 0.0
        factor = 1.0
        index = index_of[turn.play, turn.number]
        for step in range(steps + 1):
            index = index_of.get((turn.play, turn.number + step), -1)  # always there: `is_last` ends before
            total += factor * turns[index].reward
            factor *= gamma
            is_last = step == steps or (turn.play, turn.number + step + 1) not in index_of
            if turns[index].over or is_last:
                break
        if not turns[index].over:
            total += factor * last[index]
        values.append(total)
    return less_mean(values, _peers(turns))


def _peers(turns: Sequence[CreditTurn]) -> list[Hashable]:
    """Return a key for every turn; turns with equal keys are compared. It is the state where another turn of
    the group has it, too, else the number of the turn."""
    shared = Counter((turn.group, turn.state) for turn in turns)
    keys: list[Hashable] = []
    for turn in turns:
        key = (turn.group, turn.state)
        keys.append(key if shared[key] > 1 else (turn.group, turn.number))
    return keys
