"""Vision-language models small enough for a laptop: a family's architecture with about a million parameters.

Random weights, and a tokenizer trained on the games' own words; built offline within a second or two, saved
and loaded like any model of the hub. `tiny_families` has what is particular to each family.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForImageTextToText,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
)

from vlm_gym.actions import SECTIONS
from vlm_gym.dice import Dice
from vlm_gym.knobs import suggest
from vlm_gym.prompt import instructions, solution
from vlm_gym.registry import find
from vlm_gym.thought import fragments, parse_sentence

from .families import FAMILIES
from .tiny_families import CELL, TINY_PARTS, Attention, Parts, Positions, Settings

DEALS = 400
WALKS = 100
"""Deals whose cells get tokens, and the number of them that are played for the solver's replies."""
TAGS = list[str]()
for _section in SECTIONS:
    TAGS += [f"<{_section}>", f"</{_section}>"]


def build_model(
    path: Path,
    tasks: Sequence[tuple[str, str]],
    seed: int = 0,
    width: int = 128,
    depth: int = 3,
    vocabulary: int = 512,
    family: str = "qwen3_vl",
    side: int = 128,
    positions: Positions = "rotary",
    attention: Attention = "random",
) -> None:
    """Make a tiny model for some tasks and save it, with its processor, as a directory.

    A task is a game and a reasoning level, as `knobs.spell` spells it; other levels are read, too, but take
    more tokens. `vocabulary` counts the tokens that are not phrases of the tasks.

    `width` and `depth` are the language half's hidden size and layers; the vision half has half the width and
    two layers. 128 and 3 make about a million parameters. `family` is one of `tiny_families.TINY_PARTS`;
    those that know one size of pictures know that of `side` pixels, rounded up to whole visual tokens.
    `positions` are ``rotary`` or, in the family llava, ``learned``. `attention` is ``random`` or ``mimetic``,
    see `_attend_to_alike`. Raises `ValueError` as `configure_model` does.
    """
    config, processor = configure_model(tasks, width, depth, vocabulary, family, side, positions)
    tokenizer = processor.tokenizer
    ends = tokenizer.convert_tokens_to_ids(
        list(dict.fromkeys([TINY_PARTS[family].end, FAMILIES[family].end]))
    )
    with torch.random.fork_rng(devices=[]):  # leave the process-wide generator as it was
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config)
        if blank := TINY_PARTS[family].blank:  # a projection of pictures that would start at zero
            torch.nn.init.normal_(model.get_parameter(blank), std=(width // 2) ** -0.5)
        _spell(model, tokenizer)
        if attention == "mimetic":
            _attend_to_alike(model)
    model.generation_config = GenerationConfig(
        eos_token_id=ends if len(ends) > 1 else ends[0], pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(path)
    processor.save_pretrained(path)


def configure_model(
    tasks: Sequence[tuple[str, str]],
    width: int = 128,
    depth: int = 3,
    vocabulary: int = 512,
    family: str = "qwen3_vl",
    side: int = 128,
    positions: Positions = "rotary",
) -> tuple[PreTrainedConfig, ProcessorMixin]:
    """Make the configuration and the processor of what `build_model` would make, without a weight.

    The processor is as a checkpoint has it; `load_processor` then calls `processors.prepare_templates`.
    Raises `ValueError` for an unknown family, one without such positions, or a width that no head fits into.
    """
    if family not in TINY_PARTS:
        raise ValueError(
            f"unknown family {family!r}{suggest(family, list(TINY_PARTS))}; families: {', '.join(TINY_PARTS)}"
        )
    if width < 64 or width % 64:
        raise ValueError(f"width={width} is not possible; a tiny model is a multiple of 64 wide")
    parts = TINY_PARTS[family]
    configure = parts.configure if positions == "rotary" else parts.learned
    if configure is None:
        raise ValueError(f"positions={positions!r} are not possible with family={family!r}; llava has them")
    tokenizer = _tokenizer(parts, tasks, vocabulary)
    side = -(-side // CELL) * CELL
    return configure(tokenizer, width, depth, side), parts.process(tokenizer, side)


@torch.no_grad()
def _spell(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Initialise the embedding of each phrase as the sum of its tokens' embeddings over √(their number).

    The embeddings of what a cell shows then start alike before a bar, at the end of a line, in a thought.
    """
    table = model.get_input_embeddings().weight
    assert isinstance(table, torch.Tensor)
    backend = tokenizer.backend_tokenizer
    for token, phrase in tokenizer.added_tokens_decoder.items():
        if not phrase.special:
            pieces = list[int]()
            for word, _ in backend.pre_tokenizer.pre_tokenize_str(str(phrase)):
                pieces += [piece.id for piece in backend.model.tokenize(word)]
            table[token] = table[pieces].sum(dim=0) / len(pieces) ** 0.5
    head = model.get_output_embeddings().weight
    assert isinstance(head, torch.Tensor)
    if head is not table:  # a head of its own begins as the table, so that copying a token is easy
        head.copy_(table)


@torch.no_grad()
def _attend_to_alike(model: PreTrainedModel) -> None:
    """Copy the weights of queries to those of keys in each layer of the language half.

    The score of two tokens is then a scalar product of one projection of both, largest where they are alike.
    After Trockman and Kolter, 2023 (arXiv:2305.09828), who draw weights of queries and keys whose product is
    near the identity, and those of values and outputs likewise. Here only queries and keys are alike, and
    nothing ties them in training.
    """
    for layer in model.get_decoder().modules():
        queries = getattr(layer, "q_proj", None)
        if isinstance(queries, torch.nn.Linear):
            layer.get_submodule("k_proj").weight.copy_(queries.weight)


def _tokenizer(parts: Parts, tasks: Sequence[tuple[str, str]], vocabulary: int) -> PreTrainedTokenizerFast:
    replies, phrases = _words(tasks)
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    # Phrases are no special tokens: they are part of the text. The longest that fits is taken.
    model.train_from_iterator(
        replies,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=list(parts.special),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    model.add_tokens([AddedToken(phrase, normalized=False) for phrase in [*TAGS, *phrases]])
    named: Settings = {"extra_special_tokens": dict(parts.named)} if parts.named else {}
    if parts.start:
        model.post_processor = processors.TemplateProcessing(
            single=f"{parts.start} $A", special_tokens=[(parts.start, model.token_to_id(parts.start))]
        )
        named["bos_token"] = parts.start
    return PreTrainedTokenizerFast(
        tokenizer_object=model,
        eos_token=parts.end,
        pad_token=parts.pad,
        padding_side="left",
        **named,
    )


def _words(tasks: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Return the texts of the tasks: the solver's replies along random play, and phrases of one token each.

    Phrases are the sentences of the instructions, which never change; places, such as ``(1,2)``; what a cell
    shows, with the bar or the end of line that follows it; and the fragments and values of thoughts.
    """
    replies = list[str]()
    phrases = dict[str, None]()
    for name, reasoning in tasks:
        game = find(name)
        knobs = game.settle(reasoning)
        phrases |= dict.fromkeys(re.findall(r"[^.\n]+(?:[.\n] ?|$)", instructions(game, knobs)))
        squares = re.findall(r"\(\d+,\d+\)", " ".join(game.actions(knobs)))
        cells = set[str]()
        steps = list[str]()
        for seed in range(DEALS):
            state = game.start(seed, knobs)
            dice = Dice(seed, 1)
            cells.update(*game.scene(state).grid())
            for _ in range(dice.below(8) if seed < WALKS else 0):
                after = game.step(state, dice.choice(game.legal(state))).state
                state = state if after.over else after
            if seed < WALKS and (reply := solution(game, state)) is not None:
                replies.append(reply)
                cells.update(*game.scene(state).grid())
                squares += re.findall(r"\(\d+,\d+\)", reply)
                thought = game.think(state)
                steps += thought.steps if thought is not None else ()
        for cell in sorted(cells):
            phrases |= dict.fromkeys((f"{cell} | ", f"{cell}\n", cell))
        for cell in sorted(cells):
            phrases[f" {cell}"] = None
        for square in squares:
            phrases |= dict.fromkeys((square, f" {square}"))
        phrases |= dict.fromkeys(thought_phrases(game.grammar, steps))
    return replies, list(phrases)


def thought_phrases(grammar: tuple[str, ...], steps: Sequence[str]) -> Iterator[str]:
    """Yield the phrases of thoughts: every fixed fragment of the grammar, and the values of slots in `steps`.

    With them a step takes one token for each fragment and each value. The end of a line is part of the token
    before it, as in a perception. Where only a space stands between two values, it is part of the second.
    """
    for template in grammar:
        *others, last = fragments(template)
        for fragment in (*others, last, f"{last}\n"):
            if fragment.strip():
                yield fragment
    for step in steps:
        parsed = parse_sentence(step, grammar)
        assert parsed is not None, step
        template, values = parsed
        for before, value in zip(fragments(template), values, strict=False):
            yield value
            if before == " ":
                yield f" {value}"
        if template.endswith("}"):
            yield f"{values[-1]}\n"
            if fragments(template)[-2] == " ":
                yield f" {values[-1]}\n"
