"""A reply is data: exactly one legal answer, or an error that says what was wrong.

Nothing is guessed and nothing is replaced by a random move. Training, evaluation and people share this
parser. It never raises on text and takes time linear in its length.

The grammar: a section is the text between an opening and a closing tag of its name, which both occur exactly
once in the reply. The text contains no tags, and no other section is open around it. A section is open from
its opening to its closing tag. A closing tag without an opening one closes a section that was open when the
reply began, because chat templates can open the thought in the prompt.
"""

import re
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Literal, NamedTuple

from vlm_gym.game import Game, State, few

SECTIONS = ("perception", "think", "answer")
"""The parts of a reply, in their order; the first two may be left out."""

_TAG = re.compile("</?(?:perception|think|answer)>")
LONGEST_ANSWER = 200
"""Characters of an answer that are parsed: no action of any game is longer."""


class Reply(NamedTuple):
    """A reply, parsed. Either `action` is a legal action, or `fault` and `error` say why there is none.

    `perception` and `thought` are the texts of their sections, None where absent. `well_formed`: the reply
    consists of its sections in order, each once at most, with nothing but white space around them. It has an
    answer, legal or not, and no section is empty.
    """

    action: str | None
    perception: str | None
    thought: str | None
    well_formed: bool
    fault: Literal["", "format", "illegal"]
    error: str


def parse_for(game: Game, state: State, text: str, legal: Collection[str] | None = None) -> Reply:
    """Parse a reply to a state of a game. `legal`, if given, saves listing the legal actions again."""
    allows = None if game.actions(state.knobs) else partial(game.allows, state)
    return parse(text, game.legal(state) if legal is None else legal, partial(_read, game, state), allows)


def _read(game: Game, state: State, words: str) -> str:
    return game.read(words, state)


def parse(
    text: str,
    legal: Collection[str],
    read: Callable[[str], str] = str.strip,
    allows: Callable[[str], bool] | None = None,
) -> Reply:
    """Parse a reply against the legal actions. `read` spells an answer's words as `legal` does (`Game.read`).

    Where actions are open, `legal` are examples and `allows` decides (`Game.allows`).
    """
    perception = _section(text, "perception")
    thought = _section(text, "think")
    answer = _section(text, "answer")
    well_formed = answer is not None and _flat(text, perception, thought, answer)
    if answer is None:
        return Reply(None, perception, thought, False, "format", _why_no_answer(text))
    action = read(answer) if len(answer) <= LONGEST_ANSWER else answer
    if action in legal or (allows is not None and allows(action)):
        return Reply(action, perception, thought, well_formed, "", "")
    shown = answer.strip() if len(answer) <= LONGEST_ANSWER else answer[:40].strip() + "..."
    known = "legal" if allows is None else "legal, for example"
    error = f"{shown!r} is not a legal action here; {known}: {few(tuple(legal))}"
    return Reply(None, perception, thought, well_formed, "illegal", error)


def answer_alone(text: str) -> str:
    """Return the answer of a reply in its tags, at most `LONGEST_ANSWER` characters; "" if it has none."""
    answer = _section(text, "answer")
    return "" if answer is None else f"<answer>{answer[:LONGEST_ANSWER]}</answer>"


def _section(text: str, name: str) -> str | None:
    """Find the text of the one section of this name that stands at the top level."""
    opening = f"<{name}>"
    closing = f"</{name}>"
    if text.count(opening) != 1 or text.count(closing) != 1:
        return None
    start = text.find(opening)
    end = text.find(closing)
    if end < start or _inside(text, start, name):
        return None
    body = text[start + len(opening) : end]
    return None if _TAG.search(body) else body


def _inside(text: str, position: int, name: str) -> bool:
    """Check whether a section of another name is open at a position in the text."""
    for other in SECTIONS:
        if other == name:
            continue
        opening = f"<{other}>"
        closing = f"</{other}>"
        # Read backwards, an opening tag in excess is a section that is not closed before the position.
        if _exceeds(opening, reversed(text[:position].split(closing))):
            return True
        # Read forwards, a closing tag in excess is a section that was not opened after the position.
        if _exceeds(closing, text[position:].split(opening)):
            return True
    return False


def _exceeds(tag: str, pieces: Iterable[str]) -> bool:
    """Check whether a tag occurs in the first n pieces n times or more, for any n: the text is split at its
    counterpart, which occurs n - 1 times between n pieces.
    """
    excess = 0
    for piece in pieces:
        excess += piece.count(tag)
        if excess > 0:
            return True
        excess -= 1
    return False


def _flat(text: str, *bodies: str | None) -> bool:
    """Check that a reply consists of these sections in order, and that none of them is empty."""
    rest = text.strip()
    for name, body in zip(SECTIONS, bodies, strict=True):
        if body is None:
            continue
        part = f"<{name}>{body}</{name}>"
        if not rest.startswith(part) or _empty(body):
            return False
        rest = rest[len(part) :].lstrip()
    return not rest


def _empty(body: str) -> bool:
    """Check whether a text shows nothing: white space, control characters and zero-width characters."""
    return not any(character.isprintable() and not character.isspace() for character in body)


def _why_no_answer(text: str) -> str:
    """Explain why a reply without an answer has none."""
    count = text.count("<answer>")
    if count == 0:
        return "no <answer>...</answer> in the reply"
    if count > 1:
        return f"{count} <answer> tags in the reply; write exactly one"
    if text.count("</answer>") != 1:
        return f"{text.count('</answer>')} </answer> tags in the reply; write exactly one"
    if _inside(text, text.find("<answer>"), "answer"):
        return "the <answer> stands inside another section; close <perception> and <think> before it"
    return "the <answer> is not closed, or holds other tags"
