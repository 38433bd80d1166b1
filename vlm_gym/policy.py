"""Who plays: a policy turns requests into replies, many at a time."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

from vlm_gym.baselines import PLAYERS, Player, own_dice
from vlm_gym.game import Game, State
from vlm_gym.knobs import hint
from vlm_gym.prompt import target
from vlm_gym.render import Frame, Look, draw


class Request(NamedTuple):
    """A turn that waits for a reply: what to look at, and what to read.

    A request is a few hundred bytes and can be sent anywhere; its picture is drawn where it is looked at.
    """

    game: Game[Any]
    state: State
    look: Look
    number: int
    """Turns of the episode before this one."""
    text: str
    """The instructions, and the turns before as far as the policy is to know them."""

    def picture(self) -> Frame:
        """Draw what there is to see: uint8 (size, size, 3), RGB, the same as `GameEnv` observes."""
        return draw(self.game.scene(self.state), self.look, self.state.seed, self.state.turn)


class Policy(Protocol):
    """Anything that replies. `name` goes into recordings; `sees` says whether pictures are looked at.

    `portable`: cheap to pickle, so that every worker process plays with a copy of its own. A policy with a
    model is not: it stays where it is, and processes send it their requests.
    """

    name: str
    sees: bool
    portable: bool

    def act(self, requests: Sequence[Request]) -> list[str]:
        """Reply to each request, in order, as a model writes: ``<answer>left</answer>``.

        A reply may depend on nothing but its request, so that neither batches nor processes change results.
        """
        ...


def reply_to_all(policy: Policy, batches: Sequence[Sequence[Request]]) -> list[list[str]]:
    """Reply to several batches as if they were one."""
    requests = [request for batch in batches for request in batch]
    replies = iter([reply for _, reply in zip(requests, policy.act(requests), strict=True)])
    return [list(islice(replies, len(batch))) for batch in batches]


class Baseline:
    """A player without eyes as a policy. The solver replies in full: scene, reasons and action."""

    sees = False
    portable = True

    def __init__(self, name: str) -> None:
        """Take a player of `vlm_gym.baselines`; `ValueError` lists them."""
        if name not in PLAYERS:
            known = list(PLAYERS)
            raise ValueError(f"unknown policy {name!r}{hint(name, known)}; policies: {', '.join(known)}")
        self.name = name
        self._player: Player = PLAYERS[name]

    def act(self, requests: Sequence[Request]) -> list[str]:
        """Reply to each request by the player's own dice."""
        return [self._reply(request) for request in requests]

    def _reply(self, request: Request) -> str:
        game, state = request.game, request.state
        if self.name == "solver" and (plan := game.solve(state)) is not None:
            return target(game.scene(state), plan)
        action = self._player(game, state, own_dice(state.seed, request.number))
        return f"<answer>{action}</answer>"
