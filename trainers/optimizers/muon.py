"""Muon for the matrices of a model and AdamW for the rest, as one optimizer; and MuonClip.

Muon (Jordan et al., 2024), in the form of Moonlight (Liu et al., 2025, arXiv:2502.16982), for a matrix W
of A × B with gradient G, learning rate η, weight decay λ and μ = 0.95:

    M ← μ M + G                              momentum
    O ← NewtonSchulz₅(G + μ M)               Nesterov; O ≈ U Vᵀ, if U S Vᵀ is what is orthogonalised
    W ← W − η (0.2 √max(A, B) O + λ W)       decoupled decay

U Vᵀ has a root mean square of 1/√max(A, B), so that of an update is 0.2 η, about that of AdamW's: learning
rate and decay mean the same for both. MuonClip (Kimi K2, 2025, arXiv:2507.20534) is Muon with QK-clip after
each update; see `qk_clip`.

`torch.optim.Muon` does the arithmetic. How we depart from the papers: its momentum is a mean,
M ← μ M + (1 − μ) G, which orthogonalisation makes the same, but for gradients with a norm near 1e-7 and less;
matrices that a model keeps fused, as the queries, keys and values of Qwen's vision tower, are orthogonalised
as one; AdamW has the betas of transformers' trainers, (0.9, 0.999), and, as there, vectors do not decay.

A matrix has to be whole: ZeRO-3 and the first FSDP, which cut parameters into flat pieces, leave none.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import nn

from .qk_clip import QkClip

Name = Literal["adamw", "muon", "muonclip"]


class Split(NamedTuple):
    """The parameters of a model that learn, by how they do."""

    matrices: list[nn.Parameter]
    """For Muon: hidden matrices."""
    tables: list[nn.Parameter]
    """For AdamW: embeddings, the language model's head, the convolution that embeds patches."""
    vectors: list[nn.Parameter]
    """For AdamW without decay: biases, and the weights of norms."""


def split(named: Iterable[tuple[str, nn.Parameter]]) -> Split:
    """Sort what ``named_parameters()`` lists; frozen parameters are left out.

    Vectors have fewer than two dimensions. Matrices have two, and neither ``embed`` nor ``lm_head`` in their
    name; tables are the others.
    """
    parts = Split([], [], [])
    for name, parameter in named:
        if not parameter.requires_grad:
            continue
        if parameter.ndim < 2:
            parts.vectors.append(parameter)
        elif parameter.ndim == 2 and "embed" not in name and "lm_head" not in name:
            parts.matrices.append(parameter)
        else:
            parts.tables.append(parameter)
    return parts


def make(
    model: nn.Module, name: Name, learning_rate: float, weight_decay: float, threshold: float = 100.0
) -> torch.optim.Optimizer:
    """Make an optimizer of a model, to be passed to a trainer as ``optimizers=(optimizer, None)``.

    `threshold` is the largest attention logit that ``muonclip`` lets be. Raises `ValueError` for an unknown
    name, without a matrix to learn, and where MuonClip cannot see or scale the model's queries and keys.
    """
    parts = split(model.named_parameters())
    match name:
        case "adamw":
            return torch.optim.AdamW(
                _groups([*parts.matrices, *parts.tables], parts.vectors, weight_decay), learning_rate
            )
        case "muon":
            return Muon(parts, learning_rate, weight_decay)
        case "muonclip":
            return MuonClip(parts, learning_rate, weight_decay, QkClip(model, threshold))
        case _:
            raise ValueError(f"unknown optimizer {name!r}; choose one of {', '.join(get_args(Name))}")


def _groups(
    decaying: list[nn.Parameter], vectors: list[nn.Parameter], weight_decay: float
) -> list[dict[str, Any]]:
    return [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


class Muon(torch.optim.Optimizer):
    """Muon for the first of three parameter groups, AdamW for the other two: tables and vectors."""

    def __init__(self, parts: Split, learning_rate: float, weight_decay: float) -> None:
        if not parts.matrices:
            raise ValueError("no matrix of this model learns, and Muon is for matrices; choose adamw")
        muon = torch.optim.Muon(
            parts.matrices, learning_rate, weight_decay, momentum=0.95, adjust_lr_fn="match_rms_adamw"
        )
        adamw = torch.optim.AdamW(_groups(parts.tables, parts.vectors, weight_decay), learning_rate)
        self._rules = (muon, adamw)
        super().__init__([*muon.param_groups, *adamw.param_groups], {"lr": learning_rate})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; return what `closure` does, which is called first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        muon, adamw = self._rules
        # Schedulers and checkpoints change the groups and the state of this object, or replace them.
        muon.param_groups, adamw.param_groups = self.param_groups[:1], self.param_groups[1:]
        for rule in self._rules:
            rule.state = self.state
            rule.step()
        return loss


class MuonClip(Muon):
    """Muon with QK-clip after each update."""

    def __init__(self, parts: Split, learning_rate: float, weight_decay: float, clip: QkClip) -> None:
        super().__init__(parts, learning_rate, weight_decay)
        self.clip = clip
        clip.attach()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update as Muon, then clip by the logits of the passes since the last update."""
        loss = super().step(closure)
        self.clip.step()
        return loss
