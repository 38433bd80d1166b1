"""Cost estimates of a stage: memory, arithmetic and time, by stated formulas. All are estimates.

N is the number of parameters. A token costs 6 N operations where it is learnt from (2 N forward, 4 N
backward; Kaplan et al. 2020) and 2 N where it is read, written, or judged by the reference model. Half of
the 4 N are for weights that learn, if not all do. What is computed twice to save memory is not counted, nor
the part of attention that grows with the squared length.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from vlm_gym.knobs import suggest

from .model_shapes import ModelShape

GB = 1e9
HALF_BYTES = 2
"""Bytes of a bfloat16 number: activations, the cache, and weights while they generate."""


class Card(NamedTuple):
    """An accelerator by its data sheet."""

    memory: float
    """GB."""
    teraflops: float
    """In bfloat16, without sparsity."""
    bandwidth: float
    """Of its memory, in TB/s."""


CARDS = {
    "h100": Card(80, 989, 3.35),
    "h200": Card(141, 989, 4.8),
    "a100": Card(80, 312, 2.04),
    "a100-40gb": Card(40, 312, 1.56),
    "l40s": Card(48, 362, 0.86),
    "rtx4090": Card(24, 165, 1.01),
    "cpu": Card(8, 0.1, 0.02),
}
"""``cpu`` is a small machine of two cores, by rule of thumb."""


def card(name: str) -> Card:
    """Find a card. Raises `ValueError` that lists them."""
    if name not in CARDS:
        raise ValueError(f"unknown card {name!r}{suggest(name, list(CARDS))}; cards: {', '.join(CARDS)}")
    return CARDS[name]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of a run: what it does in a step. Numbers of tokens are of one row or reply."""

    name: str
    steps: int
    rows: int
    """Rows, states or requests a step."""
    replies: int = 1
    """To each of them."""
    prompt: float
    """Mean, over the tasks by their weight; so is `reply`."""
    reply: float
    longest_prompt: int
    longest_reply: int
    learns: bool = False
    generates: bool = False
    reference: bool = False
    """Whether a frozen copy of the model judges what is learnt from."""
    micro: int | None = None
    """Rows of one forward pass on one device; None: all of a step's that fall to it."""
    recomputes: bool = True
    """Whether activations are computed again when they are needed, as gradient checkpointing does."""
    full_logits: bool = True
    """Whether the prompt's tokens get logits, too."""
    weight: int = 4
    """Bytes of a weight and of its gradient in training."""
    moments: int = 8
    """Bytes of the optimizer for each parameter."""
    muon: bool = False
    """Whether matrices have one moment in place of two."""
    remote: bool = False
    """Whether a server on other devices generates."""
    engine: int = 0
    """Devices that share the weights of a vLLM in the training processes; 0: there is none."""
    sleeps: bool = False
    """Whether vLLM frees its weights and its cache during the update."""
    devices: int | None = None
    """Devices that it uses, however many there are."""

    @property
    def samples(self) -> int:
        """Replies a step."""
        return self.rows * self.replies

    @property
    def trained(self) -> float:
        """Tokens a step that are learnt from or lead there: prompts and replies."""
        return self.samples * (self.prompt + self.reply) * self.learns

    @property
    def asked(self) -> float:
        """Tokens a step that the model is asked with where it generates."""
        return self.samples * self.prompt * self.generates

    @property
    def generated(self) -> float:
        """Tokens a step that the model writes."""
        return self.samples * self.reply * self.generates

    def flops(self, shape: ModelShape) -> float:
        """Count the operations of a step."""
        return self.update_flops(shape) + 2 * shape.parameters * (self.asked + self.generated)

    def update_flops(self, shape: ModelShape) -> float:
        """Count the operations of the update."""
        passes = 4 + 2 * self.reference
        return (passes * shape.parameters + 2 * shape.learning) * self.trained

    def with_replies_of(self, tokens: int) -> "Stage":
        """Return the stage with this length for every reply, in tokens."""
        return replace(self, reply=float(tokens), longest_reply=tokens)


