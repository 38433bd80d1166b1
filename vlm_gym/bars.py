"""Progress bars on standard error, the same for every command."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def bars(note: str = "", *, quiet: bool = False, transient: bool = False, window: float = 30.0) -> "Progress":
    """Return a context that shows bars: description, bar, count, note, time that is left.

    `note` is a template over the fields of a task, such as ``{task.fields[rate]} turns/s``. A `quiet` context
    shows nothing, and the bars of a `transient` one are removed at its end. `window` is the time in seconds
    over which the speed is measured.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    # Without markup: names of models and files may hold brackets, which would be read as styles.
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
    ]
    if note:
        columns.append(TextColumn(note, markup=False))
    columns.append(TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(
        *columns, console=console, disable=quiet, transient=transient, speed_estimate_period=window
    )


def rate(progress: "Progress", task: "TaskID", count: int) -> str:
    """Return the mean speed of a task since it began, `count` over its seconds, as text."""
    seconds = progress.tasks[task].elapsed or 1.0
    return f"{count / seconds:,.0f}"


def print_line(progress: "Progress", text: str) -> None:
    """Print a line above the bars, as it is: without markup, colors or line breaks."""
    progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
