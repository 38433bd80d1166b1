"""Policies: a policy turns requests into replies, many at a time."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from inspect import signature
from itertools import chain, islice
from typing import NamedTuple, Protocol, Self, get_type_hints

from vlm_gym import strict
from vlm_gym.config import read_value
from vlm_gym.game import Game, State
from vlm_gym.knobs import suggest
from vlm_gym.prompt import Message, conversation, solution
from vlm_gym.render import Frame, Look, draw
from vlm_gym.rollouts.baselines import PLAYERS, Player, own_dice

REMEMBERED = 16
"""Turns that a request shows of a game that needs memory, where the caller did not choose."""


class PastTurn(NamedTuple):
    """A turn before: what was seen, what was replied, and one line on what came of it."""

    state: State
    reply: str
    feedback: str


class Request(NamedTuple):
    """A turn that needs a reply: the state to render, and the text of the prompt.

    A request is a few hundred bytes and can be sent anywhere; its picture is drawn where it is looked at.
    """

    game: Game
    state: State
    look: Look
    number: int
    """Turns of the episode before this one."""
    text: str
    """The instructions."""
    past: tuple[PastTurn, ...] = ()
    """The past turns that the policy is shown, oldest first."""

    def picture(self) -> Frame:
        """Draw what there is to see: uint8 (size, size, 3), RGB, the same as `GameEnv` observes."""
        return self._draw(self.state)

    def pictures(self) -> list[Frame]:
        """Draw a picture for every placeholder in `messages`, in their order: the past, then the present."""
        return [*(self._draw(turn.state) for turn in self.past), self.picture()]

    def messages(self) -> list[Message]:
        """Write the conversation that asks for the reply."""
        return conversation(self.text, [(turn.reply, turn.feedback) for turn in self.past])

    def _draw(self, state: State) -> Frame:
        return draw(self.game.scene(state), self.look, state.seed, state.turn)


LONGEST_REPLY = strict.LONGEST_LINE >> 3
"""Characters of a reply that count, 1 Mi: JSON takes up to 6 bytes for each, and a line has to hold them."""


class RawReply(str):
    """A reply with its ``usage`` by name, such as ``tokens``, ``seconds`` and ``dollars``.

    ``cut`` is 1 for a reply that ended at the token limit, and for one that is cut at `LONGEST_REPLY`.
    """

    usage: dict[str, float]

    def __new__(cls, text: str, usage: Mapping[str, float]) -> Self:
        """Make a reply of its words and of what it took; entries that are no `strict.amounts` are dropped."""
        reply = super().__new__(cls, text[:LONGEST_REPLY])  # a line of a recording has to hold it
        reply.usage = strict.amounts(usage)
        if len(text) > LONGEST_REPLY:
            reply.usage["cut"] = 1.0
        return reply

    def __reduce__(self) -> tuple[object, ...]:
        """Return what a pickle rebuilds the reply from."""
        return type(self), (str(self), self.usage)


class Refusal(RawReply):
    """What stands in the place of a reply that an endpoint refuses for good, as a content filter does.

    The words are empty, because the model has written none. ``why`` is what the endpoint reports. The
    episode ends with it.
    """

    why: str

    def __new__(cls, why: str) -> Self:
        """Make a refusal of what the endpoint reports about it."""
        refusal = super().__new__(cls, "", {})
        refusal.why = why or "no reason given"
        return refusal

    def __reduce__(self) -> tuple[object, ...]:
        """Return what a pickle rebuilds the refusal from."""
        return type(self), (self.why,)


class Policy(Protocol):
    """Anything that replies. `name` goes into recordings; `sees`: whether it uses the pictures.

    `portable`: cheap to pickle, so that every worker process plays with a copy of its own. A policy with a
    model is not: it stays where it is, and processes send it their requests.

    A policy that has its replies one by one may have an attribute `on_reply`, None at first. A function
    that is put there is called with every request and its reply as soon as there is one.
    """

    name: str
    sees: bool
    portable: bool

    def act(self, requests: Sequence[Request]) -> list[str]:
        """Reply to each request, in order, as a model writes: ``<answer>left</answer>``.

        A model's reply may be a `RawReply`, with the usage, or a `Refusal`. A reply may depend on
        nothing but its request, so that neither batches nor processes change results.
        """
        ...


def reply_to_all(policy: Policy, batches: Sequence[Sequence[Request]]) -> list[list[str]]:
    """Reply to several batches as if they were one."""
    requests = list(chain.from_iterable(batches))
    # A policy that replies too often, or too seldom, is an error here, not a shift of replies.
    replies = iter([reply for _, reply in zip(requests, policy.act(requests), strict=True)])
    return [list(islice(replies, len(batch))) for batch in batches]


class Baseline:
    """A baseline as a policy. The solver replies in full: perception, thought and action."""

    sees = False
    portable = True

    def __init__(self, name: str) -> None:
        """Take a player of `vlm_gym.rollouts.baselines`; `ValueError` lists them."""
        if name not in PLAYERS:
            known = list(PLAYERS)
            raise ValueError(f"unknown policy {name!r}{suggest(name, known)}; policies: {', '.join(known)}")
        self.name = name
        self._player: Player = PLAYERS[name]

    def act(self, requests: Sequence[Request]) -> list[str]:
        """Reply to each request by the player's own dice."""
        return list(map(self._reply, requests))

    def _reply(self, request: Request) -> str:
        game = request.game
        state = request.state
        if self.name == "solver" and (reply := solution(game, state)) is not None:
            return reply
        action = self._player(game, state, own_dice(state.seed, request.number))
        return f"<answer>{action}</answer>"


