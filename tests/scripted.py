"""GRPO on replies that are written by hand, in as many processes as there are; a program of its own.

``python scripted.py MODEL OUT`` trains a few steps for every way to scale advantages and to give credit. The
main process writes what became of them as JSON: the advantage of every token, loss and gradient. A reply
depends on its position and on its place in the group alone, so that all numbers are those of one process.
"""

import json
import sys
from collections.abc import Iterator
from itertools import product
from operator import itemgetter
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch
from accelerate.utils import gather_object
from talking import Listener, grouped
from vlm_gym.trainers.distributed import together
from vlm_gym.trainers.learners.sharing_learner import SharingLearner
from vlm_gym.trainers.recipe import Grpo

from vlm_gym.rollouts.policy import Request

WAYS = list(product(*(get_args(get_type_hints(Grpo)[name]) for name in ("scale", "advantage_by"))))
"""Every scale with every credit."""
CURVES = ("reward", "loss", "grad_norm")


class Scripted(SharingLearner):
    """Writes replies that differ within each group, and keeps the advantages of every step."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.advantages: list[list[list[list[float]]]] = []
        """By step, group, reply and token."""

    def write(self, requests: Any, prompts: Any, n: int) -> Any:
        replies = []
        size = self.num_generations
        for at, request in enumerate(requests):
            for place in range(n):
                first = n > 1  # of a play; later turns are asked for lane by lane
                number, lane = (self._numbers[at], place) if first else (self._numbers[at // size], at % size)
                words = reply(request, number, lane)
                replies.append([*self._tokenizer(words)["input_ids"], self._tokenizer.eos_token_id])
        return replies, None

    def _generate_and_score_completions(self, inputs: list[Any]) -> dict[str, Any]:
        turns = self._asked.turns if isinstance(self._asked.turns, int) else 1
        self._numbers = [row["number"] for row in inputs][:: self.num_generations * turns]
        batch = super()._generate_and_score_completions(inputs)
        mask, given = batch["completion_mask"].bool(), batch["advantages"]
        spread = (given if given.ndim == 2 else given[:, None]).expand(mask.shape)
        mine = []
        for at, (tokens, kept) in enumerate(zip(spread, mask, strict=True)):
            turn, group = divmod(at // self.num_generations, len(self._numbers))
            mine.append(((self._numbers[group], turn), tokens[kept].tolist()))
        groups = dict[tuple[int, int], list[list[float]]]()
        for number, tokens in sorted(gather_object(mine), key=itemgetter(0)):
            groups.setdefault(number, []).append(tokens)
        self.advantages.append(list(groups.values()))
        return batch


def reply(request: Request, number: int, place: int) -> str:
    """Reply with the whole perception, half of it or none, and with one of several moves."""
    truth, legal = request.game.scene(request.state).describe(), request.game.legal(request.state)
    told = (truth, truth[: len(truth) // 2], "", truth)[(place + number) % 4]
    move = legal[(place + number // 2) % len(legal)] if place != number % 3 else "sideways"
    return f"<perception>{told}</perception><answer>{move}</answer>"


def runs(model: Path, out: Path, processes: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Train anew for each way, and for plays of two turns."""
    weights = {"game": 1.0, "format": 0.5, "perception": 2.0}
    ways: dict[str, dict[str, Any]] = {
        f"{scale}/{credit}": {"scale": scale, "advantage_by": credit} for scale, credit in WAYS
    }
    for credit in ("return", "gigpo", "graph"):
        told = {"turns": 2, "turn_credit": credit, "advantage_by": "section", "scale": "game"}
        ways[f"plays/{credit}"] = told
    for way, asked in ways.items():
        made: Any = grouped(
            model, out, kind=Scripted, processes=processes, weights=weights, prompts_per_step=8, **asked
        )
        heard = Listener(made)
        made.go_on(None)
        curves = {name: [line[name] for line in heard.lines] for name in CURVES}
        yield way, {"advantages": made.advantages, **curves}


def main(model: Path, out: Path) -> None:
    """Train, and write what became of it."""
    torch.set_num_threads(1)
    with together() as processes:
        told = dict(runs(model, out, processes.num_processes))
        if processes.is_main_process:
            (out / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
