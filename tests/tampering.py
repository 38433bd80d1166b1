"""Documents with one thing changed, and the refusal that names their file."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vlm_gym.episode import Episode
from vlm_gym.registry import names

EPISODES = [Episode(game, "level=0,size=128", "0", "test", 0) for game in names()]
HUGE = 10**400
WRONG: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.5, 1e308, HUGE, -HUGE, 10**9, 2**63),
    *("", "x", "0", "a\nb", "\x1b[2J", "y" * 5000),
    *([], [[]], [0], {}, {"hex": ""}, {"hex": "zz"}, {"a": 1}),
)


def written(path: Path, lines) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogatepass")
    return path


def places(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """List where values stand in a document, containers included."""
    if path:
        yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def mutate(text: str, dice: random.Random) -> str:
    """Change one thing in a document: a value, a key, an entry, or its end."""
    data = json.loads(text)
    *path, last = dice.choice(list(places(data)))
    inner = data
    for key in path:
        inner = inner[key]
    way = dice.randrange(6)
    if way == 0:
        del inner[last]
    elif way == 1 and isinstance(inner, dict):
        inner[dice.choice(["x", "score", "__class__", "knobs"])] = dice.choice(WRONG)
    elif way == 2:
        deep: Any = inner[last]
        for _ in range(dice.choice([1, 3, 400])):
            deep = [deep]
        inner[last] = deep
    elif way == 3:
        return text[: dice.randrange(len(text))]
    elif way == 4:
        raw = json.dumps(data)
        at = dice.randrange(len(raw))
        return raw[:at] + dice.choice(["NaN", "Infinity", '"', "}", "[", "\x00", "\ud800", "é"]) + raw[at:]
    else:
        inner[last] = dice.choice(WRONG)
    return json.dumps(data)


def refused_or(act: Callable[[], Any], path: Path, line: bool = True) -> Any:
    """Return what a function returns, or None if it refuses the file in one line that names it."""
    try:
        return act()
    except ValueError as error:
        told = str(error)
        assert "\n" not in told, told
        assert str(path.parent) in told, told
        assert len(told) < 2000, told[:2000]
        assert not line or "line " in told or "byte " in told, told
        return None
