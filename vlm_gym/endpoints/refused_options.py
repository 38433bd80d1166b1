"""Options that an endpoint does not take: found in its error message, and left out or renamed."""

import re
from collections.abc import Iterator, Mapping
from itertools import product

from vlm_gym.endpoints.answers import error_text, parsed

OTHERWISE: Mapping[str, str | None] = {
    "max_tokens": "max_completion_tokens",
    "temperature": None,
    "seed": None,
}
"""Options that can be left out, and their replacements at endpoints that refuse them; None: none."""

_UNKNOWN = r"unsupported param|deprecated|unknown|unrecognized|not permitted|forbidden|no longer"
"""Words for an option that is not taken at all."""
_REFUSED = re.compile(
    rf"{_UNKNOWN}|unsupported|unexpected|invalid|extra|(?:not|n't|never|cannot)(?: be)? "
    r"(?:support|allow|accept|available|set|use)",
    re.IGNORECASE,
)
"""Words for an option that is not taken as it is."""
_RANGE = re.compile(
    r"too (?:large|long|big|high|small|low)|exceed|context|at (?:most|least)|maximum|minimum|between|range"
    r"|(?:less|greater|more) than|[<>]=?",
    re.IGNORECASE,
)
"""Words for a value that is out of the option's range: a mistake of the user, not an option to leave out."""

_SEARCHED = 4000
"""Characters of an error that are searched."""


def refused(body: bytes, asked: Mapping[str, object]) -> str | None:
    """Name the option among those `asked` that an endpoint's error is about; None if it is about none.

    Fields that name it (``param``, ``loc``) count before words. A value out of the range of its option is no
    reason to leave it out, except for 0: an endpoint that takes only temperatures above 0 cannot be greedy.
    """
    text = body.decode(errors="replace")
    data = parsed(text)
    message = error_text(text if data is None else data)[:_SEARCHED]
    fields = list(_fields(data))
    known = list[str]()
    named = list[str]()
    for option in asked:
        if option in OTHERWISE:
            known.append(option)
            if option in fields:
                named.append(option)
    if fields:
        name = named[0] if named else None
    else:
        name = _nearest(message, known)
    if name is None or (
        asked[name] != 0 and _RANGE.search(message) and not re.search(_UNKNOWN, message, re.I)
    ):
        return None
    return name


def otherwise(asked: Mapping[str, object], name: str) -> dict[str, object]:
    """Return options without one of them, or with its replacement of `OTHERWISE`."""
    options = dict(asked)
    options.pop(name, None)
    other = OTHERWISE[name]
    if other is not None:
        options[other] = asked[name]
    return options


def _fields(data: object, depth: int = 0) -> Iterator[str]:
    """Yield what an error names by a field: OpenAI's ``param``, or the last step of pydantic's ``loc``."""
    if depth > 4:
        return
    if isinstance(data, list):
        for each in data[:8]:
            yield from _fields(each, depth + 1)
    if not isinstance(data, Mapping):
        return
    if isinstance(data.get("param"), str) and data["param"]:
        yield data["param"]
    if isinstance(location := data.get("loc"), list) and location:
        yield str(location[-1])
    for key in ("error", "detail", "errors"):
        yield from _fields(data.get(key), depth + 1)


def _nearest(message: str, names: list[str]) -> str | None:
    """Return the name nearest to a word of refusal; without such a word, the only name that is there."""
    positions = dict[str, list[int]]()
    for name in names:
        starts = [match.start() for match in re.finditer(rf"\b{name}\b", message)]
        if starts:
            positions[name] = starts
    refusals = [match.start() for match in _REFUSED.finditer(message)]
    if not refusals:
        return next(iter(positions)) if len(positions) == 1 else None
    gaps = dict[str, int]()
    for name, starts in positions.items():
        gaps[name] = min(abs(position - refusal) for position, refusal in product(starts, refusals))
    return min(gaps, key=gaps.__getitem__, default=None)
