"""Cosine of advantage estimators with the true advantages: scripted policies, no model, fixed seeds.

A group is `PLAYS` plays of one deal by a policy that takes the action of the highest immediate reward, and
any legal action with probability `RANDOM`. The true advantage of a turn is Q(s, a) - V(s); V is estimated by
`TRUTH` fresh plays from the forked state. An estimator is scored by the cosine between its advantages and the
true ones over all turns of all groups. Noise in the truth lowers all scores alike.
``python -m vlm_gym.trainers.credit.cosines`` prints the table of docs/training.md.
"""

from collections.abc import Callable, Sequence
from math import sqrt
from typing import NamedTuple

from vlm_gym.dice import Dice
from vlm_gym.episode import deal
from vlm_gym.game import Game, State
from vlm_gym.registry import find

from .estimators import by_lookahead, by_play, by_return, by_turn, gigpo
from .graph import graph
from .leaves import leaves
from .turns import CreditTurn

PLAYS = 8
PLAY_TURNS = 24
RANDOM = 0.3
TRUTH = 64
"""Plays from a state that estimate its value."""
GAMMA = 0.9
SQUARES = (("swap", "0"), ("shisen_sho", "0"), ("2048", "0"))
GROUPS = 24

Estimator = Callable[[Sequence[CreditTurn]], list[float]]


class PlayGroup(NamedTuple):
    """The turns of a group of plays, and the true advantage of each."""

    turns: list[CreditTurn]
    truth: list[float]


ESTIMATORS: dict[str, Estimator] = {
    "turn": by_turn,
    "trajectory": lambda turns: by_play(turns, GAMMA),
    "return": lambda turns: by_return(turns, GAMMA, _last(turns)),
    "gigpo": lambda turns: gigpo(turns, GAMMA),
    "graph": lambda turns: graph(turns, [0] * len(turns), GAMMA, _last(turns)),
}


def _last(turns: Sequence[CreditTurn]) -> list[float]:
    """Value the states that plays of one task break off in."""
    return leaves(turns, [0] * len(turns), GAMMA)


def noisy_greedy(game: Game, state: State, dice: Dice) -> str:
    """Choose the action of the highest immediate reward, or with probability `RANDOM` any legal action."""
    legal = game.legal(state)
    if dice.chance(RANDOM):
        return dice.choice(legal)
    return max(legal, key=lambda action: game.step(state, action).reward)


def play_on(game: Game, state: State, turns: int, dice: Dice) -> float:
    """Play from a state to the end of the game, or for so many turns; return the discounted sum of
    rewards."""
    total = 0.0
    factor = 1.0
    for _ in range(turns):
        if state.over:
            break
        step = game.step(state, noisy_greedy(game, state, dice))
        total += factor * step.reward
        factor *= GAMMA
        state = step.state
    return total


def group(
    game: Game, start: State, number: int, values: dict[State, float], length: int = PLAY_TURNS
) -> PlayGroup:
    """Play one group of plays of `length` turns, and compute the truth. `values` keeps V of states met
    before."""

    def value(state: State) -> float:
        if state.over:
            return 0.0
        if state not in values:
            dice = Dice(state.seed ^ 0x7247, state.turn)
            totals = [play_on(game, state, 3 * PLAY_TURNS, dice) for _ in range(TRUTH)]
            values[state] = sum(totals) / TRUTH
        return values[state]

    turns: list[CreditTurn] = []
    truth: list[float] = []
    for play in range(PLAYS):
        state = start
        dice = Dice(start.seed ^ 0x9A3E, play)
        for count in range(length):
            if state.over:
                break
            action = noisy_greedy(game, state, dice)
            after, reward, _, _ = game.step(state, action)
            turns.append(CreditTurn(number, play, count, state, action, reward, after, after.over))
            truth.append(reward + GAMMA * value(after) - value(state))
            state = after
    return PlayGroup(turns, truth)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Compute the cosine between two vectors; 0 if one of them is 0."""
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    norms = sqrt(sum(a * a for a in one) * sum(b * b for b in other))
    return dot / norms if norms else 0.0


def forked(game: Game, groups: Sequence[PlayGroup], steps: int) -> tuple[list[float], list[float]]:
    """Fork `PLAYS` plays at one state in four, and score their first turns by `ahead`; return guess and
    truth.

    This is what ``credit = "ahead"`` samples: a group of replies to one state, each with a short
    continuation.
    """
    guess: list[float] = []
    truth: list[float] = []
    values: dict[State, float] = {}
    for each in groups:
        for number, turn in enumerate(each.turns[::4]):
            assert isinstance(turn.state, State)
            fork = group(game, turn.state, number, values, length=steps + 1)
            # Replies alone, as ``grpo.turns = "one"`` has them, earn the reward of the turn and no more.
            last = _last(fork.turns) if steps else [0.0] * len(fork.turns)
            advantages = by_lookahead(fork.turns, GAMMA, steps, last)
            for index, one in enumerate(fork.turns):
                if one.number == 0:
                    guess.append(advantages[index])
                    truth.append(fork.truth[index])
    return guess, truth


def cosine_table(groups: int = GROUPS) -> dict[str, dict[str, float]]:
    """Compute the cosine of every estimator on every game of `SQUARES`, from so many groups."""
    cosines: dict[str, dict[str, float]] = {}
    for name, level in SQUARES:
        game = find(name)
        knobs = game.settle(level)
        played = []
        for index in range(groups):
            start = game.start(deal(game, knobs, "train", index), knobs)
            played.append(group(game, start, index, {}))
        truth = list[float]()  # of all turns of all groups
        for each in played:
            truth += each.truth
        square = f"{name} {level}"
        for title, estimate in ESTIMATORS.items():
            guess = list[float]()
            for each in played:
                guess += estimate(each.turns)
            cosines.setdefault(title, {})[square] = cosine(guess, truth)
        for steps in (0, 3):
            title = f"ahead = {steps}, forked"
            cosines.setdefault(title, {})[square] = cosine(*forked(game, played, steps))
    return cosines


def main() -> None:
    """Print the table in Markdown."""
    rows = cosine_table()
    squares = list(next(iter(rows.values())))
    print("| estimator | " + " | ".join(squares) + " |")  # noqa: T201
    print("| --- |" + " ---: |" * len(squares))  # noqa: T201
    for title, cosines in rows.items():
        cells = " | ".join(f"{value:.2f}" for value in cosines.values())
        print(f"| `{title}` | {cells} |")  # noqa: T201


if __name__ == "__main__":
    main()
