"""The keys of ``[data]`` and ``[cold_start]``: rows, teachers, and supervised training on them."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from vlm_gym.config import Within, build
from vlm_gym.knobs import suggest

from .ranges import Amount, NotNegative, Positive, Rows, Share, Size, Steps
from .tables import Table
from .task import Shares, some_above

TEACHERS = ["solver", "random", "openai:MODEL"]

Optimizer = Literal["adamw", "muon", "muonclip"]
"""TRL's own AdamW, by all its names, or one of `muon`, which takes the learning rate and the weight decay."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """What `vlm_gym.rollouts.remote.OpenAI` takes, with the ranges of it."""

    base_url: str | None = None
    temperature: Amount | Literal["omit"] = 0.0
    max_tokens: Positive = 1024
    seed: int = 0
    concurrency: Positive = 16
    per_minute: Amount = 0.0
    time_limit: Annotated[float, Within(0, above=True)] = 120.0
    retries: NotNegative = 5
    dollars_in: Amount = 0.0
    dollars_out: Amount = 0.0


@dataclass(frozen=True, kw_only=True)
class Data:
    """The rows of the cold start: their number, their positions, and their teacher."""

    rows: Rows = 1000
    shares: Shares = field(default_factory=lambda: Shares(walk=0.5, solver=0.5))
    teacher: str = "solver"
    """``solver``; ``random``, which writes an empty thought and any legal action; or ``openai:MODEL``, which
    gets the true board as text."""
    options: Table = field(default_factory=dict)
    """What an OpenAI-compatible teacher takes: the names of `Endpoint`."""
    good: bool = True
    """Whether a teacher's reply counts only if its answer is a good move, not just a legal one."""
    recoveries: Share = 0.0
    """Share of rows before whose reply a wrong move is shown, illegal or bad, with its feedback."""

    def __post_init__(self) -> None:
        if self.shares.on_policy:
            raise ValueError(
                "data.shares.on_policy is not possible: nobody has played yet; it is for [grpo] alone"
            )
        some_above("data.shares", self.shares)
        provider, _, name = self.teacher.partition(":")
        local = self.teacher in ("solver", "random")
        if local and self.options:
            raise ValueError(
                f"data.options are for a model; the teacher {self.teacher} takes none of {list(self.options)}"
            )
        if self.teacher == "random" and self.good:
            raise ValueError(
                'data.teacher="random" takes data.good=false: its actions are legal, and good by chance alone'
            )
        if not local and (provider != "openai" or not name):
            raise ValueError(
                f"unknown data.teacher {self.teacher!r}{suggest(self.teacher, TEACHERS)}; "
                f"teachers: {', '.join(TEACHERS)}"
            )
        _ = self.endpoint  # raises where there is no such option

    @property
    def endpoint(self) -> Endpoint:
        """The options with their defaults filled in."""
        return build(Endpoint, self.options, "data.options.")


@dataclass(frozen=True, kw_only=True)
class ColdStart:
    """Supervised learning of the rows by TRL's `SFTTrainer`."""

    batch: Size = 32
    """Rows a step, over all devices."""
    by_task: bool = False
    """Whether each micro-batch (``per_device_train_batch_size``) holds rows of one task. Short rows are then
    not padded to the length of long ones, which saves time where boards differ in size."""
    steps: Annotated[int, Within(0, 100_000_000)] = 0
    """0: as many as one pass over the rows, or TRL's ``num_train_epochs``, takes."""
    save: Steps = 100
    """Steps between checkpoints."""
    optimizer: Optimizer = "adamw"
    trl: Table = field(default_factory=dict)
    """By the names of TRL's `SFTConfig`."""
