"""What replies earn while a model is trained: the terms that evaluation counts."""

from collections.abc import Mapping
from typing import NamedTuple

from vlm_gym.actions import parse_for
from vlm_gym.evaluation.judge import weigh
from vlm_gym.rollouts.policy import Request
from vlm_gym.rollouts.reward import following, take, terms, thinking
from vlm_gym.thought import Sentence

TERMS = ("game", "format", "perception", "thought")
"""The terms of a reward, as `recipe.Weights` weighs them."""
PLAY = ("game", "format")
"""Those that the answer and the form of a reply earn; the others are those of perception and thought."""


class Grade(NamedTuple):
    """One reply to one position, graded. Equal replies to equal positions get equal grades."""

    terms: Mapping[str, float]
    """By the names of `TERMS`."""
    legal: bool
    exact: bool
    """Whether every cell was read rightly."""
    good: bool
    """Whether the action was as good as the solver's."""
    true: float | None = None
    """The share of the thought's sentences that is true; None if it has none that can be checked."""
    sentences: tuple[Sentence, ...] = ()
    """Those of the thought, graded."""

    def numbers(self) -> dict[str, float]:
        """Name what is worth a curve.

        ``reasoning`` is there only where everything was read rightly, ``true`` only where the reply holds
        sentences that can be checked: the share of them that is true.
        """
        told = {**self.terms, "legal": float(self.legal), "exact": float(self.exact)}
        if self.exact:
            told["reasoning"] = float(self.good)
        if self.true is not None:
            told["true"] = self.true
        return told


def grade(request: Request, words: str, reward: str = "progress") -> Grade:
    """Grade a reply by forking its position.

    `reward` says what the game's term is: with ``value`` it is 1 for the solver's action, less the value that
    another loses, and -1 for none; else what the step earns, as the knobs of the position have it.
    """
    game, state = request.game, request.state
    reply = parse_for(game, state, words)
    verdict = weigh(game, state, reply)
    earned = terms(reply, take(game, state, reply), verdict.perception, following(game, state, reply))
    legal = verdict.kind not in ("misformatted", "illegal")
    if reward == "value":
        earned["game"] = 1.0 - verdict.lost if legal else -1.0
    return Grade(earned, legal, verdict.exact, verdict.good, verdict.thought, thinking(game, state, reply))
