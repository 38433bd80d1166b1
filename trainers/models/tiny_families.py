"""The parts of a tiny model of each family: its special tokens, chat format, configuration, processor.

The chat formats are those of the families' checkpoints. A picture of 128 × 128 pixels is 16 visual tokens in
each, in place of an 8B model's hundreds: a cell of a 4 × 4 board is one. Families that know one size of
pictures scale all others to it; the size is chosen when a model is built.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from transformers import (
    BaseImageProcessor,
    CLIPVisionConfig,
    Gemma3Config,
    Idefics3Config,
    LlamaConfig,
    LlavaConfig,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen3VLConfig,
    SiglipVisionConfig,
    SmolVLMConfig,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.gemma3.processing_gemma3 import Gemma3Processor
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
from transformers.models.llava.processing_llava import LlavaProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from .families import LLAVA
from .processors import FULL, PROCESSORS, without_videos

PATCH = 16
MERGE = 2
Settings = dict[str, Any]
"""Keyword arguments of a configuration of transformers."""
Configure = Callable[[PreTrainedTokenizerBase, int, int, int], PreTrainedConfig]
"""Makes a configuration by the tokenizer, the width and depth of the language half, and the side of a picture
in pixels."""
Positions = Literal["rotary", "learned"]
"""The position embedding of the language half."""
Attention = Literal["random", "mimetic"]
"""The weights of attention that the language half begins with."""
CELL = PATCH * MERGE
"""Side of what is one visual token, in pixels."""
_HALF: Settings = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


class Parts(NamedTuple):
    """What a tiny model is made of; `end` and `pad` are among the special tokens."""

    special: tuple[str, ...]
    end: str
    pad: str
    configure: Configure
    process: Callable[[PreTrainedTokenizerBase, int], ProcessorMixin]
    """By the tokenizer and the side of a picture."""
    start: str | None = None
    """What its tokenizer puts before every text, as do those of the family's checkpoints."""
    named: Mapping[str, str] = MappingProxyType({})
    """Special tokens that the processor asks the tokenizer for by name."""
    blank: str | None = None
    """Weights that transformers initialises to zero, which would hide the pictures from a new model."""
    learned: Configure | None = None
    """The same family with learned positions, where it has them."""


QWEN = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' %}{% generation %}"
    "{% for block in message['content'] %}{{ block['text'] }}{% endfor %}<|im_end|>{% endgeneration %}\n"
    "{% else %}{% for block in message['content'] %}"
    "{% if block['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ block['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""``generation`` marks the tokens that carry loss."""
IDEFICS = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}:{% else %}: {% endif %}"
    "{% for block in message['content'] %}{% if block['type'] == 'image' %}<image>"
    "{% else %}{{ block['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{% for block in message['content'] %}{% if block['type'] == 'image' %}<start_of_image>"
    "{% else %}{{ block['text'] | trim }}{% endif %}{% endfor %}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def _text(tokenizer: PreTrainedTokenizerBase, width: int, depth: int) -> Settings:
    """Configure the language half. Weights are drawn so wide that a small model learns at once."""
    return {
        "vocab_size": len(tokenizer),
        "initializer_range": width**-0.5,
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_hidden_layers": depth,
        "num_attention_heads": width // 32,
        "num_key_value_heads": width // 32,
        "head_dim": 32,
        "max_position_embeddings": 4096,
    }


def _tower(width: int, side: int) -> Settings:
    """Configure the tower of a family with one size of pictures: half as wide, two layers."""
    return {
        "hidden_size": width // 2,
        "intermediate_size": width,
        "num_hidden_layers": 2,
        "num_attention_heads": width // 64,
        "image_size": side,
        "patch_size": PATCH,
        "initializer_range": (width // 2) ** -0.5,
    }


def _qwen_tower(width: int) -> Settings:
    """Configure the tower of a family that takes pictures of any size: half as wide, two layers."""
    return {
        "depth": 2,
        "initializer_range": (width // 2) ** -0.5,
        "hidden_size": width // 2,
        "intermediate_size": width,
        "num_heads": width // 64,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "out_hidden_size": width,
    }


def _ids(tokenizer: PreTrainedTokenizerBase, **tokens: str) -> Settings:
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in tokens.items()}


def _qwen3(tokenizer: PreTrainedTokenizerBase, width: int, depth: int, side: int) -> PreTrainedConfig:
    text: Settings = {
        **_text(tokenizer, width, depth),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "mrope_section": [6, 5, 5],
            "mrope_interleaved": True,
        },
    }
    vision = {**_qwen_tower(width), "num_position_embeddings": 256, "deepstack_visual_indexes": [0]}
    ids = _ids(tokenizer, **_QWEN_IDS)
    return Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)


