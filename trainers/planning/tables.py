"""A plan as tables, for the terminal and for documents."""

from collections.abc import Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .checks import warnings
from .costs import GB
from .plan import PlannedTask, RunPlan

FORMULAS = (
    "Per token: 6 N operations to learn, 2 N to read, write or judge; N: parameters. Written tokens come one "
    "at a time, each for a pass over all weights and the cache. Memory: weights, gradients and optimizer by "
    "their bytes; activations by the longest row; updating and generating take turns. "
    "All of it is arithmetic, none was measured."
)


def plan_tables(plan: RunPlan, dollars: float | None = None) -> Iterator[RenderableType]:
    """Render a plan: model, tasks, stages, memory, time, warnings. `dollars` is the price of a GPU hour."""
    yield _model(plan)
    yield _tasks(plan)
    yield _stages(plan)
    yield _memory(plan)
    yield _time(plan, dollars)
    yield Text(FORMULAS)
    for warning in warnings(plan):
        yield Text(f"warning: {warning}", style="yellow")


def _table(title: str, *columns: str, text_columns: int = 1) -> Table:
    """Make a table whose first columns, `text_columns` of them, are words, and the others numbers."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < text_columns else "right", no_wrap=True)
    return table


def _model(plan: RunPlan) -> Text:
    model = plan.model
    counted = "counted by its processor"
    if not plan.exact:
        counted = "of pictures counted, of words estimated (~) by words, digits and signs"
    return Text(
        f"{model.name} ({model.source}): {model.parameters:,} parameters, {model.vision:,} of "
        f"them vision; {model.layers} layers of {model.hidden}, {model.positions} positions; tokens {counted}"
    )


def _tasks(plan: RunPlan) -> Table:
    sure = "" if plan.exact else "~"
    columns = (
        "task",
        "level",
        "board",
        "picture",
        "cell",
        "visual tokens",
        "a cell",
        "prompt",
        "reply",
        "longest",
        "thought",
    )
    table = _table("Tasks, in pixels and tokens; replies are the solver's", *columns, text_columns=2)
    for shown in plan.tasks:
        table.add_row(
            shown.task.game,
            shown.task.reasoning,
            f"{shown.rows} x {shown.cols}",
            f"{shown.task.look.size}",
            f"{shown.cell}",
            f"{shown.picture.tokens}",
            _each_cell(shown),
            f"{sure}{shown.prompt}",
            f"{sure}{shown.reply:.0f}",
            f"{sure}{shown.longest}",
            "none" if shown.thought is None else f"{sure}{shown.thought:.0f}",
        )
    return table


def _each_cell(shown: PlannedTask) -> str:
    """Return the number of visual tokens of a cell as text, if each shows one cell alone."""
    if not shown.aligned:
        return "?" if shown.aligned is None else "not aligned"
    assert shown.picture.across is not None
    return f"{(shown.cell * shown.picture.across // shown.task.look.size) ** 2}"


def _stages(plan: RunPlan) -> Table:
    columns = "stage", "steps", "a step", "written", "learnt from", "FLOP", "written", "learnt from", "FLOP"
    table = _table("Stages, in tokens and operations: first a step, then in all", *columns)
    for stage in plan.stages:
        each = stage.generated, stage.trained, stage.flops(plan.model)
        table.add_row(
            stage.name,
            f"{stage.steps}",
            f"{stage.rows} x {stage.replies}",
            *(_short(number) for number in each),
            *(_short(number * stage.steps) for number in each),
        )
    return table


def _memory(plan: RunPlan) -> Table:
    columns = "stage", "GPUs", "has", "weights", "gradients", "optimizer", "reference", "activations"
    table = _table(
        f"Memory of each GPU in bytes, of {_short(plan.card.memory * GB)} (! is too much): it has "
        "all weights, as in DDP, or parts, as in ZeRO-3 and FSDP2",
        *(*columns, "copy", "cache", "peak", ""),
    )
    for cost in plan.costs:
        for name, memory in cost.memory.items():
            fits = memory.peak <= plan.card.memory * GB
            table.add_row(
                cost.stage.name,
                f"{cost.gpus}",
                name,
                *(_short(size) for size in memory.sizes),
                Text(_short(memory.peak), style="" if fits else "red"),
                "" if fits else Text("!", style="red"),
            )
    return table


def _time(plan: RunPlan, dollars: float | None) -> Table:
    columns = "stage", "GPUs", "writing", "learning", "together", "hours", "GPU hours"
    table = _table(
        f"Seconds a step, then hours in all, at {plan.utilisation:.0%} of {plan.card.teraflops:g} TFLOP/s, "
        f"{plan.card.bandwidth:g} TB/s",
        *columns,
        *([] if dollars is None else ["dollars"]),
    )
    for cost in plan.costs:
        held = cost.hours * cost.gpus
        numbers = [
            *cost.time,
            sum(cost.time),
            cost.hours,
            held,
            *([] if dollars is None else [held * dollars]),
        ]
        table.add_row(cost.stage.name, f"{cost.gpus}", *(_short(number) for number in numbers))
    return table


def _short(number: float) -> str:
    """Write a number with three digits and a letter for its thousands; - for none."""
    if not number:
        return "-"
    if number < 0.01:
        return "<0.01"
    for letter in ("", "k", "M", "G", "T", "P", "E"):
        if number < 999.5:
            return f"{number:.3g}{letter}"
        number /= 1000
    return f"{number:.3g}Z"
