"""A cache of keys and values with room for the tokens to come.

transformers' cache copies all keys and values of a layer for every new token, which takes a tenth of a step
of a small model. This one copies them once in `ROOM` tokens.
"""

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

ROOM = 64
"""Tokens by which a layer grows."""


class GrowingLayer(DynamicLayer):
    """Keys and values of a layer, as the first tokens of longer tensors. It takes no gradient."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        """Begin with keys and values, (B, heads, L, D) each."""
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys = keys
        self.values = values
        self._with_room = (keys, values)

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values of new tokens, and return those of all."""
        before = self.get_seq_length()
        after = before + key_states.shape[-2]
        keys, values = self._with_room
        # Parts of a model may differ in precision, as adapters do from what they adapt: the higher one stays.
        dtype = torch.promote_types(keys.dtype, key_states.dtype)
        if after > keys.shape[-2] or dtype != keys.dtype:
            keys = _longer(keys.to(dtype), before, after + ROOM)
            values = _longer(values.to(dtype), before, after + ROOM)
            self._with_room = (keys, values)
        keys[..., before:after, :] = key_states
        values[..., before:after, :] = value_states
        self.keys = keys[..., :after, :]
        self.values = values[..., :after, :]
        return self.keys, self.values


def grow_in_place(cache: Cache) -> None:
    """Replace the layers of a filled cache before sampling. Those of other kinds stay as they are."""
    for index, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            cache.layers[index] = GrowingLayer(layer.keys, layer.values)


def _longer(values: Tensor, count: int, length: int) -> Tensor:
    """Copy the first `count` tokens of (B, heads, L, D) into the beginning of (B, heads, length, D)."""
    longer = values.new_empty(*values.shape[:-2], length, values.shape[-1])
    longer[..., :count, :] = values[..., :count, :]
    return longer
