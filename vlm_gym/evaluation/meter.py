"""Progress of a run on standard error: a bar for each policy, in turns."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from vlm_gym.bars import bars, rate


class Meter:
    """Bars that are shown as long as the context is open."""

    def __init__(self, quiet: bool = False) -> None:
        self.progress = bars("turns, {task.fields[rate]}/s", quiet=quiet)

    def bar(self, name: str, done: int, limits: Sequence[int]) -> "Bar":
        """Show a bar for what may take so many turns, one limit an episode, beside those that are done."""
        return Bar(self, name, done, done + sum(limits))

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()


class Bar:
    """One bar. Episodes may end before their limit, so the total shrinks during the run."""

    def __init__(self, meter: Meter, name: str, done: int, total: int) -> None:
        self._progress = meter.progress
        self._done = done
        self._total = total
        self._new = 0
        self._task = self._progress.add_task(name, total=total, completed=done, rate="-")

    def turned(self, count: int = 1) -> None:
        """Count turns."""
        self._new += count
        self._show()

    def ended(self, turns: int, limit: int) -> None:
        """Count out the turns that an episode did not take."""
        self._total -= limit - turns
        self._show()

    def _show(self) -> None:
        speed = rate(self._progress, self._task, self._new)
        self._progress.update(self._task, total=self._total, completed=self._done + self._new, rate=speed)
