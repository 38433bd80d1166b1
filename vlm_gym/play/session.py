"""A person at a game, whatever they look at: turns like a model's, written down at once, and taken back."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from vlm_gym.env import GameEnv
from vlm_gym.episode import Episode
from vlm_gym.game import TEST, State
from vlm_gym.knobs import Choice, spell
from vlm_gym.record import Recorder, Turn, fingerprint
from vlm_gym.text import TextEnv

COMMANDS = ("h", "u", "n")
"""Hint, undo, new deal: commands only as the first and only letter, so a leading space makes an action of
any word."""

_CELL = re.compile(r"\(\d+,\d+\)")


class Note(NamedTuple):
    """What a session has to say, and in which mood."""

    mood: Literal["rules", "event", "error", "hint", "won", "lost"]
    text: str


class Session:
    """One person at one game, deal after deal, through `GameEnv` and with its limits.

    Every turn is appended to `record` before anything else happens. Undo writes nothing: the turns played
    next simply follow, with the earlier state and number. So a turn whose number is not above that of the
    line before it takes back all turns of its episode from that number on.

    Raises `ValueError` for an unknown game, level or seed, `OSError` if `record` cannot be written.
    """

    def __init__(
        self,
        game: str,
        perception: Choice = 0,
        reasoning: Choice = 2,
        seed: int = 0,
        record: Path | None = None,
    ) -> None:
        self.env = GameEnv(game, perception, reasoning)
        self.game = self.env.game
        self.picked: list[str] = []
        """Cells ``(r,c)`` clicked so far, not yet an action."""
        self.hinted: Sequence[str] = ()
        """Cells of the action that the last hint advised."""
        self.ended = False
        self._levels = spell(perception), spell(reasoning)
        self._replies = TextEnv(self.env)
        self._tiles = {frozenset(_CELL.findall(word)) for word in self.env.words}
        self._start(seed)
        self._recorder = None if record is None else Recorder(record)

    @property
    def clickable(self) -> bool:
        """Say whether an action can be made by clicking on cells."""
        return any(self._tiles)

    @property
    def levels(self) -> str:
        """Name the deal: ``perception 0 · reasoning 2 · seed 7``."""
        perception, reasoning = (level.replace(",", ", ") for level in self._levels)
        return f"perception {perception} · reasoning {reasoning} · seed {self.episode.index}"

    @property
    def score(self) -> float:
        """The sum so far, in the game's own unit."""
        return self.env.state.score

    def play(self, words: str) -> None:
        """Play a turn as a model does: by the answer of a reply. Does nothing once the episode has ended."""
        if self.ended:
            return
        state, shown, reply = self.env.state, self.frame, f"<answer>{words}</answer>"
        observation, reward, terminated, truncated, info = self._replies.step(reply)
        if self._recorder is not None:
            self._recorder.write(
                Turn(
                    episode=self.episode,
                    policy="human",
                    number=len(self._past),
                    state=state,
                    reply=reply,
                    action=info["reply"].action,
                    error=info["error"],
                    event=info["event"],
                    rewards={"game": float(reward)},
                    score=info["score"],
                    terminated=terminated,
                    truncated=truncated,
                    success=info["success"],
                    picture=fingerprint(shown),
                )
            )
        self._past.append(state)
        self.ended = terminated or truncated
        self._show(observation["image"], info, self._tell(info))

    def pick(self, cell: str) -> None:
        """Click on a cell ``(r,c)``: the picked cells are played as soon as they name an action.

        A second click lets go of a cell; cells that cannot become an action give way to the last one.
        """
        if self.ended:
            return
        if cell in self.picked:
            self.picked.remove(cell)
            return
        paths = ([*self.picked, cell], [cell], [])
        self.picked = next(path for path in paths if not path or self._leads_on(path))
        words = self._spell(self.picked)
        if words in self.env.index:
            self.play(words)

    def hint(self) -> None:
        """Ask the game's solver for its advice and reasons."""
        plan = self.game.solve(self.env.state)
        if plan is None:
            self.note = Note("hint", "There is no hint here.")
        else:
            self.hinted = _CELL.findall(plan.action)
            self.note = Note("hint", f"{plan.action}: {plan.reasons}")

    def undo(self) -> None:
        """Go back to before the last turn; again and again, up to the start of the deal."""
        if not self._past:
            self.note = Note("event", "This is the start: there is nothing to undo.")
            return
        state = self._past.pop()
        self.ended = False
        observation, info = self._replies.reset(options={"state": state, "turns": len(self._past)})
        self._show(observation["image"], info, Note("event", "Took back one turn."))

    def new_deal(self) -> None:
        """Deal the next seed."""
        self._start((self.episode.index + 1) % (2 * TEST))

    def close(self) -> None:
        """Close the record."""
        if self._recorder is not None:
            self._recorder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, seed: int) -> None:
        self.episode = Episode(self.game.name, *self._levels, "free", seed)
        self._past: list[State] = []
        self.ended = False
        observation, info = self._replies.reset(seed=seed)
        self._show(observation["image"], info, Note("rules", self.game.rules(self.env.knobs)))

    def _show(self, frame: Any, info: dict[str, Any], note: Note) -> None:
        self.frame, self.note = frame, note
        self.legal: tuple[str, ...] = info["legal"]
        self.turns_left: int = info["turns_left"]
        self.picked, self.hinted = [], ()

    def _tell(self, info: dict[str, Any]) -> Note:
        """Say what came of a turn, and of the episode if this was its last one."""
        last = f"No turn won: {info['error']}" if info["error"] else info["event"]
        if not self.ended:
            return Note("error" if info["error"] else "event", last)
        why = "The game is over" if self.env.state.over else "No turns are left"
        goal = "the goal is reached" if info["success"] else "the goal is not reached"
        end = f"{why}: {goal}, with {self.score:g} {self.game.unit} in {len(self._past)} turns."
        return Note("won" if info["success"] else "lost", f"{last}\n{end}\nn: new deal")

    def _spell(self, cells: Sequence[str]) -> str:
        return self.game.read(" ".join(cells))

    def _leads_on(self, cells: Sequence[str]) -> bool:
        """Say whether these cells are an action, or a part of one."""
        return self._spell(cells) in self.env.index or any(set(cells) < tiles for tiles in self._tiles)
