"""One game in play: the state, the turns used, the picture and the feedback.

`GameEnv`, the vector environments, rollouts and human play all drive this one class, so they cannot differ.
"""

from functools import lru_cache
from typing import NamedTuple

from vlm_gym.game import Game, GameKnobs, State
from vlm_gym.render import Frame, Look, Painter, layout_of
from vlm_gym.scene import Scene


class Ended(Exception):
    """A turn was taken where the episode has ended, or has not begun."""


class Outcome(NamedTuple):
    """What a turn led to; `terminated`: the game is over, `truncated`: the turn limit is reached."""

    reward: float
    terminated: bool
    truncated: bool


class Run:
    """A game, its knobs and look, and one episode of it after another.

    `canvas`, if given, is where pictures are drawn: uint8 (size, size, 3), such as a slot of a batch. Raises
    `ValueError` for a level that cannot be dealt, and for a picture that is too small for its board.
    """

    def __init__(self, game: Game, knobs: GameKnobs, look: Look, canvas: Frame | None = None) -> None:
        _check_room(game, knobs, look)
        self.game = game
        self.knobs = knobs
        self.look = look
        self.words = game.actions(knobs)
        self.event = self.error = ""
        self.turns = 0
        self._painter = Painter(look, canvas)
        self._state: State | None = None
        self._scene: Scene | None = None
        self._legal: tuple[str, ...] | None = None

    @property
    def state(self) -> State:
        """The whole episode: frozen, picklable. Setting it goes on from there, as if it had been played to.

        The turns used are then those of the state. `ValueError` for a state of other rules.
        """
        if self._state is None:
            raise Ended("no episode has begun; call reset() first")
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self.check(state)
        self.turns = state.turn
        self.event = ""
        self.error = ""
        self._move(state)

    def check(self, state: object) -> None:
        """Check that a state is one of this game and its knobs; `ValueError` otherwise."""
        check_state(self.game, self.knobs, state)

    def start(self, seed: int) -> None:
        """Deal the episode that a seed stands for."""
        self.state = self.game.start(seed, self.knobs)

    @property
    def legal(self) -> tuple[str, ...]:
        """The legal actions in words, or some of them where actions are open; computed once a state."""
        if self._legal is None:
            self._legal = self.game.legal(self.state)
        return self._legal

    def allows(self, action: str) -> bool:
        """Check that an action in words is legal; where actions are open, `legal` lists only some."""
        return action in self.legal or (not self.words and self.game.allows(self.state, action))

    @property
    def scene(self) -> Scene:
        """What there is to see; computed once a state."""
        if self._scene is None:
            self._scene = self.game.scene(self.state)
        return self._scene

    @property
    def ended(self) -> bool:
        """Whether the episode is over or out of turns."""
        return self.state.over or self.turns >= self.knobs.turns

    def step(self, action: str | None, error: str = "no action") -> Outcome:
        """Take a turn. An illegal action, or None with its `error`, earns `Game.illegal` alone."""
        if self.ended:
            raise Ended("this episode has ended; call reset() before the next step()")
        reward = self.game.illegal(self.knobs)
        self.event = ""
        self.error = error
        if action is not None and self.allows(action):
            state, reward, _, self.event = self.game.step(self.state, action)
            self.error = ""
            self._move(state)
        elif action is not None:
            self.error = str(self.game.refuse(self.state, action))
        self.turns += 1
        over = self.state.over
        # Turns count illegal actions, too, which `state.turn` does not.
        return Outcome(reward, over, not over and self.turns >= self.knobs.turns)

    def picture(self, out: Frame | None = None) -> Frame:
        """Draw the state into `out` or a fresh array; with a canvas and no noise, give the canvas itself."""
        state = self.state
        # Theme and variants come from the seed, noise from the turn: a restored state looks the same.
        return self._painter.paint(self.scene, state.seed, state.turn, out)

    def info(self) -> dict[str, object]:
        """Return the `info` of the current state without the action mask. `GameEnv` documents its keys."""
        state = self.state
        return {
            "legal": self.legal,
            "truth": self.scene.describe(),
            "score": state.score,
            "success": self.game.success(state),
            "event": self.event,
            "error": self.error,
            "turns_left": max(0, self.knobs.turns - self.turns),
        }

    def _move(self, state: State) -> None:
        self._state = state
        self._scene = None
        self._legal = None


@lru_cache(maxsize=1024)
def _check_room(game: Game, knobs: GameKnobs, look: Look) -> None:
    """Check once that a level can be dealt, and that its board has room in a picture of this look."""
    layout_of(game.scene(game.start(0, knobs)), look)


def check_state(game: Game, knobs: GameKnobs, state: object) -> None:
    """Check that a state is one of a game and its knobs; `ValueError` otherwise."""
    if not isinstance(state, State) or type(state.knobs) is not type(knobs):
        raise ValueError(
            f"{type(state).__name__} is not a state of {game.name}, which takes states with "
            f"{type(knobs).__name__}"
        )
    if state.knobs != knobs:
        raise ValueError(f"a state of {state.knobs} does not fit a game of {knobs}")
