"""A file of a model's replies by key, each on disk at once, so that no paid request is repeated."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from vlm_gym import strict
from vlm_gym.rollouts.policy import RawReply, Refusal
from vlm_gym.storage import Appender, LineFormat, dumps, read_lines
from vlm_gym.storage.closing import Closing

K = TypeVar("K", bound=Hashable)

_REPLY = ("reply", "usage", "refused")
"""The entries of a line beside those of its key."""


class ReplyFile(Closing, Generic[K]):
    """Replies and refusals by key. What the file holds already is known from the start.

    `entries` makes the entries of a line of a key; `form` parses them. Raises `ValueError` for a file that
    holds something else.
    """

    def __init__(
        self,
        path: Path,
        form: LineFormat[tuple[K, RawReply]],
        entries: Callable[[K], Mapping[str, object]],
    ) -> None:
        self._known: dict[K, RawReply] = dict(read_lines(path, form))
        self._entries = entries
        self._file = Appender(path, form)

    def __contains__(self, key: K) -> bool:
        return key in self._known

    def __getitem__(self, key: K) -> RawReply:
        return self._known[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def add(self, key: K, reply: RawReply) -> None:
        """Write a reply. `OSError` if the disk refuses it; then it is not known either."""
        line = dict(self._entries(key))
        if isinstance(reply, Refusal):
            line["refused"] = reply.why
        else:
            line |= {"reply": str(reply), "usage": reply.usage}
        self._file.write(f"{dumps(line)}\n")
        self._known[key] = reply

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def parse_line(line: str, key: tuple[str, ...]) -> tuple[Mapping[str, object], RawReply]:
    """Parse a line into the entries of its key, which have these names, and the reply or refusal.

    Raises `ValueError` for a line that is not of this form.
    """
    entries = strict.record(strict.parse(line), "the line", (*key, *_REPLY), _REPLY)
    return entries, _reply(entries)


def _reply(entries: Mapping[str, object]) -> RawReply:
    """Make a reply or a refusal. An amount of its usage that is not a number counts as not reported."""
    if "refused" in entries:
        return Refusal(strict.text(entries["refused"], "refused"))
    for name in ("reply", "usage"):
        if name not in entries:
            raise ValueError(f"the line has no {name!r}")
    if not isinstance(entries["usage"], dict):
        raise ValueError(f"usage is {strict.shown(entries['usage'])}, not an object")
    return RawReply(strict.text(entries["reply"], "reply"), entries["usage"])
