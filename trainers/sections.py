"""Locate the sections of a reply among its tokens: perception, thought with its sentences, answer."""

from bisect import bisect_left
from collections.abc import Sequence
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


def spans(tokenizer: Tokenizer, ids: Sequence[int], perception: int, sentences: Sequence[Sentence]) -> Spans:
    """Find the sections of one reply. `perception` counts its tokens up to the end of the perception.

    `sentences` are those of its thought, in order, as `vlm_gym.thought.grade_sentences` lists them.
    """
    text = tokenizer.decode(ids)
    start = len(tokenizer.decode(ids[:perception]))
    rest = text[start:]
    if not rest.lstrip().startswith(THINK) or THOUGHT_END not in rest:
        return Spans(perception, perception, (), perception)

    def count(characters: int) -> int:
        """Count the tokens whose text reaches so many characters."""
        reached = range(len(ids))
        return 1 + bisect_left(reached, characters, key=lambda last: len(tokenizer.decode(ids[: last + 1])))

    body = start + rest.index(THINK) + len(THINK)
    closed = start + rest.index(THOUGHT_END)
    ends: list[int] = []
    end = body
    for sentence in sentences:
        end = _after(text, sentence.words, end, closed)
        ends.append(count(end))
    opened = count(body) if sentences else perception  # each count decodes several times
    return Spans(perception, count(closed + len(THOUGHT_END)), tuple(ends), opened)


def _after(text: str, sentence: str, start: int, end: int) -> int:
    """Return the index in `text` after a sentence, whose words come after `start` with any spaces."""
    position = start
    for word in sentence.split():
        start_of_word = text.find(word, position, end)
        assert start_of_word >= 0, f"{word!r} of {sentence!r} does not stand in {text[start:end]!r}"
        position = start_of_word + len(word)
    return position


def perception_lengths(tokenizer: Tokenizer, replies: Sequence[Sequence[int]]) -> list[int]:
    """Count the tokens of each reply up to the end of its perception; 0 where it begins with none."""
    # Decoding is slow. Many replies of a group are equal, and more of them begin with the same perception.
    counts = dict[tuple[int, ...], int]()
    lengths = set[int]()
    for ids in map(tuple, replies):
        if ids in counts:
            continue
        count = 0
        for length in lengths:
            count = counts.get(ids[:length], 0)
            if count:  # all beginnings with a whole perception have the same count
                break
        if not count:
            count = _count(tokenizer, ids)
        counts[ids] = count
        if count:
            counts[ids[:count]] = count
            lengths.add(count)
    return [counts[tuple(ids)] for ids in replies]


def _count(tokenizer: Tokenizer, ids: tuple[int, ...]) -> int:
    text = tokenizer.decode(ids)
    if not text.lstrip().startswith(LOOK) or LOOKED not in text:
        return 0
    return 1 + bisect_left(range(len(ids)), True, key=lambda end: LOOKED in tokenizer.decode(ids[: end + 1]))