@dataclass(frozen=True)
class Memory:
    """Bytes on each device. Gradients and activations, and copy and cache, take turns unless these stay."""

    weights: float
    gradients: float
    optimizer: float
    reference: float
    activations: float
    copy: float
    """Weights to write with beside those that learn: vLLM's, or all where else each device has a part."""
    cache: float
    stays: bool
    """Whether the copy and the cache are there while the model learns, too."""

    @property
    def peak(self) -> float:
        """The larger of what updating and what generating take."""
        kept = self.weights + self.optimizer + self.reference
        learning = self.gradients + self.activations
        writing = self.copy + self.cache
        return kept + (learning + writing if self.stays else max(learning, writing))

    @property
    def sizes(self) -> tuple[float, ...]:
        """All but the peak."""
        return (
            self.weights,
            self.gradients,
            self.optimizer,
            self.reference,
            self.activations,
            self.copy,
            self.cache,
        )


def memory(shape: ModelShape, stage: Stage, gpus: int, sharded: bool) -> Memory:
    """Estimate the memory of each of `gpus` devices.

    `sharded`: weights, gradients, optimizer and reference are cut into a part for each, as ZeRO-3 and FSDP2
    do (both hold 16 bytes for each parameter in mixed precision); otherwise each device has all (DDP).
    """
    count = shape.parameters
    parts = gpus if sharded else 1
    share = -(-stage.samples // gpus)
    micro = min(stage.micro or share, share)
    tokens = micro * (stage.longest_prompt + stage.longest_reply)
    judged = tokens if stage.full_logits else micro * stage.longest_reply
    # What a layer keeps for its backward pass, in numbers a token: its input, its norms, queries, keys,
    # values, attention's output and sum are about 6 of its width; the gated MLP keeps 4 of its own.
    inside = 6 * shape.hidden + 4 * shape.intermediate
    layers = shape.layers * shape.hidden + inside if stage.recomputes else shape.layers * inside
    logits = 2 * 4 * judged * shape.vocabulary  # and their gradient, in float32
    generates_locally = stage.generates and not stage.remote
    moments = shape.learning * stage.moments - shape.matrices * stage.weight * stage.muon
    return Memory(
        weights=count * (stage.weight if stage.learns else HALF_BYTES) / parts,
        gradients=shape.learning * stage.weight / parts * stage.learns,
        optimizer=moments / parts * stage.learns,
        reference=count * stage.weight / parts * (stage.reference and not shape.adapted),
        activations=(HALF_BYTES * tokens * layers + logits) * stage.learns,
        copy=HALF_BYTES
        * count
        / (stage.engine or 1)
        * (generates_locally and (parts > 1 or stage.engine > 0)),
        cache=HALF_BYTES
        * share
        * (stage.longest_prompt + stage.longest_reply)
        * shape.cached
        * generates_locally,
        stays=stage.engine > 0 and not stage.sleeps,
    )


class Time(NamedTuple):
    """Seconds a step."""

    generating: float
    updating: float


def duration(shape: ModelShape, stage: Stage, card: Card, gpus: int, utilisation: float) -> Time:
    """Estimate the time of a step, at a share of what the card can do, without talk between devices.

    Tokens of a reply come one after another, each by a pass over all weights and the cache: the larger of
    that and the arithmetic counts, as often as the longest reply has tokens, since all wait for it.
    """
    speed = card.teraflops * 1e12 * utilisation  # operations a second
    flow = card.bandwidth * 1e12 * utilisation  # bytes a second
    samples = stage.samples / gpus  # replies that are written side by side on a device
    cache = samples * (stage.prompt + stage.reply / 2) * shape.cached  # on average half of a reply
    token = max(2 * shape.parameters * samples / speed, HALF_BYTES * (shape.parameters + cache) / flow)
    asked = 2 * shape.parameters * stage.asked / gpus / speed
    return Time(
        generating=asked + stage.generates * stage.longest_reply * token,
        updating=stage.update_flops(shape) / gpus / speed,
    )
