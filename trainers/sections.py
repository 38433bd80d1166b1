"""Locate the sections of a reply among its tokens: perception, thought with its sentences, answer."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from vlm_gym.thought import Sentence

from .models.protocols import Tokenizer

LOOK = "<perception>"
LOOKED = "</perception>"
THINK = "<think>"
THOUGHT_END = "</think>"


class Spans(NamedTuple):
    """The ends of the sections of a reply, in tokens."""

    perception: int
    """Tokens up to the end of the perception; 0 where the reply begins with none."""
    thought: int
    """Tokens up to the end of the thought; equal to `perception` where no thought follows it."""
    sentences: tuple[int, ...]
    """Tokens up to the end of each sentence of the thought, in order. The first begins after ``<think>``."""
    opened: int
    """Tokens up to the end of ``<think>``; equal to `perception` where no sentences are asked for."""


def spans(tokenizer: Tokenizer, ids: Sequence[int], sentences: Sequence[Sentence] = ()) -> Spans:
    """Find the sections of one reply.

    `sentences` are those of its thought, in order, as `vlm_gym.thought.grade_sentences` lists them.
    """
    text = tokenizer.decode(ids)
    count = _counting(tokenizer, ids, text)
    perception = 0
    start = 0  # characters up to the end of the perception's last token
    if text.lstrip().startswith(LOOK) and LOOKED in text:
        perception = count(text.index(LOOKED) + len(LOOKED))
        start = len(tokenizer.decode(ids[:perception]))
    rest = text[start:]
    if not rest.lstrip().startswith(THINK) or THOUGHT_END not in rest:
        return Spans(perception, perception, (), perception)
    body = start + rest.index(THINK) + len(THINK)
    closed = start + rest.index(THOUGHT_END)
    ends: list[int] = []
    end = body
    for sentence in sentences:
        end = _after(text, sentence.words, end, closed)
        ends.append(count(end))
    opened = count(body) if sentences else perception
    return Spans(perception, count(closed + len(THOUGHT_END)), tuple(ends), opened)


def _counting(tokenizer: Tokenizer, ids: Sequence[int], text: str) -> Callable[[int], int]:
    """Return a function that counts the tokens whose text reaches so many characters."""
    parts = [_text_of(tokenizer, token) for token in ids]
    if "".join(parts) == text:
        ends = list(accumulate(map(len, parts)))
        return lambda characters: 1 + bisect_left(ends, characters)

    def reached(last: int) -> int:
        return len(tokenizer.decode(ids[: last + 1]))

    # Tokens decoded alone lack the spaces before them, or hold part of a character: decode what comes before.
    return lambda characters: 1 + bisect_left(range(len(ids)), characters, key=reached)


@lru_cache(maxsize=1 << 16)
def _text_of(tokenizer: Tokenizer, token: int) -> str:
    """Return the text of a token alone."""
    return tokenizer.decode([token])


def _after(text: str, sentence: str, start: int, end: int) -> int:
    """Return the index in `text` after a sentence, whose words come after `start` with any spaces."""
    position = start
    for word in sentence.split():
        start_of_word = text.find(word, position, end)
        assert start_of_word >= 0, f"{word!r} of {sentence!r} does not stand in {text[start:end]!r}"
        position = start_of_word + len(word)
    return position
