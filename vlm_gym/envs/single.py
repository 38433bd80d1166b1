"""The one adapter between games and gymnasium."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, Text

from vlm_gym.actions import LONGEST
from vlm_gym.envs.run import Ended, Run
from vlm_gym.envs.window import Window
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
        game: str | Game[Any],
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
        with _as_gymnasium_says():
            return self.run.state

    @state.setter
    def state(self, state: State) -> None:
        self.run.state = state

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Frame, Info]:
        """Deal a new episode: the one that `seed` stands for, or the next of the environment's own stream.

        `seed` is a whole number in [0, 2^63); from 2^62 on it is of the test stream. ``options={"state": s}``
        starts from a given state, ``options={"state": s, "turns": n}`` with n turns used, where illegal ones
        were among them.
        """
        seed = check_seed(seed)
        options = options or {}
        unknown = set(options) - {"state", "turns"}
        if unknown:
            raise ValueError(f"unknown reset options {sorted(unknown)}; options: state, turns")
        super().reset(seed=seed)
        if "state" in options:
            self.run.state = options["state"]
        else:
            self.run.start(int(self.np_random.integers(TEST)) if seed is None else seed)
        self.run.turns = options.get("turns", self.run.turns)
        return self._observe()

    def step(self, action: np.int64 | int | str) -> tuple[Frame, SupportsFloat, bool, bool, Info]:
        """Play the action with this index, or in these words; `LOST` plays none and counts as illegal."""
        with _as_gymnasium_says():
            outcome = self.run.step(self._words(action))
        frame, info = self._observe()
        return frame, *outcome, info

    def _words(self, action: np.int64 | int | str) -> str | None:
        """Spell an action; None for `LOST`."""
        if isinstance(action, str):
            if self.index:
                raise ValueError(
                    f"action {action!r} is not possible; actions are 0 to {len(self.index) - 1}, "
                    "indices into `words`"
                )
            return self.game.read(action, self.run.state)
        if not LOST <= action < len(self.index):
            choices = f"0 to {len(self.index) - 1}" if self.index else f"words: {self.game.form}"
            raise ValueError(f"action {action!r} is not possible; actions are {choices}")
        return None if action == LOST else self.run.words[int(action)]

    def render(self) -> Any:
        """Show the state: the picture (`rgb_array`), its words (`ansi`), or None in a window (`human`)."""
        with _as_gymnasium_says():
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
            self._window = Window(self.game.title, frame.shape[1], frame.shape[0])
        self._window.show(frame)

    def _observe(self) -> tuple[Frame, Info]:
        frame = self.run.picture()
        if self.render_mode == "human":
            self._show(frame)
        if not self.index:
            return frame, self.run.info()
        mask = np.zeros(len(self.index), np.int8)
        mask[[self.index[word] for word in self.run.legal]] = 1
        return frame, {"action_mask": mask, **self.run.info()}


@contextmanager
def _as_gymnasium_says() -> Iterator[None]:
    """Raise gymnasium's own error where an episode has ended or not begun."""
    try:
        yield
    except Ended as error:
        raise gym.error.ResetNeeded(str(error)) from None


def check_seed(seed: Any) -> int | None:
    """Accept None or a whole number in [0, 2^63); `ValueError` for anything else."""
    if seed is None:
        return None
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2 * TEST:
        raise ValueError(f"seed {seed!r} is not possible; a seed is a whole number from 0 to 2^63 - 1")
    return int(seed)


def action_space(words: tuple[str, ...]) -> gym.Space[Any]:
    """Make the space of actions: an index into their words, or any words where actions are open."""
    if words:
        return Discrete(len(words))
    return Text(LONGEST, charset="".join(map(chr, range(32, 127))))


def picture_space(*shape: int) -> gym.Space[Any]:
    """Make the space of pictures, uint8 of this shape, with bounds that take no memory."""
    space = Box(0, 255, shape, np.uint8)
    for name in ("low", "high", "bounded_below", "bounded_above"):  # each as large as all the pictures
        setattr(space, name, np.broadcast_to(getattr(space, name).flat[0], shape))
    return space
