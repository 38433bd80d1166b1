"""Rows of a cold start: positions, a teacher's replies to them, and the filter on replies.

A row is made by the same `Request` that evaluation makes, so words and pictures are those of evaluation, byte
for byte.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from vlm_gym.dice import Dice
from vlm_gym.evaluation.judge import Kind
from vlm_gym.game import State
from vlm_gym.registry import find
from vlm_gym.render.encode import png
from vlm_gym.rollouts.policy import PastTurn, Request
from vlm_gym.rollouts.states import sample
from vlm_gym.storage import dumps
from vlm_gym.workers import Pool, chunks, pool

from ..recipe import Data, Recipe, Task, divide
from .recoveries import mistake
from .teachers import Taught, Teacher

DataRow = dict[str, Any]
"""A row of the file, by the names of its columns."""


_STREAM = 0xC01D57A7
_MISTAKES = 0x315741E5
"""Salts of the seeds, so that rows and wrong moves have random streams of their own."""
_PATIENCE = 50
_LEAST = 0.1
"""After `_PATIENCE` replies to a task, the share `_LEAST` of them must be kept."""


def kept(data: Data) -> Collection[Kind]:
    """List the kinds of replies to learn from: with good answers, or with any that are legal."""
    kinds: tuple[Kind, ...] = ("fine", "misplanned")
    return kinds[:1] if data.good else kinds


class TeacherPosition(NamedTuple):
    """A position to reply to, and its task."""

    task_index: int
    """The number of the task."""
    task: Task
    state: State
    past: tuple[PastTurn, ...] = ()
    """The turns before, as far as the request shows them."""


class ColdStartRows:
    """The rows of a recipe, and the count of what came of all the replies that were asked for.

    Positions are shared out over tasks by weight. No two of a task look the same, and none is of the test
    stream. A reply that is not worth learning from is dropped, and a further position of its task takes its
    place.
    """

    def __init__(self, recipe: Recipe, teacher: Teacher, workers: int | Pool = 0) -> None:
        self._recipe = recipe
        self._teacher = teacher
        self._workers = workers
        self._kinds = kept(recipe.data)
        self.replies: list[Counter[str]] = [Counter() for _ in recipe.task]
        """For each task, how many replies there were of each kind."""
        self.usage: Counter[str] = Counter()
        """What all of them took."""

    def __iter__(self) -> Iterator[DataRow]:
        """Make the rows, each kind of reply being counted as it comes.

        Raises `ValueError` if a task has too few positions, `RuntimeError` if hardly a reply can be kept.
        """
        missing = divide(self._recipe.data.rows, [task.weight for task in self._recipe.task])
        given = [0] * len(missing)
        while any(missing):
            asked = list[TeacherPosition]()
            for index, (first, count) in enumerate(zip(given, missing, strict=True)):
                asked += self._positions(index, first, count)
            given = [first + count for first, count in zip(given, missing, strict=True)]
            # Shuffled, so that a stopped run and the batches of an endpoint hold all tasks.
            Dice(self._recipe.seed ^ _STREAM, sum(given)).shuffle(asked)
            for index, taught, row in self._teach(asked):
                self._count(index, taught)
                if row is not None:
                    missing[index] -= 1
                    yield row

    def _positions(self, index: int, first: int, count: int) -> Iterator[TeacherPosition]:
        """Draw so many positions of a task, after those that were drawn before."""
        if count:
            task = self._recipe.task[index]
            seed = Dice(self._recipe.seed ^ _STREAM, index).bits()
            drawn = sample(
                first + count,
                [task.mixture(self._recipe.data.shares)],
                seed,
                unique=True,
                workers=self._workers,
                history=self._recipe.context,
            )
            for number, position in enumerate(drawn[first:], first):
                yield self._recovery(number, TeacherPosition(index, task, position.state, position.past))

    def _recovery(self, number: int, position: TeacherPosition) -> TeacherPosition:
        """Insert a wrong move before a position, with the probability ``data.recoveries`` of the recipe.

        `number` counts the positions of a task.
        """
        share = self._recipe.data.recoveries
        dice = Dice(self._recipe.seed ^ _MISTAKES, position.task_index << 32 | number)
        if not share or not dice.chance(share):
            return position
        game = find(position.task.game)
        made = mistake(game, position.state, dice)
        if made is None:
            return position
        turn, after = made
        return position._replace(state=after, past=self._recipe.context.shown(game, [*position.past, turn]))

    def _teach(self, asked: Iterable[TeacherPosition]) -> Iterator[tuple[int, Taught, DataRow | None]]:
        """Yield the teacher's replies, from worker processes if the teacher can be copied into them."""
        crew = pool(self._workers) if self._teacher.portable else None
        tasks = chunks(asked, self._teacher.batch, _name)
        for part in (crew.map if crew else map)(partial(_teach, self._teacher, self._kinds), tasks):
            yield from part

    def _count(self, index: int, taught: Taught) -> None:
        replies = self.replies[index]
        task = self._recipe.task[index]
        replies[taught.kind] += 1
        self.usage.update(taught.usage)
        good = sum(replies[kind] for kind in self._kinds)
        asked = replies.total()
        # A teacher that is hardly ever right would be asked, and paid, without end.
        if taught.kind not in self._kinds and asked >= _PATIENCE and good < _LEAST * asked:
            counts = ", ".join(f"{count} {kind}" for kind, count in replies.most_common())
            raise RuntimeError(
                f"{self._teacher.name} gives hardly a reply to learn from at {task.game} {task.reasoning}: "
                f"{counts}; the last: {taught.reply[:500]!r}"
            )


def _name(chunk: Sequence[TeacherPosition]) -> str:
    games = sorted({each.task.game for each in chunk})
    return f"{len(chunk)} positions of {', '.join(games)}"


def _teach(
    teacher: Teacher, kinds: Collection[Kind], chunk: Sequence[TeacherPosition]
) -> list[tuple[int, Taught, DataRow | None]]:
    requests = list[Request]()
    for position in chunk:
        requests.append(position.task.request(position.state, position.past))
    replies = list[tuple[int, Taught, DataRow | None]]()
    for position, request, taught in zip(chunk, requests, teacher.teach(requests), strict=True):
        row = _row(position, request, taught) if taught.kind in kinds else None
        replies.append((position.task_index, taught, row))
    return replies


def _row(position: TeacherPosition, request: Request, taught: Taught) -> DataRow:
    task = position.task
    return {
        "game": task.game,
        "reasoning": task.reasoning,
        "perception": task.perception,
        "state": dumps(position.state),
        "past": dumps(position.past),
        "value": taught.value,
        "prompt": request.messages(),
        "completion": [{"role": "assistant", "content": [{"type": "text", "text": taught.reply}]}],
        "images": [{"bytes": png(picture), "path": None} for picture in request.pictures()],
    }
