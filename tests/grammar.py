"""What the grammar of replies says, written plainly and apart from the parser: for tests to compare with."""

from collections.abc import Collection
from typing import NamedTuple

NAMES = ("perception", "think", "answer")


class Tag(NamedTuple):
    """One tag of a reply; `start` and `end` are its first character and the one behind its last."""

    start: int
    end: int
    name: str
    opens: bool


class Reading(NamedTuple):
    """What a reply says."""

    action: str | None
    perception: str | None
    thought: str | None
    well_formed: bool


def reading(text: str, legal: Collection[str]) -> Reading:
    """Read a reply by the definition. Takes quadratic time."""
    tags = list_tags(text)
    perception, thought, answer = (section(text, tags, name) for name in NAMES)
    words = None if answer is None else " ".join(answer.split()).lower()
    action = words if words in legal else None
    return Reading(action, perception, thought, well_formed(text, tags))


def list_tags(text: str) -> list[Tag]:
    """List all tags in their order."""
    tags = []
    for start, character in enumerate(text):
        if character != "<":
            continue
        for name in NAMES:
            for opens, word in ((True, f"<{name}>"), (False, f"</{name}>")):
                if text[start : start + len(word)] == word:
                    tags.append(Tag(start, start + len(word), name, opens))
    return tags


def depth(tags: list[Tag], name: str, place: int) -> int:
    """Count the sections of a name that are open at a place.

    As many were open when the reply began as must have been, for its closing tags to have something to close.
    """
    least = 0
    level = 0
    here = 0
    for tag in tags:
        if tag.name == name:
            level += 1 if tag.opens else -1
            least = min(least, level)
            if tag.start < place:
                here = level
    return here - least


def section(text: str, tags: list[Tag], name: str) -> str | None:
    """Find the text of a section: two tags in order, next to each other, with no other section open."""
    mine = [number for number, tag in enumerate(tags) if tag.name == name]
    if len(mine) != 2 or mine[1] != mine[0] + 1:
        return None
    first, second = tags[mine[0]], tags[mine[1]]
    if not first.opens or second.opens:
        return None
    if any(depth(tags, other, first.start) for other in NAMES if other != name):
        return None
    return text[first.end : second.start]


def well_formed(text: str, tags: list[Tag]) -> bool:
    """Check that a reply is two to six tags in the right order, with text within each pair alone."""
    names = [tag.name for tag in tags if tag.opens]
    wanted = [name for name in NAMES if name in names]
    pairs = [(name, opens) for name in wanted for opens in (True, False)]
    if "answer" not in wanted or [(tag.name, tag.opens) for tag in tags] != pairs:
        return False
    ends = [0, *(tag.end for tag in tags)]
    starts = [*(tag.start for tag in tags), len(text)]
    for number, (end, start) in enumerate(zip(ends, starts, strict=True)):
        between = text[end:start]
        within = number % 2 == 1
        if within and not any(seen(character) for character in between):
            return False
        if not within and not all(character.isspace() for character in between):
            return False
    return True


def seen(character: str) -> bool:
    """Check whether a character shows anything."""
    return character.isprintable() and not character.isspace()
