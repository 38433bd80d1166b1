"""The one adapter between games and gymnasium."""

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from vlm_gym.game import TEST, Game, GameKnobs, State
from vlm_gym.knobs import Choice
from vlm_gym.registry import find
from vlm_gym.render import Frame, Look, Painter, look
from vlm_gym.window import Window

ILLEGAL = -1.0
"""Reward of an action that is not legal."""

LOST = -1
"""The action of a turn without one, such as a reply that cannot be read; outside the action space."""

Info = dict[str, Any]


class GameEnv(gym.Env[Frame, np.int64]):
    """One game as a gymnasium environment.

    Observation: the very picture that a model sees, RGB uint8 (size, size, 3); fresh at every step.
    Action: an index into `words`, the game's actions in words.
    Reward: the game's own, in [-1, 1]. An illegal action costs 1, leaves the state as it is, counts as a turn
    and is explained in ``info["error"]``.
    Ends: `terminated` when the game is over, `truncated` when the turn limit (knob ``turns``) is reached.

    Info, at every step:

    - ``action_mask``: int8 (actions,), 1 where legal, for ``action_space.sample(mask)``
    - ``legal``: the legal actions in words
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
        self.words = self.game.actions(self.knobs)
        self.index = {word: index for index, word in enumerate(self.words)}
        self.action_space = Discrete(len(self.words))
        self.observation_space = Box(0, 255, (self.look.size, self.look.size, 3), np.uint8)
        self._painter = Painter(self.look)
        self._window: Window | None = None
        self._state: State | None = None
        self._turns = 0
        self._event = self._error = ""

    @property
    def state(self) -> State:
        """The whole episode: frozen, picklable. Set it to go on from any state of the same game and knobs.

        The next picture, mask, dice and score are then as they were; the turns used are the state's turns.
        """
        if self._state is None:
            raise gym.error.ResetNeeded("there is no state before the first reset()")
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        if not isinstance(state, State) or type(state.knobs) is not type(self.knobs):
            raise ValueError(f"{type(state).__name__} is not a state of {self.game.name}")
        if state.knobs != self.knobs:
            raise ValueError(f"a state of {state.knobs} does not fit an environment of {self.knobs}")
        self._state, self._turns = state, state.turn
        self._event = self._error = ""

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
            self.state = options["state"]
        else:
            deal = int(self.np_random.integers(TEST)) if seed is None else seed
            self.state = self.game.start(deal, self.knobs)
        self._turns = options.get("turns", self._turns)
        return self._observe()

    def step(self, action: np.int64 | int) -> tuple[Frame, SupportsFloat, bool, bool, Info]:
        """Play the action with this index; `LOST` plays none and counts as illegal."""
        if not LOST <= action < len(self.words):
            raise ValueError(f"action {action!r} is not possible; actions are 0 to {len(self.words) - 1}")
        state = self.state
        if state.over or self._turns >= self.knobs.turns:
            raise gym.error.ResetNeeded("this episode has ended; call reset() before the next step()")
        reward, self._event, self._error = ILLEGAL, "", ""
        if action == LOST:
            self._error = "no action"
        elif (words := self.words[int(action)]) in self._legal:
            self._state, reward, _, self._event = self.game.step(state, words)
        else:
            self._error = str(self.game.refuse(state, words))
        self._turns += 1
        frame, info = self._observe()
        over = self.state.over
        return frame, reward, over, not over and self._turns >= self.knobs.turns, info

    def render(self) -> Any:
        """Show the state: the picture (`rgb_array`), its words (`ansi`), or None in a window (`human`)."""
        if self.render_mode == "ansi":
            return self.game.scene(self.state).describe()
        if self.render_mode == "rgb_array":
            return self._paint()
        if self.render_mode == "human":
            self._show(self._paint())
        return None

    def close(self) -> None:
        """Close the window, if there is one; other environments keep theirs."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def _paint(self) -> Frame:
        state = self.state
        return self._painter.paint(self.game.scene(state), state.seed, state.turn)

    def _show(self, frame: Frame) -> None:
        if self._window is None:
            self._window = Window(self.game.title, frame.shape[1], frame.shape[0])
        self._window.show(frame)

    def _observe(self) -> tuple[Frame, Info]:
        state = self.state
        scene = self.game.scene(state)
        frame = self._painter.paint(scene, state.seed, state.turn)
        if self.render_mode == "human":
            self._show(frame)
        self._legal = self.game.legal(state)
        return frame, {
            "action_mask": self._mask(self._legal),
            "legal": self._legal,
            "truth": scene.describe(),
            "score": state.score,
            "success": self.game.success(state),
            "event": self._event,
            "error": self._error,
            "turns_left": max(0, self.knobs.turns - self._turns),
        }

    def _mask(self, legal: tuple[str, ...]) -> NDArray[np.int8]:
        mask = np.zeros(len(self.words), np.int8)
        mask[[self.index[word] for word in legal]] = 1
        return mask


def check_seed(seed: Any) -> int | None:
    """Accept None or a whole number in [0, 2^63); `ValueError` for anything else."""
    if seed is None:
        return None
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2 * TEST:
        raise ValueError(f"seed {seed!r} is not possible; a seed is a whole number from 0 to 2^63 - 1")
    return int(seed)
