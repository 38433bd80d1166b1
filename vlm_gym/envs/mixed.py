"""Many games of several kinds at once, played by replies in words."""

from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np
from gymnasium.spaces import Dict
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from vlm_gym.actions import Reply, parse_for
from vlm_gym.envs.game_batch import Batch, Move, Order, Stepped
from vlm_gym.envs.processes import ProcessBatch
from vlm_gym.envs.single import Info, picture_space
from vlm_gym.envs.text import text_space
from vlm_gym.envs.vector import BatchVectorEnv, check_number
from vlm_gym.game import Game
from vlm_gym.knobs import Choice
from vlm_gym.prompt import instructions
from vlm_gym.registry import find
from vlm_gym.render import Look, look


class TextVectorEnv(BatchVectorEnv):
    """Games of one kind or several, played by replies: what `TextEnv` gives for one, in arrays.

    Observation: ``{"image": pictures, "text": texts}``; uint8 (environments, size, size, 3), RGB, one buffer
    that is drawn on in place: valid until the next `step` or `reset`, not to be written to (with `copy`, the
    caller's own); and the rules of each environment's game.
    Action: a list of replies, such as ``"<answer>left</answer>"``, one for each environment.
    Info: as of `GameVectorEnv`, with ``reply`` but without ``action_mask``.
    Ends: as `autoreset_mode` says (`gymnasium.vector.AutoresetMode`).
    """

    def __init__(
        self,
        games: str | Game | Sequence[str | Game],
        num_envs: int,
        workers: int = 0,
        perception: Choice | Look = 0,
        reasoning: Choice = 2,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = False,
        timeout: float = 60.0,
    ) -> None:
        """Make the environments, the games in turn; `ValueError` says what there is for what is unknown.

        With `workers` they live in so many processes, which changes nothing but the speed: a process that
        dies, or takes more than `timeout` seconds for a step, is replaced without a loss. Processes are
        spawned: a script needs ``if __name__ == "__main__":``, and a game of its own must be importable.
        """
        check_number(num_envs)
        if isinstance(games, str | Game):
            games = [games]
        if not games:
            raise ValueError("games=[] is not possible; there must be one game at least")
        listed = [find(game) if isinstance(game, str) else game for game in games]
        settled = [(game, game.settle(reasoning)) for game in listed]
        self.games = tuple(islice(cycle(listed), num_envs))
        texts = [instructions(*game_and_knobs) for game_and_knobs in settled]
        self._texts = tuple(islice(cycle(texts), num_envs))
        self._replies: list[Reply] = []
        self.look = look(perception)
        played = [*islice(cycle(settled), num_envs)]
        batch: Batch | ProcessBatch
        if workers:
            batch = ProcessBatch(played, self.look, workers, timeout)
        else:
            frames = np.zeros((num_envs, self.look.size, self.look.size, 3), np.uint8)
            batch = Batch(played, self.look, frames)
        super().__init__(batch, render_mode, autoreset_mode, copy)
        text = text_space(*texts)
        pictures = batch.frames.shape
        self.single_action_space = text
        self.action_space = batch_space(text, num_envs)
        self.single_observation_space = Dict({"image": picture_space(*pictures[1:]), "text": text})
        self.observation_space = Dict({"image": picture_space(*pictures), "text": self.action_space})

    def _read(self, actions: Any) -> Sequence[Move]:
        listed = isinstance(actions, Sequence | np.ndarray) and not isinstance(actions, str)
        if not listed or len(actions) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments need a list of as many replies, not {actions!r}")
        for index, text in enumerate(actions):
            if not isinstance(text, str):
                raise ValueError(f"reply {index} is {text!r}; a reply is text, as '<answer>left</answer>'")
        self._replies = []
        environments = zip(self.games, self._batch.states, actions, self._rows, strict=True)
        for game, state, text, row in environments:
            # The legal actions are those of the last info: the rules need not list them again.
            self._replies.append(parse_for(game, state, text, row.info["legal"]))
        return [Move(reply.action, reply.error) for reply in self._replies]

    def _play(self, orders: Sequence[Order]) -> Sequence[Stepped | None]:
        rows = super()._play(orders)
        for index, (row, order) in enumerate(zip(rows, orders, strict=True)):
            if row is not None and isinstance(order, Move):
                row.info["reply"] = self._replies[index]
        return rows

    def _infos(self, rows: Sequence[Stepped | None]) -> Info:
        infos = super()._infos(rows)
        replies = [None if row is None else row.info.get("reply") for row in rows]
        if any(replies):
            infos["reply"] = np.fromiter(replies, object, len(replies))
            infos["_reply"] = np.array([reply is not None for reply in replies])
        return infos

    def _observe(self) -> Any:
        return {"image": super()._observe(), "text": self._texts}

    def _view(self, index: int) -> Any:
        return {"image": super()._view(index), "text": self._texts[index]}
