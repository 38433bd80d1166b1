"""What an evaluation plays: games, levels and limits in a file, and the held-out episodes they stand for."""

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from importlib import import_module
from math import inf
from pathlib import Path
from typing import Literal, NamedTuple

from vlm_gym import strict
from vlm_gym.config import build, load
from vlm_gym.episode import Episode
from vlm_gym.game import GameKnobs
from vlm_gym.knobs import pieces, suggest
from vlm_gym.registry import find, names
from vlm_gym.render import Look, look
from vlm_gym.rollouts.history import History, Replies

ALL = "all"
"""Stands for every installed game, so that a new game is included."""

_MOST = 100_000
"""Episodes of a square, and turns of an episode or of context, at most. All episodes are listed at first."""


def _check(name: str, value: object, lowest: int, highest: int, takes: str) -> None:
    """Check that a setting is a whole number in a range; `ValueError` names it."""
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise ValueError(f"{name}={strict.shown(value)} is not possible; it takes {takes}, up to {highest}")


RESOLVED = ("cells", "history", "history_replies", "decoding")
"""The entries of a suite that is spelled out; ``history_replies`` only where it is not the default."""
MOST_EPISODES = 1_000_000
"""Episodes of a suite."""


class Cell(NamedTuple):
    """A game at one level of either axis, as episodes spell them: a square of a table."""

    game: str
    perception: str
    reasoning: str

    def __str__(self) -> str:
        return f"{self.game} p{self.perception} r{self.reasoning}"

    @property
    def difficulty(self) -> tuple[GameKnobs, Look]:
        """The knobs of both axes. Raises `ValueError` for a game, level or knob that there is not."""
        return find(self.game).settle(self.reasoning), look(self.perception)


def cell_of(episode: Episode) -> Cell:
    """Return the table cell (game, perception, reasoning) that an episode counts towards."""
    return Cell(episode.game, episode.perception, episode.reasoning)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Games × levels, so many episodes of each. Levels are spelled as `knobs.spell` does."""

    games: tuple[str, ...] = (ALL,)
    perception: tuple[str, ...] = ("0",)
    reasoning: tuple[str, ...] = ("2",)
    episodes: int = 50
    turns: int | None = None
    """Turn limit, in place of that of the level."""

    def __post_init__(self) -> None:
        _check("episodes", self.episodes, 1, _MOST, "one or more")
        if self.turns is not None:
            _check("turns", self.turns, 1, _MOST, "one or more")
        for name in ("games", "perception", "reasoning"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; it takes one entry or more")

    def cells(self) -> Iterator[Cell]:
        """List the squares of this part."""
        for game in names() if ALL in self.games else self.games:
            for reasoning in self.reasoning:
                for perception in self.perception:
                    yield Cell(game, perception, self._limited(reasoning))

    def _limited(self, reasoning: str) -> str:
        if self.turns is None:
            return reasoning
        return f"{reasoning if '=' in reasoning else f'level={reasoning}'},turns={self.turns}"


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How a model samples its replies; baselines ignore it."""

    temperature: float | Literal["omit"] = 0.0
    """``"omit"`` sends none, for endpoints that refuse one: the model decodes as its makers have set it."""
    max_tokens: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        hot = self.temperature
        if not isinstance(hot, str) and (isinstance(hot, bool) or not 0 <= hot < inf):
            raise ValueError(f"temperature={hot!r} is not possible; it takes a number of 0 or more")
        _check("max_tokens", self.max_tokens, 1, 2**31 - 1, "one or more")
        _check("seed", self.seed, 0, 2**63 - 1, "a whole number of 0 or more")  # as endpoints and torch do


