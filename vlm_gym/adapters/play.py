"""One episode played from a row of a data set: what every adapter is made of.

A row names the episode, so all members of a group start alike, and each trainer sees the games, the pictures,
the reward terms and the feedback of our own training. An adapter only changes the form.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self, cast, get_args

from PIL import Image

from vlm_gym import strict
from vlm_gym.envs.run import Run
from vlm_gym.envs.single import as_integer
from vlm_gym.episode import Episode
from vlm_gym.knobs import spell
from vlm_gym.prompt import Block, Message, instructions
from vlm_gym.recordings.position import to_episode
from vlm_gym.recordings.record import Turn
from vlm_gym.registry import find
from vlm_gym.render import Frame, draw, look
from vlm_gym.render.encode import data_url
from vlm_gym.rollouts.history import History, Replies
from vlm_gym.rollouts.policy import Request
from vlm_gym.rollouts.remote import with_pictures
from vlm_gym.rollouts.rollout import past_of, play_reply

TERMS = ("game", "format", "perception", "thought")
"""The reward terms of a turn, by the names of `vlm_gym.rollouts.reward.terms`."""

ENDED = "the episode has ended; begin another one"
"""The feedback on a reply after the end, which changes nothing."""


@dataclass(frozen=True)
class Row:
    """What a row of a data set asks for."""

    episode: Episode
    turns: int
    """Turns after which the episode is truncated: the game's own limit, or fewer."""
    history: History
    """What `EpisodeInPlay.messages` shows of the turns before."""
    weights: Mapping[str, float] = field(default_factory=lambda: {"game": 1.0})
    """The weight of each reward term; the reward is their sum."""

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """Read a row: the keys ``game``, ``perception``, ``reasoning``, ``split``, ``index``, ``turns``,
        ``history``, ``history_replies`` and ``weights``, all but the first optional; None counts as absent.

        A level is a number, the name of a preset, or a dict of knobs. Other keys belong to the trainer and
        are not read. Raises `ValueError` of one line for a game, level or value that is not possible.
        """
        given = without_none(data)
        if "game" not in given:
            raise ValueError("the row has no 'game'")
        episode = to_episode(
            {
                "game": strict.text(given["game"], "game"),
                "perception": spell(given.get("perception", 0)),
                "reasoning": spell(given.get("reasoning", 2)),
                "split": given.get("split", "train"),
                "index": _whole(given.get("index", 0)),
            }
        )
        game = find(episode.game)
        limit = game.settle(episode.reasoning).turns
        turns = strict.whole(_whole(given.get("turns", limit)), "turns", 1)
        history = History(_history(given.get("history")), _replies(given.get("history_replies", "whole")))
        return cls(episode, min(turns, limit), history, _weights(given.get("weights", {"game": 1.0})))


class Answered(NamedTuple):
    """What a reply led to."""

    reward: float
    """The weighted sum of `terms`."""
    terminated: bool
    truncated: bool
    feedback: str
    """Why the turn was lost, or what happened in the game; one line, possibly empty."""
    legal: bool
    """Whether the reply named one legal action."""
    terms: Mapping[str, float]

    @property
    def done(self) -> bool:
        """Whether the episode takes no further reply."""
        return self.terminated or self.truncated


