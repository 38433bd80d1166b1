"""The answer of a chat endpoint as data: the text of a model, or why there is none.

Endpoints of many makers answer in many forms, and gateways pass a fault of others on in forms of their own.
`read_answer` is the only reader of them. It accepts any status and any bytes.
"""

import html
import json
import re
from collections.abc import Callable, Mapping
from math import inf
from typing import NamedTuple

from vlm_gym.strict import amounts

CUT = ("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded")
"""Reasons to finish that mean: the reply was cut at the token limit."""
FILTERED = (
    "content_filter",
    "sensitive",
    "safety",
    "prohibited_content",
    "blocklist",
    "recitation",
    "refusal",
)
"""Reasons to finish, and codes of errors, that mean: a filter refuses this request."""
FAILED_FINISHES = ("error", "abort", "network_error", "insufficient_system_resource")
"""Reasons to finish that mean: the provider failed."""
TOO_LONG_CODES = ("context_length_exceeded", "string_above_max_length")

REFUSED = (400, 403, 413, 422, 451)
"""Statuses that may be about this request alone."""
PASSING = (408, 409, 425, 429)
"""Statuses that may pass, as do all from 500 on."""

_BAD_REQUEST = 400
_BAD_GATEWAY = 502
_LONGEST = 500
"""Characters of an endpoint's words that are kept."""
_PAGE = 20_000
"""Characters of a page that are searched for words."""
_DEPTH = 8
"""Levels of an answer that are searched for words."""
_SPEAKING = (
    "message",
    "msg",
    "detail",
    "error",
    "errors",
    "error_description",
    "description",
    "title",
    "reason",
)
"""Keys under which endpoints report errors, the most informative first."""


class Answer(NamedTuple):
    """An answer of an endpoint. It is a model's reply if `fault` is empty."""

    text: str = ""
    usage: Mapping[str, float] = {}
    """``tokens_in`` and ``tokens``, as far as the endpoint reports them as finite numbers."""
    cut: bool = False
    """Whether the reply ended at the token limit."""
    fault: str = ""
    """Why this is no reply, as the endpoint reports it."""
    status: int = 200
    """The HTTP status, or the one that an error inside HTTP 200 amounts to."""

    @property
    def refused(self) -> bool:
        """Whether the endpoint may have refused this request alone."""
        return bool(self.fault) and self.status in REFUSED

    @property
    def passing(self) -> bool:
        """Whether the fault may pass, so that it is worth asking again."""
        return bool(self.fault) and (self.status in PASSING or self.status >= 500)


def read_answer(status: int, body: bytes, mask: Callable[[str], str] = str) -> Answer:
    """Read an answer from its HTTP status and body. `mask` hides secrets in the texts of either side."""
    text = body.decode(errors="replace")
    data = parsed(text)
    if not 200 <= status < 300:
        return Answer(
            fault=_joined(f"HTTP {status}", _tidy(error_text(mask(text) if data is None else data), mask)),
            status=status,
        )
    if not isinstance(data, Mapping):
        return _fault(
            f"gave an answer that is not a reply: {_tidy(error_text(mask(text)), mask) or 'nothing'}"
        )
    if _present(data.get("error")):
        return _error(data["error"], mask)
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, Mapping):
        return _fault(f"answered without a choice: {_tidy(text, mask)}")
    if _present(choice.get("error")):
        return _error(choice["error"], mask)
    finish = str(choice.get("finish_reason") or "").lower()
    if finish.startswith(FILTERED):
        return Answer(fault=f"the reply was stopped by a filter: {_tidy(finish, mask)}", status=_BAD_REQUEST)
    if finish in FAILED_FINISHES:
        return _fault(f"the provider failed: finish_reason {finish}")
    message = choice.get("message")
    reply = _message_text(message) if isinstance(message, Mapping) else None
    if reply is None:
        return _fault(f"answered with a choice that cannot be read: {_tidy(json.dumps(choice), mask)}")
    # A server that cuts a reply may cut a symbol in two: half a surrogate pair goes into no file.
    return Answer(mask(reply).encode(errors="replace").decode(), _usage(data.get("usage")), finish in CUT)


def parsed(text: str) -> object:
    """Parse JSON; None for anything else. Numbers too large to mean anything become infinity."""
    try:
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 400 else inf)
    except (ValueError, RecursionError):
        return None


def error_text(data: object, depth: int = 0) -> str:
    """Find the message for people in an error of any form: JSON of any provider, HTML, or plain text."""
    if isinstance(data, str):
        return _plain(data)
    if depth > _DEPTH:
        return ""
    if isinstance(data, list):
        texts = [error_text(entry, depth + 1) for entry in data[:3]]
        return "; ".join(filter(None, texts))
    if not isinstance(data, Mapping):
        return ""
    text = ""
    for key in _SPEAKING:
        text = text or error_text(data.get(key), depth + 1)
    if text and isinstance(location := data.get("loc"), list):
        text = f"{'.'.join(map(str, location))}: {text}"
    metadata = data.get("metadata")  # OpenRouter: the error of the provider
    raw = error_text(metadata.get("raw"), depth + 1) if isinstance(metadata, Mapping) else ""
    text = f"{text} ({raw})" if text and raw else text or raw
    return text or (json.dumps(data) if data and not depth else "")


def _error(error: object, mask: Callable[[str], str]) -> Answer:
    """Read an error that came inside HTTP 200. It is passing, unless its code is about the request."""
    codes = list[object]()
    if isinstance(error, Mapping):
        codes = [error.get("code"), error.get("status"), error.get("type")]
    status = _BAD_GATEWAY
    for code in map(str, codes):
        if code.lower().startswith((*FILTERED, *TOO_LONG_CODES)):
            status = _BAD_REQUEST
        elif re.fullmatch(r"[45]\d\d", code):
            status = int(code)
    return Answer(
        fault=_joined(f"error {status}" if codes else "error", _tidy(error_text(error), mask)), status=status
    )


def _fault(text: str) -> Answer:
    return Answer(fault=text, status=_BAD_GATEWAY)


def _present(error: object) -> bool:
    """Check whether an entry ``error`` has content: some endpoints always send one, of nulls."""
    return any(error.values()) if isinstance(error, Mapping) else bool(error)


def _message_text(message: Mapping[str, object]) -> str | None:
    """Return the text of a message, without its thinking; None if it cannot be read."""
    content = message.get("content")
    if content is None:
        refusal = message.get("refusal")  # the text of the model, too
        return refusal if isinstance(refusal, str) else ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts: list[str] = []
    for part in content:
        if isinstance(part, str):
            parts.append(part)
        elif not isinstance(part, Mapping):
            return None
        elif part.get("type", "text") in ("text", "output_text") and isinstance(part.get("text"), str):
            parts.append(part["text"])
    return "".join(parts)


def _usage(usage: object) -> dict[str, float]:
    if not isinstance(usage, Mapping):
        return {}
    return amounts({"tokens_in": usage.get("prompt_tokens"), "tokens": usage.get("completion_tokens")})


def _plain(text: str) -> str:
    """Return the text of a page of HTML, or a text as it is."""
    if not text.lstrip().startswith("<"):
        return text
    text = text[:_PAGE]
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    return html.unescape(re.sub(r"<[^>]*>", " ", text))


def _tidy(text: str, mask: Callable[[str], str]) -> str:
    """Return an endpoint's text as one short line that a terminal can show."""
    # Masked first: where the text is shortened, a part of a secret could be left.
    printable = "".join(sign if sign.isprintable() else " " for sign in mask(text))
    line = " ".join(printable.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def _joined(head: str, text: str) -> str:
    return f"{head}: {text}" if text else head
