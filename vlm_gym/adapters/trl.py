"""Games as environments of TRL's `GRPOTrainer`, whose one tool, `play`, plays an action.

Several games train in one run. A row of the data set names its environment and its episode; the repeated rows
of a group begin alike. The reward is one number an episode, and one advantage reaches all tokens that the
model wrote. TRL owns the history: every picture stays in the sequence.

Actions come as JSON of a tool call, so the `<answer>` form is not used, and neither are the reward terms for
format, perception and thought. A call without a legal action is a turn lost. So is the reply without a call
that ends an episode early.

Known traps of TRL 1.16:

- An environment cannot say "done". After the end of a game, `play` raises an error, which TRL shows to the
  model as a failed call, and the model can go on calling. `check` demands `max_tool_calling_iterations`.
- A turn whose picture does not fit into `max_completion_length` is played and counted, then removed from the
  sequence in silence. `check` measures a turn and demands room for all; `rolled_back` counts what still was.
- Chat templates of some families, such as Qwen2-VL and Qwen2.5-VL, drop pictures from the messages of tools.
  `check` raises an error for such a template.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vlm_gym.adapters.libraries import check_library
from vlm_gym.adapters.play import ENDED, EpisodeInPlay, begin, without_none
from vlm_gym.recordings.record import Turn
from vlm_gym.registry import find

TRIED = "1.16.0"
"""The version of TRL that this was tried with."""

ContentBlock = dict[str, Any]
"""A part of a message: ``{"type": "image", "image": PIL}`` or ``{"type": "text", "text": ...}``."""


class ToolEnvironment:
    """An episode that a model plays by calling `play`. `environment` makes a class of it for each game."""

    _game = ""
    _defaults: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self._session: EpisodeInPlay | None = None

    def reset(self, **row: Any) -> list[ContentBlock]:
        """Begin the episode of a row, with the keys of `vlm_gym.adapters.play.Row.read`.

        Returns the picture and the instructions. Raises `ValueError` of one line for a row that is not
        possible.
        """
        if row.get("game") not in (None, self._game):
            raise ValueError(f"the row is of game {row['game']!r}, but its environment plays {self._game!r}")
        self._session = begin({**self._defaults, **without_none(row), "game": self._game})
        return _shown(self._session, _instructions(self._session))

    def play(self, action: str) -> list[ContentBlock]:
        """
        Play one action of the game and see the picture after it.

        Args:
            action: The action, written as the instructions say.

        Returns:
            The next picture, and what happened.
        """
        session = self._begun()
        if session.ended:
            raise ValueError(ENDED)
        reply = f"<answer>{action}</answer>" if isinstance(action, str) else action
        return _shown(session, session.answer(reply).feedback)

    def get_reward(self) -> float:
        """Return the sum of the rewards of the episode, once the model writes no more."""
        session = self._begun()
        if not session.ended and not self._stopped:
            session.answer("")  # the last reply called no tool, or had no room
        return sum(session.rewards)

    @property
    def _stopped(self) -> bool:
        """Whether the reply that ended the episode early has been counted."""
        return bool(self._turns) and self._turns[-1].reply == ""

    @property
    def _turns(self) -> Sequence[Turn]:
        return self._begun().turns

    def _begun(self) -> EpisodeInPlay:
        if self._session is None:
            raise ValueError("no episode has begun; call reset() first")
        return self._session


def environment(game: str, **defaults: Any) -> type[ToolEnvironment]:
    """Make the class of one game: a factory for ``environment_factory``.

    `defaults` are keys of a row, such as ``perception=1, reasoning=0, turns=4``; a row's own keys come first.
    TRL logs the reward under the name of the game. Raises `ValueError` for what is not possible.
    """
    begin({**defaults, "game": game})
    name = find(game).name
    return type(
        name, (ToolEnvironment,), {"_game": name, "_defaults": dict(defaults), "__doc__": find(game).title}
    )


def environments(games: Iterable[str], **defaults: Any) -> dict[str, type[ToolEnvironment]]:
    """Make the classes of several games by name: an ``environment_factory`` for one run of all of them."""
    return {game: environment(game, **defaults) for game in games}


def rows(games: Sequence[str], count: int, **keys: Any) -> list[dict[str, Any]]:
    """Make `count` rows, the games in turn, each with the next deal of its game: a data set for one run."""
    made = list[dict[str, Any]]()
    for number in range(count):
        index, game = divmod(number, len(games))
        made.append({"environment": games[game], "index": index, **keys})
    return made


def rolled_back(
    completions: Sequence[Sequence[Mapping[str, Any]]], environments: Sequence[Any], **_: Any
) -> list[float]:
    """Count the turns of each episode that TRL has removed from the sequence.

    A reward function, to be logged with weight 0.
    """
    counts = []
    for completion, environment in zip(completions, environments, strict=True):
        kept = sum(message["role"] == "tool" for message in completion)
        counts.append(float(max(0, _played(environment) - kept)))
    return counts


def check(trainer: Any) -> None:
    """Check a trainer for the known traps, before it trains.

    Raises `ValueError` of one line where a picture would be dropped, a turn would not fit, or the model could
    call on after the end. Warns if TRL has another version than the one that was tried.
    """
    check_library("trl", TRIED, "train")
    for pool in trainer._environment_pool.values():
        for each in pool:
            if isinstance(each, ToolEnvironment):
                _check_room(trainer, each)


def _check_room(trainer: Any, each: ToolEnvironment) -> None:
    """Check that all turns of the environment's own levels fit into a completion."""
    each.reset()
    session = each._begun()
    turns = session.row.turns
    limit = trainer.args.max_tool_calling_iterations
    if limit is None or limit > turns:
        raise ValueError(
            f"max_tool_calling_iterations is {limit}; an environment cannot tell TRL that a game is over, "
            f"so set it to the turns of an episode, {turns} in {each._game}"
        )
    pictured = {"role": "tool", "name": "play", "content": _shown(session, "")}
    blind = {"role": "tool", "name": "play", "content": [{"type": "text", "text": ""}]}
    if _rendered(trainer, pictured) == _rendered(trainer, blind):
        raise ValueError(
            "the chat template drops pictures from the messages of tools, as those of Qwen2-VL and "
            "Qwen2.5-VL do; train a family whose template keeps them, such as Qwen3-VL"
        )
    taken = len(trainer._get_tool_suffix_ids([pictured]))
    room = trainer.max_completion_length
    if limit * taken >= room:
        raise ValueError(
            f"{limit} turns of {each._game} take more than {limit * taken} tokens for the pictures alone, "
            f"and max_completion_length is {room}: turns would be removed in silence; raise it, or lower "
            "turns, max_tool_calling_iterations or the size of the picture"
        )


def _rendered(trainer: Any, message: Mapping[str, Any]) -> str:
    """Write a message of a tool behind a call, as the trainer's chat template does."""
    call = {"type": "function", "function": {"name": "play", "arguments": {"action": ""}}}
    called = {"role": "assistant", "content": [{"type": "text", "text": ""}], "tool_calls": [call]}
    asked = {"role": "user", "content": [{"type": "text", "text": ""}]}
    text: str = trainer.processing_class.apply_chat_template(
        [asked, called, message], chat_template=trainer.chat_template, tokenize=False
    )
    return text


def _played(each: Any) -> int:
    """Count the turns that were played by calls."""
    return sum(turn.reply != "" for turn in each._turns) if isinstance(each, ToolEnvironment) else 0


def _shown(session: EpisodeInPlay, text: str) -> list[ContentBlock]:
    return [{"type": "image", "image": session.image()}, {"type": "text", "text": text}]


def _instructions(session: EpisodeInPlay) -> str:
    game = session.run.game
    return (
        f"You are playing {game.title}. {game.rules(session.run.knobs)}\n"
        f"Call the tool `play` with one action at a time, at most {session.row.turns} times. "
        f"An action is {game.form}. A call that names no legal action is a turn lost."
    )
