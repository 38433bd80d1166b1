"""The one adapter between games and gymnasium."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from operator import index
from typing import Any, SupportsFloat, TypeGuard

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, Text
from numpy.typing import NDArray

from vlm_gym.actions import LONGEST_ANSWER
from vlm_gym.envs.display import Window
from vlm_gym.envs.run import Ended, Run
from vlm_gym.game import TEST, Game, GameKnobs, State
from vlm_gym.knobs import Choice
from vlm_gym.registry import find
from vlm_gym.render import Frame, Look, look

LOST = -1
"""The action of a turn without one, such as a reply that cannot be read; outside the action space."""

Info = dict[str, Any]


class GameEnv(gym.Env[Frame, Any]):
    """One game as a gymnasium environment.

    Observation: the very picture that a model sees, RGB uint8 (size, size, 3); fresh at every step.
    Action: an index into `words`, the game's actions in words; the words themselves, in any spelling that the
    game reads, where actions are open (`Game.actions` lists none).
    Reward: see `vlm_gym.returns`; in [-1, 2] summed over an episode, or -1 or 1 a turn with the knob
    ``reward="paper"``. An illegal action earns `Game.illegal`, leaves the state as it is, counts as a turn
    and is explained in ``info["error"]``.
    Ends: `terminated` when the game is over, `truncated` when the turn limit (knob ``turns``) is reached.

    Info, at every step:

    - ``action_mask``: int8 (actions,), 1 where legal, for ``action_space.sample(mask)``; absent where actions
      are open
    - ``legal``: the legal actions in words; some of them where actions are open
    - ``truth``: the scene in words, the ground truth for perception
    - ``score``: the sum so far in the game's own unit
    - ``success``: whether the goal has been reached
    - ``event``: one line of feedback on the last action
    - ``error``: what was wrong with the last action, "" if nothing
    - ``turns_left``: turns until truncation
    """

    metadata = {"render_modes": ["rgb_array", "human", "ansi"], "render_fps": 4}

    def __init__(
        self,
        game: str | Game,
        perception: Choice | Look = 0,
        reasoning: Choice | GameKnobs = 2,
        render_mode: str | None = None,
    ) -> None:
        """Make an environment; `ValueError` says what there is for an unknown game, level or knob.

        `perception` and `reasoning` are a level 0–4, a preset's name, or a dict of knobs.
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"unknown render_mode {render_mode!r}; modes: {self.metadata['render_modes']}")
        self.game = find(game) if isinstance(game, str) else game
        self.knobs = self.game.settle(reasoning)
        self.look = look(perception)
        self.render_mode = render_mode
        self.run = Run(self.game, self.knobs, self.look)
        self.index = {word: index for index, word in enumerate(self.run.words)}
        self.action_space: gym.Space[Any] = action_space(self.run.words)
        self.observation_space = picture_space(self.look.size, self.look.size, 3)
        self._window: Window | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The actions in words, by their index."""
        return self.run.words

    @property
    def state(self) -> State:
        """The whole episode: frozen, picklable. Set it to go on from any state of the same game and knobs.

        The next picture, mask, dice and score are then as they were; the turns used are the state's turns.
        """
        with _gymnasium_errors():
            return self.run.state

    @state.setter
    def state(self, state: State) -> None:
        self.run.state = state

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Frame, Info]:
        """Deal a new episode: the one that `seed` stands for, or the next of the environment's own stream.

        `seed` is a whole number in [0, 2^63); from 2^62 on it is of the test stream. ``options={"state": s}``
        starts from a given state, ``options={"state": s, "turns": n}`` with n turns used, where illegal ones
        were among them. `ValueError` for anything else, before anything is changed.
        """
        seed = check_seed(seed)
        given = check_reset_options(options, ("state", "turns"))
        if "state" in given:
            self.run.check(given["state"])
            turns = self._turns_of(given)
        elif "turns" in given:
            raise ValueError("the reset option turns needs the option state; a new episode has used no turns")
        super().reset(seed=seed)
        if "state" in given:
            self.run.state = given["state"]
            self.run.turns = turns
        else:
            self.run.start(int(self.np_random.integers(TEST)) if seed is None else seed)
        return self._observe()

    def step(self, action: np.int64 | int | str) -> tuple[Frame, SupportsFloat, bool, bool, Info]:
        """Play the action with this index; `LOST` plays none and counts as illegal.

        Where actions are open, `action` is the action in words. `ValueError` for what is no whole number in
        the range, such as a float, a truth value or a word.
        """
        with _gymnasium_errors():
            outcome = self.run.step(self._words(action))
        frame, info = self._observe()
        return frame, *outcome, info

    def _words(self, action: np.int64 | int | str) -> str | None:
        """Return an action in words; None for `LOST`."""
        if not self.index and isinstance(action, str):
            return self.game.read(action, self.run.state)
        number = self._number_of(action)
        return None if number == LOST else self.run.words[number]

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions are legal now, by their index: bool (actions,).

        MaskablePPO of sb3-contrib calls it by this name. `ValueError` where actions are open.
        """
        if not self.index:
            raise ValueError(f"{self.game.name} has no action masks: its actions are words, not numbers")
        mask = bytearray(len(self.index))
        with _gymnasium_errors():
            for word in self.run.legal:
                mask[self.index[word]] = 1
        return np.frombuffer(mask, np.bool_)

    def render(self) -> Frame | str | None:
        """Show the state: the picture (`rgb_array`), its words (`ansi`), or None in a window (`human`)."""
        with _gymnasium_errors():
            if self.render_mode == "ansi":
                return self.run.scene.describe()
            if self.render_mode == "rgb_array":
                return self.run.picture()
            if self.render_mode == "human":
                self._show(self.run.picture())
            return None

    def close(self) -> None:
        """Close the window, if there is one; other environments keep theirs."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def _show(self, frame: Frame) -> None:
        if self._window is None:
            fps = self.metadata["render_fps"]
            self._window = Window(self.game.title, frame.shape[1], frame.shape[0], fps)
        self._window.show(frame)

    def _number_of(self, action: object) -> int:
        """Return an action as a number that `step` takes."""
        number = as_integer(action)
        if not self.index and number != LOST:
            raise ValueError(f"action {action!r} is not possible; actions are words: {self.game.form}")
        if number is None or not LOST <= number < len(self.index):
            named = f"; {action!r} is action {self.index[action]}" if _is_word(action, self.index) else ""
            raise ValueError(
                f"action {action!r} is not possible; actions are 0 to {len(self.index) - 1}, each the place "
                f"of a word in `words`, and {LOST} for a turn without an action{named}"
            )
        return number

    def _turns_of(self, options: Mapping[str, Any]) -> int:
        """Return the turns that a state was reset with: by the option, or else its own."""
        state = options["state"]
        if "turns" not in options:
            return int(state.turn)
        turns = as_integer(options["turns"])
        if turns is None or not state.turn <= turns <= self.knobs.turns:
            raise ValueError(
                f"turns={options['turns']!r} is not possible; this state has used {state.turn} turns at "
                f"least, and the limit is {self.knobs.turns}"
            )
        return turns

    def _observe(self) -> tuple[Frame, Info]:
        frame = self.run.picture()
        if self.render_mode == "human":
            self._show(frame)
        if not self.index:
            return frame, self.run.info()
        return frame, {"action_mask": self.action_masks().view(np.int8), **self.run.info()}


@contextmanager
def _gymnasium_errors() -> Iterator[None]:
    """Raise gymnasium's own error where an episode has ended or not begun."""
    try:
        yield
    except Ended as error:
        raise gym.error.ResetNeeded(str(error)) from None


