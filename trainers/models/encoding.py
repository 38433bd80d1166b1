"""A prompt rendered and processed once, and put together with others into the inputs of a model."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import ProcessorMixin

from vlm_gym.render import Frame
from vlm_gym.rollouts.policy import Request

from .transformers_policy import encode_requests

OF_TOKENS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
"""Inputs with one number for every token."""


class Prompt(NamedTuple):
    """A request as a model reads it. L is the number of its tokens."""

    tokens: Mapping[str, Tensor]
    """(L,) each, by the names of `OF_TOKENS`."""
    pictures: Mapping[str, Tensor]
    """What the processor makes of the pictures; the first dimension counts pictures or patches."""
    frames: Sequence[Frame]
    """The pictures as they were drawn."""

    @property
    def ids(self) -> list[int]:
        """The tokens."""
        ids: list[int] = self.tokens["input_ids"].tolist()
        return ids


def encode_prompt(
    processor: ProcessorMixin,
    request: Request,
    device: torch.device | str = "cpu",
    frames: Sequence[Frame] | None = None,
) -> Prompt:
    """Process a request; `frames` are its pictures where they are drawn already."""
    frames = request.pictures() if frames is None else frames
    shown = encode_requests(processor, [request], frames=[frames]).to(device)
    # Pictures keep their first dimension: one request may have several, and each several patches.
    tokens = dict[str, Tensor]()
    pictures = dict[str, Tensor]()
    for name, value in shown.items():
        if name in OF_TOKENS:
            tokens[name] = value[0]  # (1, L) to (L,)
        else:
            pictures[name] = value
    return Prompt(tokens, pictures, frames)


def collate(prompts: Sequence[Prompt], pad: int) -> dict[str, Tensor]:
    """Collate prompts as the processor does for a batch, (P, L): padded on the left with `pad`."""
    longest = max(len(prompt.tokens["input_ids"]) for prompt in prompts)
    inputs = {name: collate_tokens(prompts, name, longest, pad) for name in prompts[0].tokens}
    return {**inputs, **collate_pictures(prompts)}


def collate_tokens(prompts: Sequence[Prompt], name: str, length: int, pad: int = 0) -> Tensor:
    """Collate one of `OF_TOKENS` to (P, length), padded on the left."""
    fill = pad if name == "input_ids" else 0
    values = [prompt.tokens[name] for prompt in prompts]
    padded = list[Tensor]()
    for value in values:
        padded.append(torch.nn.functional.pad(value, (length - len(value), 0), value=fill))  # (length,)
    return torch.stack(padded)


def collate_pictures(prompts: Sequence[Prompt]) -> dict[str, Tensor]:
    """Concatenate the pictures of prompts. Prompts with fewer tiles than others are padded with zeros."""
    together: dict[str, Tensor] = {}
    for name in prompts[0].pictures:
        values = [prompt.pictures[name] for prompt in prompts]
        shapes = [value.shape[1:] for value in values]  # without the number of pictures or patches
        largest = [max(sizes) for sizes in zip(*shapes, strict=True)]
        together[name] = torch.cat([_grown(value, largest) for value in values])
    return together


def _grown(value: Tensor, shape: Sequence[int]) -> Tensor:
    """Pad all dimensions but the first with zeros, at their ends."""
    if list(value.shape[1:]) == list(shape):
        return value
    widths = list[int]()  # before and after each dimension; `pad` counts dimensions from the last
    for size, present in zip(reversed(shape), reversed(value.shape[1:]), strict=True):
        widths += [0, size - present]
    return torch.nn.functional.pad(value, widths)
