"""Many games at once: gymnasium's vector environments, drawing into one buffer."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from vlm_gym.envs.game_batch import Batch, Move, Order, Stepped
from vlm_gym.envs.processes import ProcessBatch
from vlm_gym.envs.run import check_state
from vlm_gym.envs.single import (
    LOST,
    Info,
    action_space,
    as_integer,
    check_reset_options,
    check_seed,
    picture_space,
)
from vlm_gym.game import TEST, Game, GameKnobs, State
from vlm_gym.knobs import Choice
from vlm_gym.registry import find
from vlm_gym.render import Frame, Look, look

_BLANK: Info = {
    "legal": None,
    "truth": None,
    "score": 0.0,
    "success": False,
    "event": None,
    "error": None,
    "turns_left": 0,
}
"""The info of an environment that has none to report."""

_DTYPES = {key: np.dtype(object if blank is None else type(blank)) for key, blank in _BLANK.items()}
_values = itemgetter(*_BLANK)


class BatchVectorEnv(VectorEnv[Any, Any, NDArray[Any]]):
    """What our vector environments share: seeds, resets, autoreset modes and infos, as gymnasium has them.

    The pictures returned are one buffer that is drawn on in place: they are valid until the next `step` or
    `reset`, and cannot be written to. With `copy` they are the caller's own.
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 4}

    def __init__(
        self,
        batch: Batch | ProcessBatch,
        render_mode: str | None,
        autoreset_mode: AutoresetMode | str,
        copy: bool,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"unknown render_mode {render_mode!r}; modes: {self.metadata['render_modes']}")
        self._mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self._mode}
        self.render_mode = render_mode
        self.num_envs = len(batch.frames)
        self._batch = batch
        self._copy = copy
        self._shown = batch.frames.view()
        self._shown.flags.writeable = False
        streams = [seeding.np_random() for _ in range(self.num_envs)]
        self._generators, self._seeds = map(list, zip(*streams, strict=True))
        self._rows: list[Stepped] = []

    @abstractmethod
    def _read(self, actions: object) -> Sequence[Move]:
        """Turn the caller's actions into moves, one an environment."""

    def _observe(self) -> object:
        """Return the observations of all environments, as a copy if the environment was made with `copy`."""
        return self._shown.copy() if self._copy else self._shown

    def _view(self, index: int) -> object:
        """Return a copy of the observation of one environment."""
        return self._shown[index].copy()

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Info | None = None
    ) -> tuple[object, Info]:
        """Deal new episodes: those that the seeds stand for, or the next of each environment's own stream.

        `seed` is a number, for `seed`, `seed` + 1, ..., or a list of a number or None for each environment.
        ``options={"reset_mask": mask}`` resets only where the mask, bool (environments,), is True;
        ``options={"state": s}`` starts from a state, or from a list of states, one for each environment.
        """
        seeds = self._seeds_of(seed)
        mask, states = self._options_of(options)
        orders: list[Order] = [None] * self.num_envs
        for index in np.flatnonzero(mask).tolist():
            given = seeds[index]
            if given is not None:
                self._generators[index], self._seeds[index] = seeding.np_random(given)
            if states is not None:
                orders[index] = states[index]
            else:
                orders[index] = self._deal(index) if given is None else given
        return self._observe(), self._infos(self._play(orders))

    def step(
        self, actions: object
    ) -> tuple[object, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Info]:
        """Play one action in every environment; the autoreset mode says what follows an episode's end."""
        if not self._rows:
            raise gym.error.ResetNeeded("no episode has begun; call reset() first")
        ended = [index for index, row in enumerate(self._rows) if row.ended]
        if ended and self._mode is not AutoresetMode.NEXT_STEP:
            raise gym.error.ResetNeeded(f"episodes {ended} have ended; reset() them with a reset_mask")
        orders: list[Order] = [*self._read(actions)]
        if self._mode is AutoresetMode.NEXT_STEP:
            for index in ended:
                orders[index] = self._deal(index)
        self._play(orders)
        rewards, terminated, truncated = zip(*[row.outcome for row in self._rows], strict=True)
        finals = self._restart() if self._mode is AutoresetMode.SAME_STEP else {}
        return (
            self._observe(),
            np.array(rewards, np.float64),
            np.array(terminated, np.bool_),
            np.array(truncated, np.bool_),
            {**finals, **self._infos(self._rows)},
        )

    def _play(self, orders: Sequence[Order]) -> Sequence[Stepped | None]:
        """Carry out the orders, and remember the latest row of every environment."""
        if self.closed:
            raise gym.error.ClosedEnvironmentError("these environments are closed")
        rows = self._batch.play(orders)
        latest = list[Stepped]()
        for new, old in zip(rows, self._rows or rows, strict=True):
            row = new or old  # an environment without an order keeps its row
            if row is not None:
                latest.append(row)
        self._rows = latest
        return rows

    def _restart(self) -> Info:
        """Deal the next episode wherever one has just ended; return the last observations and infos there."""
        ended = [row.ended for row in self._rows]
        if not any(ended):
            return {}
        views = np.full(self.num_envs, None)  # copies: the next deal is drawn into the same buffer
        for index in np.flatnonzero(ended).tolist():
            views[index] = self._view(index)
        finals = self._infos([row if over else None for row, over in zip(self._rows, ended, strict=True)])
        self._play([self._deal(index) if over else None for index, over in enumerate(ended)])
        mask = np.array(ended)
        return {"final_obs": views, "_final_obs": mask, "final_info": finals, "_final_info": mask.copy()}

    def _infos(self, rows: Sequence[Stepped | None]) -> Info:
        """Lay the infos of all environments side by side, as `VectorEnv._add_info` does one by one."""
        mask = np.array([row is not None for row in rows])
        each = [_BLANK if row is None else row.info for row in rows]
        columns = zip(*map(_values, each), strict=True)  # a tuple of all environments for each key
        infos: Info = {}
        for (key, dtype), column in zip(_DTYPES.items(), columns, strict=True):
            infos[key] = np.fromiter(column, dtype, len(column))
            infos["_" + key] = mask.copy()
        return infos

    def render(self) -> tuple[Frame | str, ...] | None:
        """Show all states: pictures (`rgb_array`), or words (`ansi`)."""
        if self.render_mode == "ansi":
            return tuple(row.info["truth"] for row in self._rows)
        return tuple(self._shown.copy()) if self.render_mode == "rgb_array" else None

    def close_extras(self, **kwargs: object) -> None:
        """Release what the environments hold."""
        self._batch.close()

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generators that deal the episodes for which no seed is given, one for each environment."""
        return tuple(self._generators)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seeds of these generators."""
        return tuple(self._seeds)

    def _deal(self, index: int) -> int:
        return int(self._generators[index].integers(TEST))  # seeds from TEST on are the test stream's

    def _seeds_of(self, seed: object) -> Sequence[int | None]:
        if not isinstance(seed, Sequence | np.ndarray):
            first = check_seed(seed)
            return [None if first is None else check_seed(first + index) for index in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"{len(seed)} seeds do not fit {self.num_envs} environments")
        return [check_seed(one) for one in seed]

    def _options_of(self, options: object) -> tuple[NDArray[np.bool_], Sequence[State] | None]:
        """Read the reset options, before anything is changed: the mask, and the states if there are any."""
        options = check_reset_options(options, ("reset_mask", "state"))
        mask = options.get("reset_mask", np.ones(self.num_envs, np.bool_))
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError(f"reset_mask must be a numpy array of bool, not {mask!r}")
        if mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(f"reset_mask must be of shape ({self.num_envs},) and True somewhere, not {mask}")
        if not self._rows and not mask.all():
            raise gym.error.ResetNeeded("no episode has begun; call reset() without a reset_mask first")
        if "state" not in options:
            return mask, None
        states = options["state"]
        if isinstance(states, State):
            states = [states] * self.num_envs
        if not isinstance(states, Sequence | np.ndarray) or isinstance(states, str):
            raise ValueError(f"the reset option state takes a state, or a list of states, not {states!r}")
        if len(states) != self.num_envs:
            raise ValueError(f"{len(states)} states do not fit {self.num_envs} environments")
        for index in np.flatnonzero(mask).tolist():
            check_state(*self._batch.games[index], states[index])
        return mask, list(states)


