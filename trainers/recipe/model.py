"""The keys of ``[model]``."""

from dataclasses import dataclass, field
from importlib.resources import files
from typing import Annotated, Literal

from vlm_gym.config import Within
from vlm_gym.storage import from_home

from .tables import Table

TINY_BASE = "tiny-base"
"""The path of the model that is shipped."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is trained: a tiny model, new or the shipped base, or one of the hub or of a folder."""

    path: str = "tiny"
    """``tiny``: built for the run, with random weights. ``tiny-base``: shipped; it reads boards and writes
    replies in form with random actions (assets/models/tiny). Otherwise a name on the hub, or a folder."""
    family: str = "qwen3_vl"
    """Of the tiny model: one of `tiny_families.TINY_PARTS`."""
    width: Annotated[int, Within(64, 16_384)] = 128
    """Of the tiny model: hidden size of its language half."""
    depth: Annotated[int, Within(1, 1_000)] = 3
    """Of the tiny model: layers of its language half."""
    positions: Literal["rotary", "learned"] = "rotary"
    """Of the tiny model: the position embedding of its language half. ``learned``, of the family llava
    alone, has an embedding for every position. On boards of one size a cell then always stands at the same
    position, and thoughts are learned sooner (docs/LOG.md)."""
    attention: Literal["random", "mimetic"] = "random"
    """Of the tiny model: the weights of attention that its language half begins with. ``mimetic``: the keys
    are those of the queries, so that a token first attends to those like itself. It learns sooner which cells
    hold equal tiles (docs/LOG.md)."""
    pictures: Table = field(default_factory=dict)
    """What changes in the picture half of the processor, by its own names: ``do_image_splitting = false``."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """The dtype of training. ``auto`` is float32, since half precision loses small updates; with `lora` it is
    what they were saved in, since only adapters learn."""
    vision: Literal["train", "frozen"] = "train"
    """Whether the tower that looks at pictures learns. What carries over to the language half always does."""
    lora: Table = field(default_factory=dict)
    """Low-rank adapters in place of all weights, by the names of peft's `LoraConfig`; without any, none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", from_home(self.path))
        built = (self.family, self.width, self.depth, self.positions, self.attention)
        if self.path == TINY_BASE and built != ("qwen3_vl", 128, 3, "rotary", "random"):
            raise ValueError(
                f'model.path="{TINY_BASE}" is one model: leave out model.family, width, depth, positions and '
                'attention; model.path="tiny" takes them'
            )
        if self.positions == "learned" and self.family != "llava":
            raise ValueError(
                f'model.positions="learned" takes model.family="llava"; {self.family!r} has rotary positions'
            )
        if self.path == "tiny" and self.width % 64:
            raise ValueError(f"model.width={self.width} is not possible; model.width is a multiple of 64")

    @property
    def is_tiny(self) -> bool:
        """Whether this is a model for a CPU: built for the run, or the shipped base."""
        return self.path in ("tiny", TINY_BASE)

    @property
    def location(self) -> str:
        """The name on the hub or the folder that `from_pretrained` takes; not of ``tiny``, which is built."""
        if self.path == TINY_BASE:
            return str(files("vlm_gym.assets") / "models" / "tiny")
        return self.path