def _qwen2_5(tokenizer: PreTrainedTokenizerBase, width: int, depth: int, side: int) -> PreTrainedConfig:
    text: Settings = {
        **_text(tokenizer, width, depth),
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 6, 6]},
        "bos_token_id": None,
        **_ids(tokenizer, eos_token_id="<|im_end|>"),
    }
    vision = {**_qwen_tower(width), "window_size": 4 * PATCH * MERGE, "fullatt_block_indexes": [1]}
    ids = _ids(tokenizer, **_QWEN_IDS)
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)


_QWEN_IDS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}


def _qwen_processor(model_type: str) -> Callable[[PreTrainedTokenizerBase, int], ProcessorMixin]:
    def process(tokenizer: PreTrainedTokenizerBase, side: int) -> ProcessorMixin:
        pictures = Qwen2VLImageProcessorPil(
            patch_size=PATCH,
            merge_size=MERGE,
            size={"shortest_edge": CELL**2, "longest_edge": 1024 * 1024},
            **_HALF,
        )
        return without_videos(FULL[model_type])(pictures, tokenizer, chat_template=QWEN)

    return process


def _idefics(config: Callable[..., PreTrainedConfig]) -> Configure:
    def configure(tokenizer: PreTrainedTokenizerBase, width: int, depth: int, side: int) -> PreTrainedConfig:
        return config(
            text_config=LlamaConfig(
                **_text(tokenizer, width, depth),
                **_ids(tokenizer, pad_token_id="<pad>"),
                tie_word_embeddings=True,  # vLLM reads this part of the configuration, transformers the whole
            ),
            vision_config=_tower(width, side),
            scale_factor=MERGE,
            tie_word_embeddings=True,
            **_ids(tokenizer, image_token_id="<image>", pad_token_id="<pad>"),
        )

    return configure


