"""Which of the turns before a request shows: one rule for training, cold starts, evaluation and endpoints."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from vlm_gym.actions import answer_alone
from vlm_gym.game import Game
from vlm_gym.rollouts.policy import REMEMBERED, PastTurn

Replies = Literal["whole", "answer"]
"""How past replies are shown: as they were written, or their answer alone."""


class History(NamedTuple):
    """How much of the past a request shows."""

    turns: int | None = None
    """Turns before the present one. None: `REMEMBERED` in games that need memory, else none."""
    replies: Replies = "whole"

    def count(self, game: Game) -> int:
        """Return the number of turns that a request to a game shows at most."""
        if self.turns is None:
            return REMEMBERED if game.memory else 0
        return self.turns

    def shown(self, game: Game, past: Sequence[PastTurn]) -> tuple[PastTurn, ...]:
        """Return what a request shows of all turns before, oldest first. A second pass changes nothing."""
        count = self.count(game)
        recent = tuple(past[-count:]) if count else ()
        if self.replies == "whole":
            return recent
        return tuple(turn._replace(reply=answer_alone(turn.reply)) for turn in recent)


USUAL = History()
"""Past turns where a game needs them."""
