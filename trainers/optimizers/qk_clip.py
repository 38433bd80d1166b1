"""QK-clip (Kimi K2, 2025, arXiv:2507.20534): attention logits are kept small by scaling the weights.

The logit of query i and key j in head h is qᵢ·kⱼ / √d. With S the largest of a head in the forward passes
since the last update, and γ = min(1, τ / S), after each update:

    W_q ← √γ W_q,  W_k ← √γ W_k      a head with a key of its own
    W_q ← γ W_q                      heads that share a key (grouped-query attention)
    w_q ← √γ w_q,  w_k ← √γ w_k      where queries and keys are normed; γ is the smallest of the layer

The first line is the paper's; biases are scaled, too. The second is what the paper does to the part of a key
that its heads share: scaling that would change heads that have not grown. The third is ours, for models such
as Qwen3 and Gemma 3, which bring queries and keys to length √d before attention: scaling a projection does
nothing there, and only the weights w of the norms, shared by all heads of a layer, bound the logits, by
√d·max|w_q|·max|w_k|. That is 11 for w = 1 and d = 128, so that the clip seldom acts.

What is measured: passes that build a graph, so neither generation nor evaluation; where a mask hides a key
from a query, the pair does not count. What is left out: layers whose projections are frozen, or fused into
one, as in Qwen's vision tower. With several processes S is the largest of all of them, and they scale alike.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self, TypeGuard
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, distributed, nn
from torch.distributed.tensor.experimental import implicit_replication
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

_ROWS = 256
"""Queries whose logits are in memory at a time."""
_LARGEST: WeakKeyDictionary[object, Tensor] = WeakKeyDictionary()
"""The attached layers, each with the largest logit of each head so far."""
_MEASURED: set[str] = set()
"""Implementations of attention that have been wrapped."""


class Config(Protocol):
    """The part of a layer's configuration that says how attention is computed."""

    _attn_implementation: str


class Projection(Protocol):
    """A linear layer: weight (out, in), bias (out,)."""

    weight: Tensor
    bias: Tensor | None


class Attention(Protocol):
    """An attention layer of transformers with separate projections of queries and keys.

    Families with normed queries and keys also have `q_norm` and `k_norm`.
    """

    config: Config
    head_dim: int
    q_proj: Projection
    k_proj: Projection


class QkClip:
    """QK-clip of one model. Call `step` after each update, between `attach` and `detach` or in a ``with``.

    Raises `ValueError` for a `threshold` of 0 or less, a model without a layer to clip, and one whose
    attention is neither ``sdpa`` nor a flash attention of transformers.
    """

    def __init__(self, model: nn.Module, threshold: float = 100.0) -> None:
        if threshold <= 0:
            raise ValueError(f"a threshold of {threshold} is not possible; it is above 0")
        self.threshold = threshold
        self._layers = {name: module for name, module in model.named_modules() if _clippable(module)}
        if not self._layers:
            raise ValueError(
                "QK-clip scales query and key projections, and no q_proj and k_proj of this model learn"
            )
        self._implementations = {layer.config._attn_implementation for layer in self._layers.values()}
        unknown = list[str]()
        for implementation in self._implementations:
            if implementation != "sdpa" and "flash" not in implementation:
                unknown.append(implementation)
        if unknown:
            raise ValueError(
                f"logits of {', '.join(unknown)} attention cannot be measured; load the model with "
                "attn_implementation='sdpa' or a flash attention"
            )

    def attach(self) -> None:
        """Measure from now on."""
        for implementation in self._implementations - _MEASURED:
            AttentionInterface.register(implementation, _measuring(ALL_ATTENTION_FUNCTIONS[implementation]))
            _MEASURED.add(implementation)
        self._forget()

    def detach(self) -> None:
        """Measure no more."""
        for layer in self._layers.values():
            _LARGEST.pop(layer, None)

    def __enter__(self) -> Self:
        self.attach()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()

    def largest(self) -> dict[str, Tensor]:
        """Return the largest logit of each head since the last step, by layer; −∞ where there was none."""
        return {name: _LARGEST[layer] for name, layer in self._layers.items()}

    def measured(self) -> bool:
        """Return whether there has been a logit since the last step."""
        largest = torch.cat([logits.cpu() for logits in self.largest().values()])  # (all heads,)
        return bool((largest > -torch.inf).any())

    @torch.no_grad()
    def step(self) -> None:
        """Scale the heads whose largest logit is above the threshold, and begin to measure again.

        Raises `RuntimeError` if there has been no logit since the last step.
        """
        layers = list(self._layers.values())
        measured = [_LARGEST[layer] for layer in layers]  # (heads,) each
        device = layers[0].q_proj.weight.device
        logits = torch.cat([each.to(device) for each in measured])  # (all heads,)
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(logits, distributed.ReduceOp.MAX)
        if bool((logits == -torch.inf).all()):
            raise RuntimeError(
                "no attention logit since the last step; QK-clip takes a forward pass with gradients"
            )
        with implicit_replication():  # weights that FSDP2 has sharded are scaled where they lie
            by_layer = logits.split(list(map(len, measured)))
            for layer, largest in zip(layers, by_layer, strict=True):
                _scale(layer, self.threshold / largest.clamp(min=self.threshold))
        self._forget()

    def _forget(self) -> None:
        for layer in self._layers.values():
            weight = layer.q_proj.weight
            heads = len(weight) // layer.head_dim
            _LARGEST[layer] = torch.full((heads,), -torch.inf, device=weight.device)


