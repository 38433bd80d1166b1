"""A vision-language model small enough for a laptop: Qwen3-VL's architecture with about a million parameters.

Random weights, and a tokenizer trained on the games' own words; built offline within a second or two, saved
and loaded like any model of the hub. One merged patch is 32 × 32 pixels: a cell of a 4 × 4 board at size 128.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from vlm_gym.actions import SECTIONS
from vlm_gym.dice import Dice
from vlm_gym.prompt import instructions, target
from vlm_gym.registry import find

from .processors import PROCESSORS

PATCH, MERGE = 16, 2
TAGS = [f"<{slash}{name}>" for name in SECTIONS for slash in ("", "/")]
SPECIAL = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' %}{% generation %}"
    "{% for block in message['content'] %}{{ block['text'] }}{% endfor %}<|im_end|>{% endgeneration %}\n"
    "{% else %}{% for block in message['content'] %}"
    "{% if block['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ block['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Qwen's chat format; ``generation`` marks the tokens that carry loss."""


def build(
    path: Path,
    tasks: Sequence[tuple[str, str]],
    seed: int = 0,
    width: int = 128,
    depth: int = 3,
    vocabulary: int = 512,
) -> None:
    """Make a tiny model for some tasks and save it, with its processor, as a directory.

    A task is a game and a reasoning level, as `knobs.spell` spells it; other levels are read, too, but take
    more tokens. `vocabulary` counts the tokens that are not phrases of the tasks.

    `width` and `depth` are the language half's hidden size and layers; the vision half has half the width and
    two layers. 128 and 3 make about a million parameters.
    """
    processor = _processor(tasks, vocabulary)
    with torch.random.fork_rng(devices=[]):  # leave the process-wide generator as it was
        torch.manual_seed(seed)
        model = Qwen3VLForConditionalGeneration(_config(processor.tokenizer, width, depth))
    model.generation_config = GenerationConfig(
        eos_token_id=processor.tokenizer.eos_token_id, pad_token_id=processor.tokenizer.pad_token_id
    )
    model.save_pretrained(path)
    processor.save_pretrained(path)


def _config(tokenizer: Any, width: int, depth: int) -> Qwen3VLConfig:
    heads, side = width // 32, width // 64
    special = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in (
            ("image", "image_pad"),
            ("video", "video_pad"),
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        )
    }
    text = {
        "vocab_size": len(tokenizer),
        "initializer_range": width**-0.5,
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": 32,
        "max_position_embeddings": 4096,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "mrope_section": [6, 5, 5],
            "mrope_interleaved": True,
        },
    }
    vision = {
        "depth": 2,
        "initializer_range": (width // 2) ** -0.5,
        "hidden_size": width // 2,
        "intermediate_size": width,
        "num_heads": side,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "out_hidden_size": width,
        "num_position_embeddings": 256,
        "deepstack_visual_indexes": [0],
    }
    return Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **special)


def _processor(tasks: Sequence[tuple[str, str]], vocabulary: int) -> ProcessorMixin:
    replies, phrases = _words(tasks)
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    # Phrases are no special tokens: they are part of the text. The longest that fits is taken.
    model.train_from_iterator(
        replies,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    model.add_tokens([AddedToken(phrase, normalized=False) for phrase in [*TAGS, *phrases]])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model, eos_token="<|im_end|>", pad_token="<|endoftext|>", padding_side="left"
    )
    pictures = Qwen2VLImageProcessorPil(
        patch_size=PATCH,
        merge_size=MERGE,
        size={"shortest_edge": (PATCH * MERGE) ** 2, "longest_edge": 1024 * 1024},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    made: ProcessorMixin = PROCESSORS["qwen3_vl"](pictures, tokenizer, chat_template=TEMPLATE)
    return made


def _words(tasks: Sequence[tuple[str, str]], positions: int = 100) -> tuple[list[str], list[str]]:
    """Say what the tasks say: the solver's replies along random play, and phrases that are one token each.

    Phrases are the sentences of the instructions, which never change; places, such as ``(1,2)``; and what a
    cell shows, with the bar or the end of line that follows it. They make a reply a third as long.
    """
    replies, phrases = list[str](), dict[str, None]()
    for name, reasoning in tasks:
        game = find(name)
        knobs = game.settle(reasoning)
        phrases |= dict.fromkeys(re.findall(r"[^.\n]+(?:[.\n] ?|$)", instructions(game, knobs)))
        places = re.findall(r"\(\d+,\d+\)", " ".join(game.actions(knobs)))
        for seed in range(positions):
            state, dice = game.start(seed, knobs), Dice(seed, 1)
            for _ in range(dice.below(8)):
                if not state.over:
                    state = game.step(state, dice.choice(game.legal(state))).state
            if (plan := game.solve(state)) is None:
                continue
            scene = game.scene(state)
            replies += [target(scene, plan)]
            cells = sorted({cell for row in scene.grid() for cell in row})
            places += re.findall(r"\(\d+,\d+\)", plan.reasons)
            phrases |= dict.fromkeys(f"{cell}{end}" for cell in cells for end in (" | ", "\n", ""))
            phrases |= dict.fromkeys(f" {cell}" for cell in cells)
        phrases |= dict.fromkeys(f"{space}{place}" for place in places for space in ("", " "))
    return replies, list(phrases)