MODELS: Mapping[str, str] = {
    "openai": "vlm_gym.rollouts.remote:OpenAI",
    "hf": "vlm_gym.trainers.models.transformers_policy:Transformers",
    "vllm": "vlm_gym.trainers.models.engine:VLLM",
}
"""Where the policies with a model live, by the word before the colon of ``openai:NAME``."""


def make(spec: str, **options: object) -> Policy:
    """Make a policy by name: a player of `baselines`, or a model as ``openai:NAME``, ``hf:PATH`` or
    ``vllm:PATH``.

    `options` go to the model. Raises `ValueError` that lists what there is, or says which extra to install.
    """
    return _maker(spec)(spec.partition(":")[2] or spec, **options)


def options_of(spec: str) -> list[str]:
    """List the options that `make` takes for a policy. Raises `ValueError` as `make` does."""
    return list(signature(_maker(spec)).parameters)[1:]


def check_options(specs: Sequence[str], given: Mapping[str, object], fixed: Sequence[str] = ()) -> None:
    """Check options against the types and ranges of the policies that take them.

    `fixed` are options that the caller sets itself. Raises `ValueError` for an option that none of the
    policies takes, with a list of those there are, and for a value out of its range.
    """
    types: dict[str, object] = {}
    for spec in specs:
        maker = _maker(spec)
        hints = get_type_hints(maker.__init__, include_extras=True)
        for name in options_of(spec):
            if name not in fixed:
                types[name] = hints[name]
    for name, value in given.items():
        if name not in types:
            known = f"options: {', '.join(types)}" if types else "they take none"
            raise ValueError(
                f"{name} is no option of the policies {', '.join(specs)}{suggest(name, list(types))}; {known}"
            )
        read_value(types[name], value, name)


def _maker(spec: str) -> Callable[..., Policy]:
    provider, colon, name = spec.partition(":")
    if not colon and spec in PLAYERS:
        return Baseline
    if provider not in MODELS or not name:
        known = [*PLAYERS, *(f"{attribute}:NAME" for attribute in MODELS)]
        raise ValueError(f"unknown policy {spec!r}{suggest(spec, known)}; policies: {', '.join(known)}")
    module, _, attribute = MODELS[provider].partition(":")
    try:
        maker: Callable[..., Policy] = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise ValueError(f'{spec} needs {error.name}, an extra: pip install "vlm-gym[train]"') from error
    return maker
