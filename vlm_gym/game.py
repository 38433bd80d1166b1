"""What a game is: rules as pure functions of a frozen state.

A game depends on no pixels, no prompt, no model and no gymnasium. Everything that chance decides comes
from the state's own dice, so a state can be forked, replayed and sent to another process for free.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Self

from typing_extensions import TypeVar

from vlm_gym import returns
from vlm_gym.dice import Dice
from vlm_gym.knobs import Choice, Knobs, knob, settle
from vlm_gym.scene import Scene
from vlm_gym.thought import Thought

TEST = 1 << 62
"""Seeds from here to 2^63 belong to the held-out test stream, smaller ones to everybody else."""


TOLERANCE = 0.05
"""Value, in [0, 1] as the solver counts, that an action may lose and still be called good."""


@dataclass(frozen=True, kw_only=True)
class GameKnobs(Knobs):
    """The reasoning knobs that every game has; a game's own knobs extend this class."""

    turns: int = knob(100, "turn limit of an episode; legal and illegal turns count", (1, 100_000))
    reward: str = knob(
        "goal",
        "'goal': the goal and the progress to it, less a cost a turn; 'paper': +1 if a turn scores, else -1",
        ("goal", "paper"),
    )


@dataclass(frozen=True, kw_only=True)
class State:
    """A position: frozen, hashable, picklable, a few hundred bytes. A game adds its own fields.

    `turn` counts the legal moves so far and, with `seed`, rolls the dice; `score` is the sum so far, in the
    game's own unit; `over` says that no action is legal any more.
    """

    knobs: GameKnobs
    seed: int
    turn: int = 0
    over: bool = False
    score: float = 0.0

    @property
    def dice(self) -> Dice:
        """Fresh dice for this turn: the same numbers whenever it is asked for."""
        return Dice(self.seed, self.turn)

    @property
    def player(self) -> int:
        """Return whose turn it is, from 0. A game whose players take turns has a field ``player: int = 0``.

        An opponent that is built in moves inside of `Game.step`, by the state's dice: there it is always 0.
        """
        return 0

    @property
    def split(self) -> Literal["train", "test"]:
        """Return the split that the seed belongs to. Each split has its own pool of pictures of things."""
        return "test" if self.seed >= TEST else "train"

    def advance(self, gain: float, over: bool, **changes: Any) -> Self:
        """Make the state one turn later, `gain` added to its score."""
        return replace(self, turn=self.turn + 1, score=self.score + gain, over=over, **changes)


S = TypeVar("S", bound=State, default=Any)
K = TypeVar("K", bound=GameKnobs, default=Any)
"""States and knobs of one game. They default to any: `Game` without brackets is a game of whatever kind."""


@dataclass(frozen=True, kw_only=True)
class Board(State, Generic[K]):
    """A position on a grid: `cells` row by row from the top left, a byte each; the game gives it meaning."""

    knobs: K
    cells: bytes


class Step(NamedTuple, Generic[S]):
    """The result of one action: the next state, a reward in [-2, 2], the score gained in the game's own unit
    (points, pairs, ...), and one line of feedback in words."""

    state: S
    reward: float
    score: float
    event: str


class Plan(NamedTuple):
    """A solver's advice: a good legal action and its value in [0, 1]."""

    action: str
    value: float