class GameVectorEnv(BatchVectorEnv):
    """One game, `num_envs` times: what `GameEnv` gives for one, in arrays.

    Observation: uint8 (environments, size, size, 3), RGB; one buffer that is drawn on in place: valid until
    the next `step` or `reset`, not to be written to. With `copy` it is the caller's own.
    Action: an index into `words` for each environment, or `LOST`; a list of words where actions are open.
    Info: the keys of `GameEnv` as arrays, ``action_mask`` int8 (environments, actions), absent where
    actions are open.
    Ends: as `autoreset_mode` says (`gymnasium.vector.AutoresetMode`).

    `call`, `get_attr` and `set_attr` reach the `Run` of each environment: ``get_attr("state")``.
    """

    def __init__(
        self,
        num_envs: int,
        game: str | Game,
        perception: Choice | Look = 0,
        reasoning: Choice | GameKnobs = 2,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = False,
    ) -> None:
        """Make the environments; `ValueError` says what there is for an unknown game, level, knob or mode."""
        check_number(num_envs)
        self.game = find(game) if isinstance(game, str) else game
        self.knobs = self.game.settle(reasoning)
        self.look = look(perception)
        frames = np.zeros((num_envs, self.look.size, self.look.size, 3), np.uint8)
        batch = Batch([(self.game, self.knobs)] * num_envs, self.look, frames)
        super().__init__(batch, render_mode, autoreset_mode, copy)
        self.runs = batch.runs
        self.words = self.runs[0].words
        self._index = {word: index for index, word in enumerate(self.words)}
        self._moves = {LOST: Move(None)}
        for index, word in enumerate(self.words):
            self._moves[index] = Move(word)
        self.single_action_space = action_space(self.words)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.single_observation_space = picture_space(*frames.shape[1:])
        self.observation_space = picture_space(*frames.shape)

    def _read(self, actions: object) -> Sequence[Move]:
        if not self.words:
            return self._read_words(actions)
        try:
            numbers = np.asarray(actions)
        except ValueError:  # lists of different lengths
            numbers = np.empty(0)
        if numbers.shape != (self.num_envs,) or numbers.dtype.kind not in "iu":
            raise ValueError(f"actions must be {self.num_envs} whole numbers, not {actions!r}")
        try:
            return [self._moves[number] for number in numbers.tolist()]
        except KeyError as error:
            raise ValueError(
                f"action {error} is not possible; actions are 0 to {len(self.words) - 1}"
            ) from None

    def _read_words(self, actions: object) -> Sequence[Move]:
        """Spell open actions; `LOST` is none."""
        if isinstance(actions, str) or not isinstance(actions, Collection) or len(actions) != self.num_envs:
            raise ValueError(f"actions must be {self.num_envs} texts: {self.game.form}; not {actions!r}")
        moves = []
        for run, action in zip(self.runs, actions, strict=True):
            if not isinstance(action, str) and action != LOST:
                raise ValueError(f"action {action!r} is not possible; actions are words: {self.game.form}")
            moves.append(Move(self.game.read(action, run.state) if isinstance(action, str) else None))
        return moves

    def _infos(self, rows: Sequence[Stepped | None]) -> Info:
        if not self.words:
            return super()._infos(rows)
        width = len(self.words)
        index_of = self._index
        mask = np.zeros((self.num_envs, width), np.int8)
        legal = list[int]()  # places in the flat mask
        for row_number, row in enumerate(rows):
            if row is not None:
                legal += [row_number * width + index_of[word] for word in row.info["legal"]]
        mask.reshape(-1)[legal] = 1  # one assignment for all rows: the flat view shares their memory
        infos = super()._infos(rows)
        return {"action_mask": mask, "_action_mask": infos["_legal"].copy(), **infos}

    def call(self, name: str, *args: object, **kwargs: object) -> tuple[object, ...]:
        """Call a method of every run, or read an attribute."""
        attributes = [getattr(run, name) for run in self.runs]
        return tuple(
            attribute(*args, **kwargs) if callable(attribute) else attribute for attribute in attributes
        )

    def get_attr(self, name: str) -> tuple[object, ...]:
        """Read an attribute of every run."""
        return self.call(name)

    def set_attr(self, name: str, values: list[object] | tuple[object, ...] | object) -> None:
        """Set an attribute of every run: to one value, or to those of a list, one for each environment.

        A state set here shows from the next step on; `reset` with the option ``state`` shows it at once.
        """
        if not isinstance(values, list | tuple):
            values = [values] * self.num_envs
        if len(values) != self.num_envs:
            raise ValueError(f"{len(values)} values do not fit {self.num_envs} environments")
        for run, value in zip(self.runs, values, strict=True):
            setattr(run, name, value)


def check_number(num_envs: int) -> None:
    """Raise `ValueError` unless there is an environment at least."""
    number = as_integer(num_envs)
    if number is None or number < 1:
        raise ValueError(f"num_envs={num_envs!r} is not possible; it takes a whole number of 1 or more")