class EpisodeInPlay:
    """An episode in play."""

    def __init__(self, row: Row) -> None:
        """Deal the episode of a row. Raises `ValueError` for a level that cannot be dealt."""
        game = find(row.episode.game)
        self.row = row
        self.run = Run(game, game.settle(row.episode.reasoning), look(row.episode.perception))
        self.run.start(row.episode.seed)
        self.text = instructions(game, self.run.knobs)
        self.turns: list[Turn] = []
        self.rewards: list[float] = []
        self._urls: dict[int, str] = {}
        """The pictures that `messages` shows, by turn, since it shows each of them several times."""

    @property
    def ended(self) -> bool:
        """Whether the episode is over, or out of turns."""
        return self.run.ended or self.run.turns >= self.row.turns

    @property
    def success(self) -> bool:
        """Whether the goal of the game has been reached."""
        return self.run.game.success(self.run.state)

    @property
    def words(self) -> str:
        """The text beside the present picture: the instructions at first, the feedback from then on."""
        return self.text if not self.turns else _feedback(self.turns[-1])

    def frame(self) -> Frame:
        """Draw the present picture: uint8 (size, size, 3), RGB."""
        return self.run.picture()

    def image(self) -> Image.Image:
        """Draw the present picture as a PIL image, RGB."""
        return Image.fromarray(self.frame())

    def url(self) -> str:
        """Draw the present picture as a data URL of a PNG."""
        return self._url(len(self.turns))

    def message(self) -> Message:
        """Write the present picture and `words` as one OpenAI message, for trainers that keep the history."""
        picture: Block = {"type": "image_url", "image_url": {"url": self.url()}}
        return {"role": "user", "content": [picture, {"type": "text", "text": self.words}]}

    def messages(self) -> list[Message]:
        """Write the request for the next reply as OpenAI messages, with what `Row.history` shows."""
        request = self.request()
        present = len(self.turns)
        shown = range(present - len(request.past), present + 1)
        return with_pictures(request, [self._url(turn) for turn in shown])

    def request(self) -> Request:
        """Make the request for the next reply: typed blocks and pictures, for chat templates."""
        run = self.run
        past = self.row.history.shown(run.game, [past_of(turn) for turn in self.turns])
        return Request(run.game, run.state, run.look, run.turns, self.text, past)

    def answer(self, reply: Any) -> Answered:
        """Play a reply. Never raises for a bad one.

        A reply that is no text is a turn lost, as is one without exactly one legal action. A reply after the
        end earns nothing and changes nothing.
        """
        if self.ended:
            over = self.run.state.over
            return Answered(0.0, over, not over, ENDED, False, dict.fromkeys(TERMS, 0.0))
        turn = play_reply(self.run, self.row.episode, "adapter", reply if isinstance(reply, str) else "", "")
        reward = sum(weight * turn.rewards[name] for name, weight in self.row.weights.items())
        self.turns.append(turn)
        self.rewards.append(reward)
        oldest = len(self.turns) - self.row.history.count(self.run.game)
        self._urls.pop(oldest - 1, None)  # no later request shows it
        truncated = self.ended and not turn.terminated
        feedback = _feedback(turn)
        if not isinstance(reply, str):
            feedback = f"the reply is {type(reply).__name__}, not text"
        return Answered(reward, turn.terminated, truncated, feedback, turn.action is not None, turn.rewards)

    def _url(self, turn: int) -> str:
        """Return the picture that a turn began with, drawn and encoded when it is first asked for."""
        if turn not in self._urls:
            self._urls[turn] = data_url(self._frame(turn))
        return self._urls[turn]

    def _frame(self, turn: int) -> Frame:
        if turn == len(self.turns):
            return self.frame()
        run = self.run
        state = self.turns[turn].state
        return draw(run.game.scene(state), run.look, state.seed, state.turn)


def begin(row: Mapping[str, Any]) -> EpisodeInPlay:
    """Begin the episode of a row; see `Row.read`. Equal rows begin equal episodes."""
    return EpisodeInPlay(Row.read(row))


def _feedback(turn: Turn) -> str:
    return turn.error or turn.event


def _history(value: Any) -> int | None:
    return None if value is None else strict.whole(_whole(value), "history", 0)


def _replies(value: Any) -> Replies:
    known = get_args(Replies)
    if value not in known:
        raise ValueError(f"history_replies is {strict.shown(value)}; it takes {', '.join(known)}")
    return cast(Replies, value)


def _whole(value: Any) -> Any:
    """Return a whole number of any type, such as one of numpy, as an int; anything else as it is."""
    number = as_integer(value)
    return value if number is None else number


def _weights(value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"weights is {strict.shown(value)}, not an object with some of {', '.join(TERMS)}")
    weights = dict[str, float]()
    for name, weight in without_none(cast(Mapping[str, Any], value)).items():
        if name not in TERMS:
            raise ValueError(f"unknown reward term {strict.shown(name)}; terms: {', '.join(TERMS)}")
        weights[name] = strict.number(weight, f"the weight of {name}")
    return weights


def without_none(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a row that are given: tables of data sets have None for a missing one."""
    return {name: value for name, value in row.items() if value is not None}
