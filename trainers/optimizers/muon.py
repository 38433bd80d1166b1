"""Muon for the matrices of a model and AdamW for the rest, as one optimizer; and MuonClip.

Muon (Jordan et al., 2024), in the form of Moonlight (Liu et al., 2025, arXiv:2502.16982), for a matrix W
of A × B with gradient G, learning rate η, weight decay λ and μ = 0.95:

    M ← μ M + G                              momentum
    O ← NewtonSchulz₅(G + μ M)               Nesterov; O ≈ U Vᵀ, if U S Vᵀ is what is orthogonalised
    W ← W − η (0.2 √max(A, B) O + λ W)       decoupled decay

U Vᵀ has a root mean square of 1/√max(A, B), so that of an update is 0.2 η, about that of AdamW's: learning
rate and decay mean the same for both. MuonClip (Kimi K2, 2025, arXiv:2507.20534) is Muon with QK-clip after
each update; see `qk_clip`.

How we depart from the papers: matrices that a model keeps fused, as the queries, keys and values of Qwen's
vision tower, are orthogonalised as one; AdamW has the betas of transformers' trainers, (0.9, 0.999), and, as
there, vectors do not decay. `torch.optim.Muon` computes the same, but in bfloat16 everywhere: on a CPU that
has no such arithmetic this takes three quarters of a tiny model's step.

A matrix has to be whole: ZeRO-3 and the first FSDP cut parameters into flat pieces, so Muon cannot be used.
"""

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from .qk_clip import QkClip

Name = Literal["adamw", "muon", "muonclip"]
MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""The coefficients of x ← a x + b x³ + c x⁵, which takes singular values near 1 (Jordan et al., 2024)."""


class ParameterSplit(NamedTuple):
    """The trained parameters of a model, by optimizer."""

    matrices: list[nn.Parameter]
    """For Muon: hidden matrices."""
    tables: list[nn.Parameter]
    """For AdamW: embeddings, the language model's head, the convolution that embeds patches."""
    vectors: list[nn.Parameter]
    """For AdamW without decay: biases, and the weights of norms."""


def split(named: Iterable[tuple[str, nn.Parameter]]) -> ParameterSplit:
    """Sort what ``named_parameters()`` lists; frozen parameters are left out.

    Vectors have fewer than two dimensions. Matrices have two, and neither ``embed`` nor ``lm_head`` in their
    name; tables are the others.
    """
    parts = ParameterSplit([], [], [])
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


def make_optimizer(
    model: nn.Module, name: Name, learning_rate: float, weight_decay: float, threshold: float = 100.0
) -> torch.optim.Optimizer:
    """Make an optimizer of a model, of parameters that are whole or cut up by FSDP2.

    `threshold` is the largest attention logit that ``muonclip`` allows. Raises `ValueError` for an unknown
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
) -> list[dict[str, object]]:
    """Return two groups of parameters: those that decay, and those that do not."""
    return [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


class Muon(torch.optim.Optimizer):
    """Muon for the first of three parameter groups, AdamW for the other two: tables and vectors."""

    def __init__(self, parts: ParameterSplit, learning_rate: float, weight_decay: float) -> None:
        if not parts.matrices:
            raise ValueError("no matrix of this model learns, and Muon is for matrices; choose adamw")
        self._adamw = torch.optim.AdamW(_groups(parts.tables, parts.vectors, weight_decay), learning_rate)
        matrices = {"params": parts.matrices, "weight_decay": weight_decay}
        super().__init__([matrices, *self._adamw.param_groups], {"lr": learning_rate})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient; return what `closure` does, which is called first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # Schedulers and checkpoints change the groups and the state of this object, or replace them.
        matrices, *others = self.param_groups
        for matrix in matrices["params"]:
            if matrix.grad is not None:
                self._update(matrix, matrices["lr"], matrices["weight_decay"])
        # AdamW works on this object's own groups and state, so that there is one of each to save.
        self._adamw.param_groups = others
        self._adamw.state = self.state
        self._adamw.step()
        return loss

    def _update(self, matrix: nn.Parameter, learning_rate: float, weight_decay: float) -> None:
        """Take the step of the equations above for one matrix."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix.grad)
        # M <- mu M + G, in place: the buffer is part of the optimizer's state.
        momentum = state["momentum_buffer"].mul_(MOMENTUM).add_(matrix.grad)
        update = orthogonal(matrix.grad.add(momentum, alpha=MOMENTUM))
        matrix.mul_(1 - learning_rate * weight_decay)  # decoupled, as in AdamW
        # An orthogonal matrix (n, m) has a root mean square of 1 / sqrt(max(n, m)); 0.2 is that of AdamW's.
        matrix.add_(update.to(matrix.dtype), alpha=-learning_rate * 0.2 * max(matrix.shape) ** 0.5)


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """Bring the singular values of a matrix near 1, by Newton-Schulz: most come to lie within 0.7 and 1.2.

    In bfloat16 on a GPU, as in the papers, and in float32 on a CPU, where bfloat16 may be emulated.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrix.shape[0] <= matrix.shape[1]  # the smaller of the two products x xT and xT x is taken
    x = matrix.to(torch.bfloat16 if matrix.is_cuda else torch.float32)
    x = x if wide else x.mT
    x = x / x.norm().clamp(min=1e-7)  # by the Frobenius norm no singular value is above 1
    for _ in range(steps):
        gram = x @ x.mT  # (n, n)
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.mT


class MuonClip(Muon):
    """Muon with QK-clip after each update."""

    def __init__(
        self, parts: ParameterSplit, learning_rate: float, weight_decay: float, clip: QkClip
    ) -> None:
        super().__init__(parts, learning_rate, weight_decay)
        self.clip = clip
        clip.attach()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update as Muon, then clip by the logits of the passes since the last update.

        Torch takes a step with a learning rate of 0, before any pass, to make the state that a checkpoint is
        loaded into. There is nothing to clip then.
        """
        loss = super().step(closure)
        learning_rate = max(group["lr"] for group in self.param_groups)
        if self.clip.measured() or learning_rate > 0:
            self.clip.step()
        return loss
