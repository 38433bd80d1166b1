"""Teachers of a cold start: the games' solvers, random actions, or a model that gets the board as text."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from vlm_gym import strict
from vlm_gym.actions import parse_for
from vlm_gym.dice import Dice
from vlm_gym.evaluation.judge import Kind, weigh
from vlm_gym.prompt import Message, target
from vlm_gym.render import Frame
from vlm_gym.rollouts.policy import RawReply, Refusal, Request
from vlm_gym.rollouts.remote import OpenAI
from vlm_gym.rollouts.reply_file import ReplyFile, parse_line
from vlm_gym.storage import LineFormat, dumps

from ..recipe import Data

REPLIES = "replies.jsonl"
"""The file of a model's replies so far, in the folder of the data."""

INSTRUCTION = (
    "Think between <think> and </think>: in two or three short sentences, say what on this board makes a "
    "move the best one. Then write that move between <answer> and </answer>. Write nothing else."
)
"""What a model is asked for, after the rules and the true board in words."""

EMPTY_THOUGHT = "..."
"""The thought of `RandomTeacher`: the same text at every position of every game."""

_RANDOM = 0x52414E44
"""Salt of the seeds of random actions."""


class Taught(NamedTuple):
    """A reply with its verdict and its value."""

    reply: str
    kind: Kind | Literal["refused"]
    """The verdict of `vlm_gym.evaluation.judge`: ``fine``, ``misplanned``, ``illegal`` or ``misformatted``.

    ``refused`` where an endpoint does not reply; then the reply is its message.
    """
    value: float | None
    """The solver's value of the answer, in [0, 1]; None without a solver or an answer."""
    usage: Mapping[str, float] = {}
    """Tokens, seconds and costs of the reply, as `RawReply.usage`."""


class Teacher(Protocol):
    """Anything that writes replies. `portable`: cheap to pickle; processes get copies."""

    name: str
    portable: bool
    batch: int
    """The preferred number of requests at a time."""

    def teach(self, requests: Sequence[Request]) -> list[Taught]:
        """Reply to each request."""
        ...


class LocalTeacher(ABC):
    """A teacher that needs no model: it replies to one position at a time, the same to the same."""

    name: str
    portable = True
    batch = 32

    def teach(self, requests: Sequence[Request]) -> list[Taught]:
        """Reply to each request. Raises what `reply` raises."""
        return list(map(self.reply, requests))

    @abstractmethod
    def reply(self, request: Request) -> Taught:
        """Reply to one request."""


class SolverTeacher(LocalTeacher):
    """The games' own thoughts: the true scene, the thought and its action."""

    name = "solver"

    def reply(self, request: Request) -> Taught:
        """Reply to one request. Raises `ValueError` for a game without thoughts."""
        game = request.game
        thought = game.think(request.state)
        if thought is None:
            raise ValueError(f"{game.name} has no thoughts to learn from; choose another data.teacher")
        text = target(game.scene(request.state), thought.words, thought.action)
        return Taught(text, "fine", thought.value)


class RandomTeacher(LocalTeacher):
    """The true scene, a thought that says nothing of it, and a random legal action.

    A model that is trained on these replies reads boards and writes replies in the right form. It has learned
    neither thoughts nor good moves: it is a base for training that teaches both.
    """

    name = "random"

    def reply(self, request: Request) -> Taught:
        """Reply to one request. The action is drawn by dice whose seed is a digest of the position."""
        game = request.game
        state = request.state
        digest = blake2b(dumps(state).encode(), digest_size=8).digest()
        dice = Dice(int.from_bytes(digest, "big") ^ _RANDOM)
        action = dice.choice(game.legal(state))
        return Taught(target(game.scene(state), EMPTY_THOUGHT, action), "misplanned", None)


class TextRequest(Request):
    """A request that describes the board in words and shows no picture."""

    def pictures(self) -> list[Frame]:
        """Draw nothing."""
        return []

    def messages(self) -> list[Message]:
        """Return one message with the rules, the true board, and what to write."""
        game = self.game
        state = self.state
        board = game.scene(state).describe()
        text = (
            f"{game.title}. {game.rules(state.knobs)}\n{game.form}\n"
            f"The board, one line for each row, cells separated by |, - for an empty cell:\n"
            f"{board}\n{INSTRUCTION}"
        )
        return [{"role": "user", "content": [{"type": "text", "text": text}]}]


class ModelTeacher:
    """A model behind an endpoint, which gets the true board as text, and writes thought and answer.

    The row's reply is the true board, its thought and its answer. Every reply and every refusal is saved at
    once, and never asked for twice.
    """

    portable = False

    def __init__(self, model: OpenAI, path: Path, batch: int) -> None:
        """Remember replies in a file. Raises `ValueError` if it holds something else."""
        self.name = model.name
        self.batch = batch
        self._model = model
        self._replies = ReplyFile(path, TAUGHT_LINES, _key_entries)
        model.on_reply = self._keep

    def teach(self, requests: Sequence[Request]) -> list[Taught]:
        """Reply to each request, from memory or by the model. Raises `ConnectionError` as `OpenAI` does."""
        prompts = [TextRequest(*request) for request in requests]  # the same fields, another text
        unanswered = list[Request]()
        for prompt in prompts:
            if _key(prompt) not in self._replies:
                unanswered.append(prompt)
        self._model.act(unanswered)
        return list(map(self._taught, prompts))

    def _taught(self, request: Request) -> Taught:
        reply = self._replies[_key(request)]
        if isinstance(reply, Refusal):
            return Taught(reply.why, "refused", None)
        return _judged(request, reply)

    def _keep(self, request: Request, reply: RawReply) -> None:
        self._replies.add(_key(request), reply)


def make_teacher(data: Data, out: Path) -> Teacher:
    """Make the teacher of a recipe, with its memory in a folder."""
    if data.teacher == "solver":
        return SolverTeacher()
    if data.teacher == "random":
        return RandomTeacher()
    name = data.teacher.partition(":")[2]
    # Several times the concurrency, so that few requests wait for the slowest one.
    return ModelTeacher(OpenAI(name, **data.options), out / REPLIES, 8 * data.endpoint.concurrency)


def _judged(request: Request, answer: RawReply) -> Taught:
    """Judge a model's answer, with the true board written before its thought and answer."""
    game = request.game
    state = request.state
    reply = parse_for(game, state, answer)
    thought = (reply.thought or "").strip()
    if reply.fault == "format" or not thought:
        return Taught(str(answer), "misformatted", None, answer.usage)
    if reply.action is None:
        return Taught(str(answer), "illegal", None, answer.usage)
    text = target(game.scene(state), thought, reply.action)
    verdict = weigh(game, state, parse_for(game, state, text))
    plan = game.solve(state)
    return Taught(text, verdict.kind, plan.value - verdict.lost if plan else None, answer.usage)


def _key(request: Request) -> str:
    """Return a digest of the text of a request."""
    return blake2b(dumps(request.messages()).encode(), digest_size=16).hexdigest()


def _key_entries(key: str) -> Mapping[str, object]:
    return {"asked": key}


def _entry(line: str) -> tuple[str, RawReply]:
    """Parse a reply or a refusal, and what was asked."""
    data, reply = parse_line(line, ("asked",))
    return strict.text(data["asked"], "asked"), reply


TAUGHT_LINES = LineFormat("replies to rows", b'{"asked":', _entry)
"""The format of the file of replies."""