class Game(ABC, Generic[S, K]):
    """The rules of one game, with states of class `S` and knobs of class `K`. Has no mutable attributes; one
    instance serves every environment.

    Actions are words, such as ``left`` or ``(1,2) (3,4)``; rows and columns are counted from 1 at the top
    left. Gymnasium's integer action is an index into `actions`; where there are none, it is the words.
    """

    name: ClassVar[str]
    """As in ``gym.make("vlm_gym/NAME-v0")``; also the folder's name."""
    title: ClassVar[str]
    """For people: ``Shisen-Sho``."""
    form: ClassVar[str]
    """How an action is written, shown to people and models alike."""
    unit: ClassVar[str]
    """What `score` counts, in the plural: ``points``."""
    levels: ClassVar[tuple[GameKnobs, ...]]
    """Reasoning presets 0 to 4, from a beginner's game to one that defeats a greedy player."""
    presets: ClassVar[Mapping[str, GameKnobs]] = {}
    """Further reasoning presets by name, such as ``paper``."""
    memory: ClassVar[bool] = False
    """Whether past pictures matter: if so, prompts carry past turns unless the caller chooses otherwise."""
    tick: ClassVar[float] = 0.0
    """Seconds that a person has for a turn, after which `idle` is played; 0: no limit."""
    grammar: ClassVar[tuple[str, ...]] = ()
    """Templates of the sentences of its thoughts, with the slots of `vlm_gym.thought.SLOTS` in braces:
    ``{line} has {tile} twice, not {cell}``. Empty where the game has no thoughts."""

    def settle(self, reasoning: Choice | GameKnobs) -> GameKnobs:
        """Turn a level, preset or dict of knobs into knobs; `ValueError` lists what there is."""
        return settle("reasoning", reasoning, self.levels, self.presets)

    @abstractmethod
    def rules(self, knobs: K) -> str:
        """Return the rules and the goal as text, for people and models alike."""

    def actions(self, knobs: K) -> tuple[str, ...]:
        """List all that can ever be legal under these knobs, in a fixed order.

        Empty where they are too many to list, or have numbers: then the actions are open, `read` parses,
        `allows` decides, and `legal` lists some examples.
        """
        return ()

    @abstractmethod
    def start(self, seed: int, knobs: K) -> S:
        """Deal the position that `seed`, in [0, 2^63), stands for. Not over."""

    def legal(self, state: S) -> tuple[str, ...]:
        """List the legal actions, in the order of `actions`; empty exactly when the state is over.

        Where actions are open: some examples, each of which `allows` accepts. By default every action is
        legal until the game is over.
        """
        knobs: Any = state.knobs
        return () if state.over else self.actions(knobs)

    @abstractmethod
    def step(self, state: S, action: str) -> Step[S]:
        """Play a legal action. Raises `ValueError` if it is not legal."""

    @abstractmethod
    def scene(self, state: S) -> Scene:
        """Return what there is to see. It depends on the state alone, not on the perception level."""

    @abstractmethod
    def success(self, state: S) -> bool:
        """Return whether the goal has been reached."""

    def progress(self, state: S) -> float:
        """Return the share of the goal that is done, in [0, 1]: the potential of `vlm_gym.returns`.

        Without a goal, any measure in [0, 1] that grows with better play. By default 1 for success, else 0.
        """
        return float(self.success(state))

    def reward(self, before: S, after: S) -> float:
        """Compute the reward of the legal turn from `before` to `after`, by the knob ``reward``.

        ``goal`` is that of `vlm_gym.returns`; ``paper`` is +1 if the turn scores, else -1 (arXiv:2505.13426).
        """
        if before.knobs.reward == "paper":
            return 1.0 if after.score > before.score else returns.FAILED
        reached = self.success(after)
        return returns.legal_turn(self.progress(before), self.progress(after), reached, before.knobs.turns)

    def illegal(self, knobs: K) -> float:
        """Return the reward of an illegal turn: a small cost with ``reward="goal"``, else -1."""
        if knobs.reward == "goal":
            return returns.illegal_turn(knobs.turns)
        return returns.FAILED

    def values(self, state: S) -> Mapping[str, float]:
        """Judge every legal action by the game's solver: a value in [0, 1], higher is better.

        Values compare the actions of one state; they do not depend on dice that a player cannot know. Empty
        where the game has no solver.
        """
        return {}

    def value(self, state: S, action: str) -> float:
        """Judge one legal action as `values` does. For games in which it costs to judge them all.

        A game that has `solve` but no `values`, such as one with open actions, judges here.
        """
        return self.values(state)[action]

    def think(self, state: S) -> Thought | None:
        """Return the thought of a good player: sentences that can be checked, and the action they lead to.

        Every step follows from the scene and the steps before it, is one of `facts`, and occurs once. No step
        before the last one names the action. Where several actions are equally good, the thought takes the
        first one that its order of looking finds. The words are the same at every board size. The thought is
        what a cold start teaches and what a person sees as a hint. None where the state is over, or where the
        game has no thoughts.
        """
        return None

    def facts(self, state: S) -> frozenset[str]:
        """Return all true sentences that a thought of this game can contain on this state.

        Every fact is a sentence of `grammar` and follows from what the player has been shown. By default the
        facts are the steps of the thought.
        """
        thought = self.think(state)
        return frozenset(thought.steps) if thought else frozenset()

    def conclude(self, steps: Sequence[str]) -> str | None:
        """Return the action that the steps of a thought imply, from the steps alone; None if they imply none.

        Steps are read in any case. Never raises. Linear time.
        """
        return None

    def solve(self, state: S) -> Plan | None:
        """Return the best action: that of the thought, else the first of highest value.

        None where the state is over or the game has no solver.
        """
        thought = self.think(state)
        if thought is not None:
            return Plan(thought.action, thought.value)
        values = self.values(state)
        if not values:
            return None
        action = max(values, key=values.__getitem__)
        return Plan(action, values[action])

    # --- hidden information, open actions

    def key(self, state: S) -> str:
        """Return what makes two deals the same: the train/test split and `unique` sampling compare it.

        By default the words of the scene. A game that hides something at the start adds what is hidden.
        """
        return self.scene(state).describe()

    def imagine(self, state: S, dice: Dice) -> S:
        """Return a state that looks the same to the player, all that is hidden or undecided drawn anew.

        The scene and the legal actions are equal. By default only the seed differs, and with it the dice to
        come: right for a game that hides nothing. `dice` are the caller's, not the state's.
        """
        seed = dice.below(TEST) + (TEST if state.split == "test" else 0)
        return replace(state, seed=seed)

    def allows(self, state: S, action: str) -> bool:
        """Check that an action, spelled as by `read`, is legal. Never raises."""
        return action in self.legal(state)

    def read(self, words: str, state: S) -> str:
        """Parse an answer's words and spell the action in its one way, as in `actions` where it is listed.

        Never raises and never guesses: words that name no action come back as they are. Linear time.
        """
        return " ".join(words.split()).lower()

    def idle(self, state: S) -> str | None:
        """Return the legal action of a person who does nothing for `tick` seconds; None to wait."""
        return None

    def refuse(self, state: S, action: str) -> ValueError:
        """Make the error that `step` raises for an action that is not legal."""
        legal = self.legal(state)
        if not legal:
            return ValueError(f"{action!r} cannot be played: the game is over")
        knobs: Any = state.knobs
        known = "legal" if self.actions(knobs) else "legal, for example"
        return ValueError(f"{action!r} is not legal here; {known}: {few(legal)}")


def few(names: tuple[str, ...], limit: int = 12) -> str:
    """List names for an error message, at most `limit` of them."""
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")