def _clippable(module: nn.Module) -> TypeGuard[Attention]:
    """Return whether a module is an attention layer whose query and key projections learn."""
    if not hasattr(module, "head_dim"):
        return False
    for name in ("q_proj", "k_proj"):
        projection = getattr(module, name, None)
        if not isinstance(projection, nn.Module) or not projection.weight.requires_grad:
            return False
    return True


def _scale(layer: Attention, gamma: Tensor) -> None:
    """Scale the logits of each head by its share of `gamma`; 1 leaves every bit as it is."""
    gamma = gamma.to(layer.q_proj.weight.device)
    if hasattr(layer, "q_norm") and hasattr(layer, "k_norm"):
        for norm in (layer.q_norm, layer.k_norm):
            # The output of a norm on ones is the factor it applies: its weight w or, in Gemma, 1 + w.
            factor = norm(torch.ones_like(norm.weight))
            # Adding the difference scales the factor, whichever of the two the weight is.
            norm.weight.add_((gamma.min().sqrt() - 1).to(factor.dtype) * factor)
    elif len(layer.k_proj.weight) < len(layer.q_proj.weight):
        _scale_rows(layer.q_proj, gamma)
    else:
        _scale_rows(layer.q_proj, gamma.sqrt())
        _scale_rows(layer.k_proj, gamma.sqrt())


def _scale_rows(projection: Projection, factors: Tensor) -> None:
    """Scale the rows of each head, of weight and bias, by its factor, (heads,)."""
    rows = factors.repeat_interleave(len(projection.weight) // len(factors)).to(projection.weight.dtype)
    projection.weight.mul_(rows[:, None])
    if projection.bias is not None:
        projection.bias.mul_(rows)


AttentionOutput = tuple[Tensor, Tensor | None]
"""The values and, if asked for, the weights of attention."""


def _measuring(attention: Callable[..., AttentionOutput]) -> Callable[..., AttentionOutput]:
    """Wrap an attention function to measure attached layers. The result is the same for all layers."""

    def measured(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        **options: Any,  # those of any implementation
    ) -> AttentionOutput:
        if module in _LARGEST and torch.is_grad_enabled():
            with torch.no_grad():
                causal = options.get("is_causal")
                if causal is None:
                    causal = getattr(module, "is_causal", True)
                logits = _logits(query, key, attention_mask, options.get("scaling"), causal)
                _LARGEST[module] = torch.maximum(_LARGEST[module].to(logits.device), logits)
        return attention(module, query, key, value, attention_mask, **options)

    return measured


def _logits(query: Tensor, key: Tensor, mask: Tensor | None, scaling: float | None, causal: bool) -> Tensor:
    """Find the largest logit of each head, from tensors of (batch, heads, length, head size)."""
    length = query.shape[2]
    keys = key.shape[2]
    # With grouped-query attention several heads of queries share a key: it is repeated for each.
    key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    visible = _visible(mask, length, keys, causal, query.device)
    largest = []
    # All logits at once would take as much memory as attention without a fused kernel.
    for start in range(0, length, _ROWS):
        logits = query[:, :, start : start + _ROWS] @ key.mT
        if visible is not None:
            rows = visible if visible.shape[2] == 1 else visible[:, :, start : start + _ROWS]
            logits.masked_fill_(~rows, -torch.inf)
        largest.append(logits.amax((0, 2, 3)))  # (heads,)
    return torch.stack(largest).amax(0).float() * (query.shape[-1] ** -0.5 if scaling is None else scaling)


def _visible(
    mask: Tensor | None, length: int, keys: int, causal: bool, device: torch.device
) -> Tensor | None:
    """Return a boolean mask of visible keys, (batch or 1, heads or 1, queries or 1, keys); None for all."""
    order = (
        torch.ones(1, 1, length, keys, dtype=torch.bool, device=device).tril(keys - length)
        if causal
        else None
    )
    if mask is None:
        return order
    if mask.ndim == 2:  # flash attention's, of padding alone
        padding = mask[:, None, None, :].bool()
        return padding if order is None else padding & order
    # Others have the order in them: True for visible, or numbers to add, of which the lowest hides.
    return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