@dataclass(frozen=True, kw_only=True)
class Suite:
    """An evaluation: its parts, the turns of context (`History`) and how models decode.

    Without a `history`, games that need memory show `REMEMBERED` turns, and others none.

    Raises `ValueError` for a game, level or knob that there is not, or a square that is there twice.
    """

    about: str = ""
    part: tuple[Part, ...]
    history: int | None = None
    history_replies: Replies = "whole"
    decoding: Decoding = field(default_factory=Decoding)

    def __post_init__(self) -> None:
        if self.history is not None:
            _check("history", self.history, 0, _MOST, "a history of 0 or more turns")
        if not self.part:
            raise ValueError("a suite takes one [[part]] or more")
        known: dict[object, Cell] = {}
        for cell in self.cells:
            if (other := known.setdefault((cell.game, cell.difficulty), cell)) is not cell:
                raise ValueError(f"{cell} is there twice, the other time as {other}")

    @property
    def cells(self) -> dict[Cell, int]:
        """The squares, and the episodes of each."""
        cells: dict[Cell, int] = {}
        for part in self.part:
            for cell in part.cells():
                if cell in cells:
                    raise ValueError(f"{cell} is there twice")
                cells[cell] = part.episodes
        if (total := sum(cells.values())) > MOST_EPISODES:
            raise ValueError(f"{total} episodes are not possible; a suite takes up to {MOST_EPISODES:,}")
        return cells

    def episodes(self) -> list[Episode]:
        """List the episodes of the suite."""
        return episodes_of(self.cells)

    def resolved(self) -> dict[str, object]:
        """Spell everything out, knobs included: what two runs must share to be compared."""
        cells = list[dict[str, object]]()
        for cell, count in self.cells.items():
            cells.append(resolve(cell, count))
        # Left out where it is the default, so that suites of before keep their digest.
        replies = {} if self.history_replies == "whole" else {"history_replies": self.history_replies}
        return {"cells": cells, "history": self._history(), **replies, "decoding": asdict(self.decoding)}

    @property
    def context(self) -> History:
        """What a request shows of the turns before."""
        return History(self.history, self.history_replies)

    def _history(self) -> int | None:
        """Return the turns of context: None where they differ from game to game."""
        remembers = any(find(cell.game).memory for cell in self.cells)
        return 0 if self.history is None and not remembers else self.history

    @property
    def digest(self) -> str:
        """Name the suite by all that it resolves to: 64 hex digits."""
        return digest_of(self.resolved())

    def with_limits(
        self,
        episodes: int | None,
        turns: int | None,
        history: int | None,
        history_replies: Replies | None = None,
    ) -> "Suite":
        """Return a copy of the suite in which each number that is given replaces the suite's own."""
        parts = list[Part]()
        for part in self.part:
            limited = replace(
                part,
                episodes=part.episodes if episodes is None else episodes,
                turns=part.turns if turns is None else turns,
            )
            parts.append(limited)
        return replace(
            self,
            part=tuple(parts),
            history=self.history if history is None else history,
            history_replies=history_replies or self.history_replies,
        )


def resolve(cell: Cell, episodes: int) -> dict[str, object]:
    """Spell a square out."""
    knobs, look = map(asdict, cell.difficulty)
    return {**cell._asdict(), "episodes": episodes, "knobs": knobs, "look": look}


def digest_of(resolved: Mapping[str, object]) -> str:
    """Name a suite by what it resolves to."""
    return sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest()


def restore_suite(resolved: Mapping[str, object]) -> Suite:
    """Make the suite that `Suite.resolved` has spelled out.

    Raises `ValueError` for an entry of another type, a game or level that there is not, or a square that is
    there twice.
    """
    parts: list[dict[str, object]] = []
    for cell in strict.entries(resolved["cells"], "cells"):
        names = {name: strict.text(cell[name], name, most=1000) for name in Cell._fields}
        parts.append(
            {
                "games": [names["game"]],
                "perception": [names["perception"]],
                "reasoning": [names["reasoning"]],
                "episodes": cell["episodes"],
            }
        )
    kept = dict[str, object]()
    for name in RESOLVED:
        if name != "cells" and name in resolved:
            kept[name] = resolved[name]
    return build(Suite, {"part": parts, **kept})


def title_of(name: str, played: Suite) -> str:
    """Name a suite for people. Only what is shipped under a name bears it."""
    known = suites()
    return f"{name} (changed)" if name in known and suite(name).digest != played.digest else name


def resembles(name: str) -> str | None:
    """Return the name of the shipped suite that a name can be taken for, such as core for ``Core``."""
    plain = _plain(name)
    for known in suites():
        if _plain(known) == plain:
            return known
    return None


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", name).casefold()))


def episodes_of(cells: Mapping[Cell, int]) -> list[Episode]:
    """List so many held-out episodes of each square. Squares take turns: what is cut short is cut evenly."""
    episodes = list[Episode]()
    for index in range(max(cells.values())):
        for cell, count in cells.items():
            if index < count:
                episodes.append(Episode(*cell, "test", index))
    return episodes


def suite(name: str) -> Suite:
    """Load a suite by name, or by the path of a TOML file. Raises `ValueError` that lists the known ones."""
    if name in (known := suites()):
        return load(Suite, known[name])
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        return load(Suite, path)
    raise ValueError(
        f"unknown suite {name!r}{suggest(name, list(known))}; suites: {', '.join(known)}, or a .toml file"
    )


def suites() -> dict[str, Path]:
    """List the suites that are shipped."""
    folder = Path(str(import_module("vlm_gym.configs").__file__)).parent / "suites"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def levels(texts: Sequence[str]) -> tuple[str, ...]:
    """Read levels as a command line gives them: ``0,2,4`` are three, ``level=2,size=128`` is one."""
    separate: list[str] = []
    for text in texts:
        before = ""
        for piece in pieces(text):
            if "=" in piece and "=" in before:
                separate[-1] += f",{piece}"
            else:
                separate.append(piece)
            before = piece
    return tuple(separate)
