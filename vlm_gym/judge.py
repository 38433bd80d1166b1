"""What went wrong in a turn: attribution of a failure to format, rules, sight or thought."""

from functools import lru_cache
from typing import Any, Literal, NamedTuple

from vlm_gym.actions import parse
from vlm_gym.game import Game, State
from vlm_gym.record import Turn
from vlm_gym.registry import find

Kind = Literal["fine", "misformatted", "illegal", "misread", "misplanned"]

KINDS: tuple[Kind, ...] = ("fine", "misformatted", "illegal", "misread", "misplanned")
"""In the order in which they are looked for, `fine` being what is left:

- ``misformatted``: no single answer could be read from the reply
- ``illegal``: the answer is no legal action
- ``misread``: the action is bad, and the perception was wrong: a sight that mattered
- ``misplanned``: the action is bad, though the perception was right or was not told
- ``fine``: the action is as good as the solver's, within `TOLERANCE`, whatever was seen
"""

TOLERANCE = 0.05
"""Value, in [0, 1] as the solver counts, that an action may lose and still be called good."""


class Verdict(NamedTuple):
    """One turn judged."""

    kind: Kind
    perception: float | None
    """Share of cells read rightly; None if the reply told no perception."""
    exact: bool
    """Whether every cell was read rightly."""
    best: str
    """The solver's action, "" without a solver."""
    lost: float
    """Value that the solver sees lost by the action; 0 without a solver, 1 for a turn without an action."""

    @property
    def good(self) -> bool:
        """Whether the action was as good as the solver's: reasoning accuracy counts these."""
        return self.kind == "fine"


def judge(turn: Turn) -> Verdict:
    """Judge a recorded turn from its state and its reply alone."""
    game = find(turn.episode.game)
    reply = parse(turn.reply, game.legal(turn.state), game.read)
    perception = None if reply.perception is None else game.scene(turn.state).grade(reply.perception)
    exact = perception == 1.0
    values = _values(game, turn.state)
    best = max(values, key=values.__getitem__) if values else ""
    if reply.action is None:
        kind: Kind = "misformatted" if reply.fault == "format" else "illegal"
        return Verdict(kind, perception, exact, best, 1.0)
    lost = max(values.values()) - values[reply.action] if values else 0.0
    if lost <= TOLERANCE:
        return Verdict("fine", perception, exact, best, lost)
    misread = perception is not None and not exact
    return Verdict("misread" if misread else "misplanned", perception, exact, best, lost)


@lru_cache(maxsize=4096)
def _values(game: Game[Any], state: State) -> dict[str, float]:
    """Ask the solver once for a state that several policies met."""
    return dict(game.values(state))
