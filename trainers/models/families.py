"""Families of vision-language models: one table of what differs between them and transformers does not hide.

Any model that transformers loads can play and learn; the families in the table are tried out, and what their
checkpoints leave open is settled here. Pictures of games are square.
"""

from collections.abc import Callable, Mapping
from math import isqrt
from typing import NamedTuple

from torch import Tensor
from transformers import PreTrainedConfig

from vlm_gym.knobs import suggest

LLAVA = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] | upper }}: "
    "{% for block in message['content'] %}{% if block['type'] == 'image' %}<image>\n{% endif %}{% endfor %}"
    "{% for block in message['content'] %}{% if block['type'] == 'text' %}{{ block['text'] }}{% endif %}"
    "{% endfor %}{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
"""LLaVA 1.5's chat format with an end after each reply, which the one in its checkpoints lacks."""


class Family(NamedTuple):
    """What a family does in its own way."""

    tower: str
    """The name of the vision tower, a module of the model."""
    end: str
    """The token that ends a reply; not everywhere the tokenizer's own end of text."""
    side: Callable[[PreTrainedConfig], int]
    """Pixels of the processed picture, in height and width, that become a visual token; by configuration."""
    features: Callable[[PreTrainedConfig, Mapping[str, Tensor]], int]
    """Visual tokens that the model makes of pictures, by configuration and the processor's output."""
    across: Callable[[PreTrainedConfig, int], int] = lambda _, tokens: isqrt(tokens)
    """Visual tokens in a row, where a picture has so many in all; of its finest view, if it has several."""
    bridge: str = ""
    """The word in the names of the tower's modules that project into the language half."""
    template: str | None = None
    """The chat format, where the checkpoints' own cannot be learnt from."""


class PictureTokens(NamedTuple):
    """A picture as the model reads it: visual tokens and pixels."""

    tokens: int
    height: int
    width: int
    across: int | None
    """Visual tokens in a row; None if the part of the picture that a token shows is unknown."""


def _of_grid(config: PreTrainedConfig, inputs: Mapping[str, Tensor]) -> int:
    return (
        int(inputs["image_grid_thw"].prod(dim=1).sum()) // int(config.vision_config.spatial_merge_size) ** 2
    )


def _of_tiles(config: PreTrainedConfig, inputs: Mapping[str, Tensor]) -> int:
    """Count those of tiles, (pictures, tiles, 3, height, width), but for empty ones that fill up."""
    tiles = inputs["pixel_values"].flatten(0, 1).flatten(1)  # (pictures * tiles, values)
    shown = tiles.any(dim=1).sum()  # a tile that fills up is all zeros
    return int(shown) * _of_tile(config)


def _of_tile(config: PreTrainedConfig) -> int:
    return int((config.vision_config.image_size // _scaled_patch(config)) ** 2)


def _across_tiles(config: PreTrainedConfig, tokens: int) -> int:
    """Leave out the tile that shows the whole picture, if there are others."""
    each = _of_tile(config)
    tiles = tokens // each - 1 or 1  # a picture of one tile has no other that shows the whole
    return isqrt(tiles) * isqrt(each)  # tiles in a row, times visual tokens in a row of a tile


def _of_patches(config: PreTrainedConfig, inputs: Mapping[str, Tensor]) -> int:
    pictures, _, height, width = inputs["pixel_values"].shape
    patch = config.vision_config.patch_size
    whole = config.vision_feature_select_strategy == "full"  # then the class token counts, too
    return int(pictures * ((height // patch) * (width // patch) + whole))


def _of_pictures(config: PreTrainedConfig, inputs: Mapping[str, Tensor]) -> int:
    return len(inputs["pixel_values"]) * int(config.mm_tokens_per_image)


def _merged_patch(config: PreTrainedConfig) -> int:
    return int(config.vision_config.patch_size * config.vision_config.spatial_merge_size)


def _scaled_patch(config: PreTrainedConfig) -> int:
    return int(config.vision_config.patch_size * config.scale_factor)


_QWEN = Family(tower="model.visual", bridge="merger", end="<|im_end|>", side=_merged_patch, features=_of_grid)
_IDEFICS = Family(
    tower="model.vision_model",
    end="<end_of_utterance>",
    side=_scaled_patch,
    features=_of_tiles,
    across=_across_tiles,
)

FAMILIES: dict[str, Family] = {
    "qwen2_vl": _QWEN,
    "qwen2_5_vl": _QWEN,
    "qwen3_vl": _QWEN,
    "idefics3": _IDEFICS,
    "smolvlm": _IDEFICS,
    "llava": Family(
        tower="model.vision_tower",
        end="</s>",
        side=lambda config: int(config.vision_config.patch_size),
        features=_of_patches,
        template=LLAVA,
    ),
    "gemma3": Family(
        tower="model.vision_tower",
        end="<end_of_turn>",
        side=lambda config: int(config.vision_config.image_size // isqrt(config.mm_tokens_per_image)),
        features=_of_pictures,
    ),
}
"""By the `model_type` of transformers. The first SmolVLM is an ``idefics3``, the second a ``smolvlm``."""


def family(model_type: str) -> Family:
    """Find a family. Raises `ValueError` that lists them."""
    if model_type not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise ValueError(
            f"unknown family {model_type!r}{suggest(model_type, list(FAMILIES))}; families: {known}"
        )
    return FAMILIES[model_type]


def picture_tokens(config: PreTrainedConfig, inputs: Mapping[str, Tensor]) -> PictureTokens | None:
    """Return the size and visual tokens of a picture by the processor's output; None for unknown families."""
    known = FAMILIES.get(config.model_type)
    if known is None:
        return None
    tokens = known.features(config, inputs)
    across = known.across(config, tokens)
    return PictureTokens(tokens, across * known.side(config), across * known.side(config), across)
