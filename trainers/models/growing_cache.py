"""A cache of keys and values with room for the tokens to come.

transformers' cache copies all keys and values of a layer for every new token. This one copies them once in
`ROOM` tokens.
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
        self.keys: Tensor = keys
        self.values: Tensor = values
        self._longer_keys = keys
        self._longer_values = values

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values of new tokens, and return those of all."""
        after = self.keys.shape[-2] + key_states.shape[-2]
        self._longer_keys = _appended(self._longer_keys, self.keys, key_states)
        self._longer_values = _appended(self._longer_values, self.values, value_states)
        self.keys = self._longer_keys[..., :after, :]
        self.values = self._longer_values[..., :after, :]
        return self.keys, self.values


def grow_in_place(cache: Cache) -> None:
    """Replace the layers of a filled cache before sampling. Those of other kinds stay as they are."""
    for index, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            cache.layers[index] = GrowingLayer(layer.keys, layer.values)


def _appended(longer: Tensor, present: Tensor, new: Tensor) -> Tensor:
    """Append new tokens, (B, heads, N, D), to the present ones, (B, heads, L, D), which `longer` begins with.

    Returns `longer`, or a copy with more room where the tokens do not fit.
    """
    before = present.shape[-2]
    after = before + new.shape[-2]
    # Parts of a model may differ in precision, as adapters do from what they adapt: the higher one stays.
    dtype = torch.promote_types(longer.dtype, new.dtype)
    # Beam search, for one, selects rows: the layer then has other tensors.
    replaced = present.data_ptr() != longer.data_ptr()
    if replaced or after > longer.shape[-2] or dtype != longer.dtype:
        batch, heads, _, size = present.shape
        longer = present.new_empty(batch, heads, after + ROOM, size, dtype=dtype)
        longer[..., :before, :] = present
    longer[..., before:after, :] = new
    return longer
