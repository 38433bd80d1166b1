"""Positions to train on, from a mixture of kinds of play: without pictures, and never of the test stream."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from itertools import count as naturals
from typing import NamedTuple, TypeVar

from vlm_gym.dice import Dice
from vlm_gym.episode import held_out
from vlm_gym.game import TEST, Game, GameKnobs, State
from vlm_gym.prompt import target
from vlm_gym.registry import find
from vlm_gym.rollouts.baselines import legal, solver
from vlm_gym.rollouts.history import USUAL, History
from vlm_gym.rollouts.policy import PastTurn
from vlm_gym.workers import Pool, pool

T = TypeVar("T")

_CHUNK = 16
"""Positions that a process draws at a time."""
_PATIENCE = 100
"""Draws for each position that is wanted before a mixture is called too small."""


class Position(NamedTuple):
    """A state, and the name of the game that it is of.

    `past` holds the turns that led there, as far as a request shows them and the position was played to here.
    """

    game: str
    state: State
    past: tuple[PastTurn, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Where the positions of one game come from. Shares need not add up to 1.

    Raises `ValueError` for a share below 0, or if there is none above.
    """

    game: str
    reasoning: str = "2"
    weight: float = 1.0
    """Share of this game beside others."""
    fresh: float = 0.0
    """Share of fresh deals."""
    walk: float = 0.0
    """Share of positions after `moves` random legal moves."""
    solver: float = 0.0
    """Share of positions after 0 to `moves` moves of the solver."""
    on_policy: float = 0.0
    """Share of positions that the caller brings: those of the policy's own play."""
    moves: int = 100
    """Where a game is over before that, any position of it is taken."""

    def __post_init__(self) -> None:
        if min(self.weight, self.moves, *self.shares.values()) < 0 or not any(self.shares.values()):
            raise ValueError(
                f"{self} is not possible: no share is below 0, and one of {list(self.shares)} above"
            )

    @property
    def shares(self) -> dict[str, float]:
        """The kinds of play and how much of each."""
        return {"fresh": self.fresh, "walk": self.walk, "solver": self.solver, "on_policy": self.on_policy}


def sample(
    count: int,
    mixtures: Sequence[Mixture],
    seed: int,
    on_policy: Iterable[Position] = (),
    unique: bool = False,
    workers: int | Pool = 0,
    history: History = USUAL,
) -> list[Position]:
    """Draw positions that are not over: the same for the same arguments, whatever the number of `workers`.

    `on_policy` serves the share of this name, but for what is over or of the test stream. With `unique`, no
    two have the same `Game.key`. `history` says what positions hold of the turns before; states do not
    depend on it. Raises `ValueError` where there are too few, or a game or level is unknown.
    """
    draw = partial(_draw_all, _Sources(mixtures, seed, on_policy, history))
    crew = pool(workers)
    size = min(_CHUNK, max(1, count))
    chunks = (range(start, start + size) for start in naturals(0, size))
    drawn = chain.from_iterable((crew.map if crew else map)(draw, chunks))
    if not unique:
        return list(islice(drawn, count))
    positions: dict[tuple[str, GameKnobs, str], Position] = {}
    for position in islice(drawn, _PATIENCE * count):
        game = find(position.game)
        positions.setdefault((game.name, position.state.knobs, game.key(position.state)), position)
        if len(positions) == count:
            return list(positions.values())
    raise ValueError(
        f"{count} different positions are wanted, but only {len(positions)} were found in {mixtures}"
    )


class _Sources:
    """Everything that a draw depends on, except its number."""

    def __init__(
        self, mixtures: Sequence[Mixture], seed: int, on_policy: Iterable[Position], history: History
    ) -> None:
        self.history = history
        self.seed = seed
        self.mixtures = {mixture: mixture.weight for mixture in mixtures}
        trainable = [position for position in on_policy if _fit(position.game, position.state)]
        self.on_policy = dict[Mixture, list[Position]]()
        for mixture in mixtures:
            if mixture.on_policy:
                key = (mixture.game, _knobs(mixture))
                own_positions = list[Position]()
                for position in trainable:
                    if (position.game, position.state.knobs) == key:
                        own_positions.append(position)
                if not own_positions:
                    raise ValueError(
                        f"{mixture} has a share of own play, but none of its positions are there"
                    )
                self.on_policy[mixture] = own_positions

    def draw(self, number: int) -> Position:
        """Draw the position of this number."""
        dice = Dice(self.seed, number)
        mixture = _weighed(self.mixtures, dice)
        source = _weighed(mixture.shares, dice)
        game = find(mixture.game)
        knobs = _knobs(mixture)
        if source == "on_policy":
            return dice.choice(self.on_policy[mixture])
        for _ in range(_PATIENCE):
            start = game.start(dice.bits() % TEST, knobs)  # seeds from TEST on are the test stream's
            path, actions = _play(game, start, source, mixture.moves, dice)
            for last in reversed(range(len(path))):  # the latest position that is not held out
                if not held_out(game, path[last]):
                    past = _past(self.history, game, path, actions[:last])
                    return Position(mixture.game, path[last], past)
        raise ValueError(f"{mixture} leads to no position outside of the test stream")


def _draw_all(sources: _Sources, numbers: range) -> list[Position]:
    return list(map(sources.draw, numbers))


def _play(game: Game, state: State, source: str, moves: int, dice: Dice) -> tuple[list[State], list[str]]:
    """Play so many moves. Returns the positions, and at least the actions that led from each to the next."""
    if source == "solver":
        moves = dice.below(moves + 1)
    path = [state]
    actions = list[str]()
    while len(path) <= moves * (source != "fresh"):
        action = (solver if source == "solver" else legal)(game, path[-1], dice)
        if (after := game.step(path[-1], action).state).over:
            del path[1 + dice.below(len(path)) :]  # any position of the game that is over
            break
        path.append(after)
        actions.append(action)
    return path, actions


def _past(
    history: History, game: Game, path: Sequence[State], actions: Sequence[str]
) -> tuple[PastTurn, ...]:
    """Write the last turns that a request shows."""
    count = history.count(game)
    steps = list(zip(path, actions, strict=False))[-count:] if count else []
    return history.shown(game, [played(game, state, action) for state, action in steps])


def played(game: Game, state: State, action: str) -> PastTurn:
    """Return a turn with a legal action, whose reply has the true perception."""
    thought = game.think(state)
    text = thought.words if thought is not None and thought.action == action else ""
    return PastTurn(state, target(game.scene(state), text, action), game.step(state, action).event)


def _fit(game: str, state: State) -> bool:
    """Return whether a position can be trained on: not over, of the training split and not held out."""
    return not state.over and state.split == "train" and not held_out(find(game), state)


def _knobs(mixture: Mixture) -> GameKnobs:
    return find(mixture.game).settle(mixture.reasoning)


def _weighed(weights: dict[T, float], dice: Dice) -> T:
    """Choose a key by its weight."""
    rest = dice.bits() / (1 << 64) * sum(weights.values())
    for key, weight in weights.items():
        rest -= weight
        if rest < 0:
            return key
    # Rounding can leave a rest above 0: then the last key with a weight is chosen.
    for key in reversed(weights):
        if weights[key]:
            return key
    raise AssertionError("a weight is above 0")
