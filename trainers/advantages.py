"""Which tokens of a reply answer for which part of its reward: by section, and by sentence of the thought.

A reply has three sections. The perception answers for its own term alone. The thought answers for its own
term and for what it led to, the play; the answer answers for the play. With a weight of 0 for the term of the
thought, the thought and the answer share one advantage. By sentence, the tokens of a sentence answer for its
truth, less the mean truth of all sentences of the group, in place of the term of the thought.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from vlm_gym.thought import Sentence

BEGIN, END = "<think>", "</think>"


class Spans(NamedTuple):
    """Where the sections of a reply end, in tokens."""

    perception: int
    """Tokens up to the end of the perception; 0 where the reply begins with none."""
    thought: int
    """Tokens up to the end of the thought; equal to `perception` where no thought follows it."""
    sentences: tuple[int, ...]
    """Tokens up to the end of each sentence of the thought, in order. The first begins after ``<think>``."""
    opened: int
    """Tokens up to the end of ``<think>``."""


def spans(tokenizer: Any, ids: Sequence[int], perception: int, sentences: Sequence[Sentence]) -> Spans:
    """Find the sections of one reply. `perception` counts its tokens up to the end of the perception.

    `sentences` are those of its thought, in order, as `vlm_gym.thought.grade` lists them.
    """
    words = tokenizer.decode(ids)
    start = len(tokenizer.decode(ids[:perception]))
    rest = words[start:]
    if not rest.lstrip().startswith(BEGIN) or END not in rest:
        return Spans(perception, perception, (), perception)

    def count(characters: int) -> int:
        """Count the tokens whose text reaches so many characters."""
        reached = range(len(ids))
        return 1 + bisect_left(reached, characters, key=lambda last: len(tokenizer.decode(ids[: last + 1])))

    body = start + rest.index(BEGIN) + len(BEGIN)
    closed = start + rest.index(END)
    ends: list[int] = []
    at = body
    for sentence in sentences:
        at = _after(words, sentence.words, at, closed)
        ends.append(count(at))
    return Spans(perception, count(closed + len(END)), tuple(ends), count(body))


def _after(words: str, sentence: str, start: int, end: int) -> int:
    """Return the place after the sentence, whose words stand somewhere after `start` with any spaces."""
    at = start
    for word in sentence.split():
        found = words.find(word, at, end)
        assert found >= 0, f"{word!r} of {sentence!r} does not stand in {words[start:end]!r}"
        at = found + len(word)
    return at


def by_sections(
    perception: torch.Tensor, thought: torch.Tensor, answer: torch.Tensor, of: Sequence[Spans], length: int
) -> torch.Tensor:
    """Spread the advantages of three sections, (B,) each, over the tokens of replies, (B, length)."""
    seen = torch.tensor([spans.perception for spans in of], device=answer.device)[:, None]
    thought_ends = torch.tensor([spans.thought for spans in of], device=answer.device)[:, None]
    place = torch.arange(length, device=answer.device)[None, :]
    after = torch.where(place < thought_ends, thought[:, None], answer[:, None])
    return torch.where(place < seen, perception[:, None], after)


def by_sentences(
    graded: Sequence[Sequence[Sentence]], of: Sequence[Spans], group: int, length: int
) -> torch.Tensor:
    """Compute the advantages of sentences, (B, length): truth less the mean truth of the group's sentences.

    Truth is 1 for a true sentence that is said for the first time, else 0. Tokens outside sentences get 0.
    Replies of a group stand together, `group` of them.
    """
    advantages = torch.zeros(len(graded), length)
    for first in range(0, len(graded), group):
        rows = range(first, first + group)
        truths = [float(sentence.kind == "true") for row in rows for sentence in graded[row]]
        if not truths:
            continue
        mean = sum(truths) / len(truths)
        for row in rows:
            start = of[row].opened
            for sentence, end in zip(graded[row], of[row].sentences, strict=True):
                advantages[row, start:end] = float(sentence.kind == "true") - mean
                start = end
    return advantages
