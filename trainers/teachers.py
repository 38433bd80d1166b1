"""Who writes the replies that a cold start imitates."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from vlm_gym.prompt import target
from vlm_gym.rollouts.policy import Request


class Taught(NamedTuple):
    """A reply worth imitating, and what the solver thinks of its answer, in [0, 1]."""

    reply: str
    value: float


class Teacher(Protocol):
    """Anything that writes replies. `portable`: cheap to pickle; processes get copies."""

    portable: bool

    def teach(self, requests: Sequence[Request]) -> list[Taught]:
        """Reply to each request."""
        ...


class Solver:
    """The games' own solvers: the true scene, the reasons and the best action."""

    portable = True

    def teach(self, requests: Sequence[Request]) -> list[Taught]:
        """Reply to each request. Raises `ValueError` for a game without a solver."""
        return [self._reply(request) for request in requests]

    def _reply(self, request: Request) -> Taught:
        plan = request.game.solve(request.state)
        if plan is None:
            raise ValueError(f"{request.game.name} has no solver to learn from; choose another data.teacher")
        return Taught(target(request.game.scene(request.state), plan), plan.value)
