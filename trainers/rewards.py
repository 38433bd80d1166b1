"""Reward terms of training, as one table of functions of a graded reply.

A package adds a term by an entry point in the group ``vlm_gym.rewards``, whose name is that of the term and
whose object is a `Term`.
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from math import isfinite, nan
from typing import Literal, NamedTuple, SupportsFloat

from vlm_gym.actions import Reply, parse_for
from vlm_gym.evaluation.judge import weigh
from vlm_gym.game import State, Step
from vlm_gym.knobs import suggest
from vlm_gym.returns import FAILED
from vlm_gym.rollouts.policy import Request
from vlm_gym.rollouts.reward import following, take, terms, thinking
from vlm_gym.thought import Sentence

GROUP = "vlm_gym.rewards"
"""The group of entry points that add terms."""
Section = Literal["perception", "thought", "answer"]


class Graded(NamedTuple):
    """A reply to a position with what is known of it: what a reward term is a function of."""

    request: Request
    reply: Reply
    counts: Mapping[str, float]
    """What `vlm_gym.rollouts.reward.terms` counts; ``game`` as the recipe has it."""


class Term(NamedTuple):
    """A reward term."""

    score: Callable[[Graded], float]
    weight: float
    """The weight where a recipe names none."""
    section: Section = "answer"
    """The section whose tokens answer for the term, with credit by section. A term of the answer is shared by
    the thought, which led to it."""


BUILT_IN: Mapping[str, Term] = {
    "game": Term(lambda graded: graded.counts["game"], 1.0),
    "format": Term(lambda graded: graded.counts["format"], 1.0),
    "perception": Term(lambda graded: graded.counts["perception"], 0.0, "perception"),
    "thought": Term(lambda graded: graded.counts["thought"], 0.0, "thought"),
}
"""The terms of this package. The default weights are those of the paper (arXiv:2505.13426)."""


class Grade(NamedTuple):
    """One reply to one position, graded. Equal replies to equal positions get equal grades."""

    terms: Mapping[str, float]
    """By the names of `all_terms`."""
    legal: bool
    exact: bool
    """Whether every cell was read correctly."""
    good: bool
    """Whether the action was as good as the solver's."""
    action: str | None
    """The legal action of the reply; None if it has none."""
    step: Step[State]
    """What the reply leads to."""
    true: float | None = None
    """The share of the thought's sentences that is true; None if it has none that can be checked."""
    sentences: tuple[Sentence, ...] = ()
    """Those of the thought, graded."""

    def numbers(self) -> dict[str, float]:
        """Return the numbers that are worth a curve.

        ``reasoning`` is there only where everything was read correctly, ``true`` only where the reply holds
        sentences that can be checked: the share of them that is true.
        """
        numbers = {**self.terms, "legal": float(self.legal), "exact": float(self.exact)}
        if self.exact:
            numbers["reasoning"] = float(self.good)
        if self.true is not None:
            numbers["true"] = self.true
        return numbers

    def reward(self, weights: Mapping[str, float], sections: tuple[Section, ...] | None = None) -> float:
        """Compute the weighted sum of the terms, or of those that some sections answer for."""
        total = 0.0
        for name in names_of(sections):
            total += weights[name] * self.terms[name]
        return total


@cache
def all_terms() -> Mapping[str, Term]:
    """Return all terms by name: those of this package, then those of others.

    Raises `ValueError` if an entry point is no `Term` or has a name that is taken.
    """
    terms = dict(BUILT_IN)
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        term = entry.load()
        if not isinstance(term, Term):
            raise ValueError(
                f"the reward term {entry.name!r} of {entry.value} is no vlm_gym.trainers.rewards.Term"
            )
        if entry.name in terms:
            raise ValueError(f"there are two reward terms {entry.name!r}; the second is {entry.value}")
        terms[entry.name] = term
    return terms


def names_of(sections: tuple[Section, ...] | None) -> list[str]:
    """Return the names of the terms that some sections answer for; of all terms without any."""
    names = list[str]()
    for name, term in all_terms().items():
        if sections is None or term.section in sections:
            names.append(name)
    return names


def weigh_terms(given: Mapping[str, float]) -> dict[str, float]:
    """Return the weight of every term, in the order of the table: that of a recipe or the default.

    Raises `ValueError` for a name that is no term.
    """
    known = all_terms()
    for name in given:
        if name not in known:
            raise ValueError(
                f"unknown reward term {name!r}{suggest(name, list(known))}; terms: {', '.join(known)}"
            )
    weights = dict[str, float]()
    for name, term in known.items():
        weights[name] = float(given.get(name, term.weight))
    return weights


def grade_completion(request: Request, text: str, by_solver: bool = False) -> Grade:
    """Grade a reply by forking its position.

    The game's term is what the step earns, as the knobs of the position have it. With `by_solver` it is 1 for
    the solver's action, less the value that another loses, and -1 for none. Raises `ValueError` for a term
    that is not finite.
    """
    game = request.game
    state = request.state
    reply = parse_for(game, state, text)
    sentences = thinking(game, state, reply)
    verdict = weigh(game, state, reply, sentences)
    step: Step[State] = take(game, state, reply)
    counts = terms(reply, step, verdict.perception, following(game, state, reply))
    legal = reply.action is not None
    if by_solver:
        counts["game"] = 1.0 - verdict.lost if legal else FAILED
    graded = Graded(request, reply, counts)
    earned = dict[str, float]()
    for name, term in all_terms().items():
        earned[name] = _finite(name, term.score(graded), game.name, text)
    return Grade(
        terms=earned,
        legal=legal,
        exact=verdict.exact,
        good=verdict.good,
        action=reply.action,
        step=step,
        true=verdict.thought,
        sentences=sentences,
    )


def _finite(name: str, value: SupportsFloat, game: str, text: str) -> float:
    """Check the value of a term. A term of another package may return anything."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = nan
    if not isfinite(number):
        message = f"the reward term {name!r} is {value!r} for a reply to {game}: {text!r}"
        raise ValueError(f"{message}; a term returns a finite number")
    return number