def _idefics_processor(
    processor: type[ProcessorMixin], image_processor: Callable[..., BaseImageProcessor]
) -> Callable[[PreTrainedTokenizerBase, int], ProcessorMixin]:
    def process(tokenizer: PreTrainedTokenizerBase, side: int) -> ProcessorMixin:
        size = {"longest_edge": side}
        pictures = image_processor(size=size, max_image_size=size, do_image_splitting=False, **_HALF)
        return processor(pictures, tokenizer, image_seq_len=(side // CELL) ** 2, chat_template=IDEFICS)

    return process


def _llava(tokenizer: PreTrainedTokenizerBase, width: int, depth: int, side: int) -> PreTrainedConfig:
    text = LlamaConfig(**_text(tokenizer, width, depth), tie_word_embeddings=True)
    return _llava_of(text, tokenizer, width, side)


def _llava_learned(tokenizer: PreTrainedTokenizerBase, width: int, depth: int, side: int) -> PreTrainedConfig:
    """Configure LLaVA around OPT (Zhang et al., 2022, arXiv:2205.01068), whose positions are learned.

    OPT counts positions over the tokens that are there, so that padding does not move them. LLaVA ties a head
    to tables that lie elsewhere than OPT's; this one has weights of its own.
    """
    text = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        word_embed_proj_dim=width,
        ffn_dim=4 * width,
        num_hidden_layers=depth,
        num_attention_heads=width // 32,
        max_position_embeddings=2048,
        activation_function="gelu",
        enable_bias=False,
        dropout=0.0,
        init_std=width**-0.5,
        tie_word_embeddings=False,
        **_ids(tokenizer, pad_token_id="<pad>", bos_token_id="<s>", eos_token_id="</s>"),
    )
    return _llava_of(text, tokenizer, width, side)


def _llava_of(
    text: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, width: int, side: int
) -> PreTrainedConfig:
    """Configure LLaVA: a tower for pictures, and a language half."""
    vision: Settings = {**_tower(width, side), "patch_size": CELL, "projection_dim": width // 2}
    return LlavaConfig(
        text_config=text,
        vision_config=CLIPVisionConfig(**vision),
        image_seq_length=(side // CELL) ** 2,
        tie_word_embeddings=text.tie_word_embeddings,
        **_ids(tokenizer, image_token_index="<image>"),
    )


def _llava_processor(tokenizer: PreTrainedTokenizerBase, side: int) -> ProcessorMixin:
    size = {"height": side, "width": side}
    pictures = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=size, **_HALF)
    return LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=CELL,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA,
    )


def _gemma3(tokenizer: PreTrainedTokenizerBase, width: int, depth: int, side: int) -> PreTrainedConfig:
    text: Settings = {
        **_text(tokenizer, width, depth),
        "query_pre_attn_scalar": 32,
        **_ids(tokenizer, pad_token_id="<pad>", eos_token_id="<eos>", bos_token_id="<bos>"),
    }
    tokens = _ids(
        tokenizer,
        image_token_index="<image_soft_token>",
        boi_token_index="<start_of_image>",
        eoi_token_index="<end_of_image>",
    )
    vision = _tower(width, side)
    del vision["initializer_range"]  # this tower has no such setting
    return Gemma3Config(
        text_config=text,
        vision_config=SiglipVisionConfig(**vision, vision_use_head=False),
        mm_tokens_per_image=(side // CELL) ** 2,
        initializer_range=width**-0.5,
        **tokens,
    )


def _gemma3_processor(tokenizer: PreTrainedTokenizerBase, side: int) -> ProcessorMixin:
    pictures = Gemma3ImageProcessorPil(size={"height": side, "width": side}, **_HALF)
    tokens = (side // CELL) ** 2
    return Gemma3Processor(pictures, tokenizer, image_seq_length=tokens, chat_template=GEMMA)


_QWEN_SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
)

_IDEFICS_SPECIAL = (
    *("<pad>", "<|im_start|>", "<end_of_utterance>"),
    *("<image>", "<fake_token_around_image>", "<global-img>"),
)

TINY_PARTS: dict[str, Parts] = {
    "qwen3_vl": Parts(_QWEN_SPECIAL, "<|im_end|>", "<|endoftext|>", _qwen3, _qwen_processor("qwen3_vl")),
    "qwen2_5_vl": Parts(
        _QWEN_SPECIAL, "<|im_end|>", "<|endoftext|>", _qwen2_5, _qwen_processor("qwen2_5_vl")
    ),
    "idefics3": Parts(
        _IDEFICS_SPECIAL,
        "<end_of_utterance>",
        "<pad>",
        _idefics(Idefics3Config),
        _idefics_processor(Idefics3Processor, Idefics3ImageProcessorPil),
    ),
    "smolvlm": Parts(
        _IDEFICS_SPECIAL,
        "<end_of_utterance>",
        "<pad>",
        _idefics(SmolVLMConfig),
        _idefics_processor(PROCESSORS["smolvlm"], SmolVLMImageProcessorPil),
    ),
    "llava": Parts(
        ("<pad>", "<s>", "</s>", "<image>"),
        "</s>",
        "<pad>",
        _llava,
        _llava_processor,
        start="<s>",
        learned=_llava_learned,
    ),
    "gemma3": Parts(
        (
            *("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"),
            *("<start_of_image>", "<end_of_image>", "<image_soft_token>"),
        ),
        "<eos>",
        "<pad>",
        _gemma3,
        _gemma3_processor,
        start="<bos>",
        named={
            "image_token": "<image_soft_token>",
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
        },
        blank="model.multi_modal_projector.mm_input_projection_weight",
    ),
}
"""By the `model_type` of transformers; the first is the default."""
