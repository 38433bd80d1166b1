"""Thoughts that can be checked: sentences of a game's grammar, graded against the facts of a position.

A game declares its sentences as templates, such as ``{line} has {tile} twice, not {cell}``. A thought is its
steps, one a line. A reader also accepts sentences that end with a full stop and a space, in any case and with
any spaces. Reading and grading take time linear in the length of the text, and raise on no text.
"""

import re
from collections.abc import Collection, Sequence
from functools import cache, lru_cache
from typing import Literal, NamedTuple

_WORD = r"[^\s.,:;()<>|]++"
SLOTS = {
    "n": r"\d++",
    "cell": r"\(\d++,\d++\)",
    "line": r"(?:row|column) \d++",
    "tile": rf"{_WORD}(?: {_WORD}){{0,3}}",
    "move": _WORD,
}
"""Patterns of the slots of a template, by name.

``{n}`` is a whole number, ``{cell}`` the name of a cell, ``{line}`` a row or a column such as ``row 2``,
``{tile}`` the words of a symbol (one to four), ``{move}`` an action of one word.
"""

LONGEST_SENTENCE = 200
"""Characters of a sentence that are parsed: no sentence of any game is longer."""


class Thought(NamedTuple):
    """How a good action is found on a position, in words that can be checked one by one."""

    steps: tuple[str, ...]
    """Sentences in the order of looking; each follows from the board and the steps before it."""
    action: str
    """The legal action that follows from the steps."""
    value: float
    """The value of the action, in [0, 1]."""

    @property
    def words(self) -> str:
        """Return the text of the thought as a reply holds it: its steps, one a line."""
        return "\n".join(self.steps)


class Sentence(NamedTuple):
    """One sentence of a thought, graded."""

    words: str
    """As it was written, without the spaces around it and the full stop after it."""
    kind: Literal["true", "false", "repeated", "foreign"]
    """``foreign``: no sentence of the game's grammar. ``repeated``: a sentence of the grammar that stands
    earlier in the thought."""


def sentences(text: str) -> list[str]:
    """Split a text into sentences: at the ends of lines, and at full stops before a space."""
    parts: list[str] = []
    for line in text.split("\n"):
        spaced = " ".join(line.split())
        for part in spaced.split(". "):
            sentence = part.strip().removesuffix(".").rstrip()
            if sentence:
                parts.append(sentence)
    return parts


def fold(words: str) -> str:
    """Return the form in which sentences are compared: without regard to case and spaces."""
    return " ".join(words.split()).lower()


def grade_sentences(text: str, grammar: tuple[str, ...], facts: Collection[str]) -> tuple[Sentence, ...]:
    """Grade every sentence of a text. `facts` are the true sentences of the position, folded."""
    graded: list[Sentence] = []
    earlier: set[str] = set()
    for words in sentences(text):
        folded = fold(words)
        if folded in earlier:
            graded.append(Sentence(words, "repeated"))
        elif folded in facts:
            graded.append(Sentence(words, "true"))
            earlier.add(folded)
        elif parse_sentence(folded, grammar) is not None:
            graded.append(Sentence(words, "false"))
            earlier.add(folded)
        else:
            graded.append(Sentence(words, "foreign"))
    return tuple(graded)


def accuracy(graded: Sequence[Sentence]) -> float | None:
    """Return the share of true sentences among those of the grammar; None if there are none."""
    true = sum(sentence.kind == "true" for sentence in graded)
    false = sum(sentence.kind == "false" for sentence in graded)
    return true / (true + false) if true + false else None


def agreement(steps: Sequence[str], text: str, follows: bool) -> float:
    """Score in [0, 1] how far a text is the thought `steps`, with `follows`: its conclusion is its answer.

    The score is the length of the longest common subsequence of the two lists of sentences, over the length
    of the longer list. The answer counts as one sentence more, which both have in common where it follows.
    So a sentence that is false, foreign, repeated, out of order or beside the point lowers the score, as does
    one that is left out, and nothing scores more than the thought itself. O(len(steps) * sentences).
    """
    wanted = [fold(step) for step in steps]
    written = [fold(words) for words in sentences(text)]
    common = [0] * (len(wanted) + 1)  # of the sentences so far and the first k steps
    for words in written:
        before = 0  # common[k - 1] of the row above
        for k, step in enumerate(wanted, start=1):
            above = common[k]
            common[k] = before + 1 if words == step else max(above, common[k - 1])
            before = above
    return (common[-1] + follows) / (max(len(wanted), len(written)) + 1)


def parse_sentence(words: str, grammar: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | None:
    """Parse one sentence: its template and the words of its slots, in order.

    The first template that fits is taken. None if no template fits.
    """
    if len(words) > LONGEST_SENTENCE:
        return None
    return _parse(fold(words), grammar)


@lru_cache(maxsize=1 << 14)  # the replies of a run have few different sentences
def _parse(folded: str, grammar: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | None:
    for template in grammar:
        match = _compiled(template).fullmatch(folded)
        if match is not None:
            return template, match.groups()
    return None


def fragments(template: str) -> list[str]:
    """List the fixed text of a template: before the first slot, between two slots, after the last one.

    A template with k slots has k + 1 fragments; the first and the last may be empty.
    """
    return re.split(r"\{\w+\}", template)


@cache
def _compiled(template: str) -> re.Pattern[str]:
    """Compile a template to a pattern with a group for each slot.

    Raises `ValueError` for a slot that has no pattern.
    """
    pattern = ""
    for index, part in enumerate(re.split(r"\{(\w+)\}", template)):
        if index % 2 == 0:
            pattern += re.escape(part.lower())
        elif part in SLOTS:
            pattern += f"({SLOTS[part]})"
        else:
            raise ValueError(f"slot {{{part}}} of {template!r} is not possible; slots: {', '.join(SLOTS)}")
    return re.compile(pattern)