def check_seed(seed: object) -> int | None:
    """Accept None or a whole number in [0, 2^63); `ValueError` for anything else."""
    if seed is None:
        return None
    number = as_integer(seed)
    if number is None or not 0 <= number < 2 * TEST:
        raise ValueError(f"seed {seed!r} is not possible; a seed is a whole number from 0 to 2^63 - 1")
    return number


def check_reset_options(options: object, known: tuple[str, ...]) -> Mapping[str, Any]:
    """Accept None or a dict of reset options with these names; `ValueError` for anything else."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ValueError(f"reset options {options!r} are not possible; they are a dict of {', '.join(known)}")
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ValueError(f"unknown reset options {unknown}; options: {', '.join(known)}")
    return options


def as_integer(value: Any) -> int | None:
    """Return a whole number of any type, such as one of numpy, as an int; None for anything else."""
    try:  # to ask first whether it is a SupportsIndex takes Python 3.11 as long as a copy of a frame
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None


def _is_word(action: object, words: Mapping[str, int]) -> TypeGuard[str]:
    return isinstance(action, str) and action in words


def action_space(actions: tuple[str, ...]) -> gym.Space[Any]:
    """Make the space of actions: an index into their words, or any words where actions are open."""
    if actions:
        return Discrete(len(actions))
    return Text(LONGEST_ANSWER, charset="".join(map(chr, range(32, 127))))


def picture_space(*shape: int) -> gym.Space[Any]:
    """Make the space of pictures, uint8 of this shape, with bounds that take no memory."""
    space = Box(0, 255, shape, np.uint8)
    for name in ("low", "high", "bounded_below", "bounded_above"):  # each as large as all the pictures
        setattr(space, name, np.broadcast_to(getattr(space, name).flat[0], shape))
    return space
