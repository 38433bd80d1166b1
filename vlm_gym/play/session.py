"""Human play without a front end: turns as a model's, recorded at once, with undo and hints."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from vlm_gym.envs.run import Run
from vlm_gym.envs.single import check_seed
from vlm_gym.episode import Episode
from vlm_gym.game import TEST, State
from vlm_gym.knobs import Choice, spell
from vlm_gym.play.columns import column, turnings
from vlm_gym.prompt import hint
from vlm_gym.recordings.record import Recorder, Turn, fingerprint
from vlm_gym.registry import find
from vlm_gym.render import Frame, look
from vlm_gym.rollouts.rollout import play_reply
from vlm_gym.storage import Closing

_CELL = re.compile(r"\(\d+,\d+\)")


class Note(NamedTuple):
    """A message of a session to the person, and its subject."""

    about: Literal["rules", "turn", "illegal", "hint", "won", "lost", "suite", "piece"]
    text: str

    @property
    def heading(self) -> str:
        """Return the heading of the text."""
        return HEADINGS[self.about]


HEADINGS = {
    "rules": "Rules",
    "turn": "Last turn",
    "illegal": "Illegal: costs a turn",
    "hint": "Hint",
    "won": "Goal reached",
    "lost": "Goal not reached",
    "suite": "Suite",
    "piece": "Piece",
}


class Command(NamedTuple):
    """The function of a single letter, and its label."""

    effect: str
    do: Callable[[], None]


class Session(Closing):
    """One person at one game, deal after deal, with the pictures and the limits that a model has.

    Every turn is on disk, in `record`, before anything else happens. Undo writes nothing: the turns that are
    played next simply follow, with the earlier state and number. So a turn whose number is not above that of
    the line before takes back all turns of its episode from that number on.

    Raises `ValueError` for an unknown game, level or seed, or if `record` holds something else than turns or
    another command writes to it, `OSError` if it cannot be written.
    """

    picked: list[str]
    """Cells ``(r,c)`` clicked so far, not yet an action."""
    hinted: list[str]
    """Cells of the action that the last hint advised."""
    _turning: str
    """What the next click on a column adds to the action: ``" turned 1"``, or nothing."""

    def __init__(
        self,
        game: str,
        perception: Choice = 0,
        reasoning: Choice = 2,
        seed: int = 0,
        record: Path | None = None,
    ) -> None:
        self.commands = {
            "h": Command("hint", self.hint),
            "u": Command("undo", self.undo),
            "n": Command("new deal", self.new_deal),
        }
        """Single letters that are no action; a leading space makes an action of any word."""
        self._start(Episode(game, spell(perception), spell(reasoning), "free", check_seed(seed) or 0))
        self._recorder = None if record is None else Recorder(record)

    @property
    def clickable(self) -> bool:
        """Whether an action can be made by clicking on the picture."""
        return any(self._tiles) or self.has_columns

    @property
    def has_columns(self) -> bool:
        """Whether a click chooses a column."""
        return bool(turnings(self.run.words))

    @property
    def can_turn(self) -> bool:
        """Whether the piece can be turned before a click drops it."""
        return len(turnings(self.run.words)) > 1

    @property
    def deal(self) -> str:
        """What is played: ``perception 0 · reasoning 2 · seed 7``."""
        return f"{self._level} · seed {self.episode.index}"

    @property
    def size(self) -> int:
        """Pixels of the largest picture that there will be to show."""
        return self.run.look.size

    @property
    def turns_left(self) -> int:
        """Turns until the limit."""
        return max(0, self.run.knobs.turns - self.run.turns)

    def play(self, action: str) -> None:
        """Play a turn as a model does: by the answer of a reply. Does nothing once the episode has ended."""
        if self.run.ended:
            return
        before = self.run.state
        turn = play_reply(
            self.run, self.episode, "human", f"<answer>{action}</answer>", fingerprint(self.frame)
        )
        if self._recorder is not None:
            self._recorder.write(turn)
        self._past.append(before)
        self._show(self._outcome_note(turn))

    def pick(self, cell: str) -> None:
        """Click on a cell ``(r,c)``: the picked cells are played as soon as they name an action.

        A second click unpicks a cell; cells that cannot become an action are replaced by the last one. Where
        actions name columns, a click on any cell plays its column, with the turns made by `turn`.
        """
        if self.run.ended:
            return
        if self.has_columns:
            number = cell.strip("()").partition(",")[2]
            action = f"column {number}{self._turning}"
            if action in self.run.words:
                self.play(action)
            return
        if cell in self.picked:
            self.picked.remove(cell)
            return
        self.picked.append(cell)
        if not self._leads_on(self.picked):
            self.picked = [cell] if self._leads_on([cell]) else []
        action = self._spell(self.picked)
        if action in self.run.words:
            self.play(action)

    def turn(self) -> None:
        """Turn the piece by a quarter more, for the next click. Does nothing where nothing can be turned."""
        possible = turnings(self.run.legal)
        if not self.can_turn or not possible:
            return
        self._turning = possible[(possible.index(self._turning) + 1) % len(possible)]
        quarters = self._turning.removeprefix(" turned ")
        self.note = Note("piece", f"It is turned {quarters}; a click on its leftmost column drops it.")

    def wait(self) -> None:
        """Play what happens when a person does nothing. Does nothing before the first turn of a deal."""
        if self.run.turns and not self.run.ended:
            action = self.game.idle(self.run.state)
            if action is not None:
                self.play(action)

    def hint(self) -> None:
        """Show the solver's action and the thought it follows from."""
        plan = self.game.solve(self.run.state)
        if plan is None:
            self.note = Note("hint", "There is none here.")
        else:
            self.hinted = self._cells(plan.action)
            self.note = Note("hint", hint(self.game, self.run.state))

    def undo(self) -> None:
        """Go back to before the last turn; again and again, up to the start of the deal."""
        if not self._past:
            self.note = Note("turn", "This is the start: there is nothing to undo.")
            return
        self.run.state = self._past.pop()
        self.run.turns = len(self._past)  # a state counts its legal moves alone
        self._show(Note("turn", "Taken back."))

    def new_deal(self) -> None:
        """Deal the next seed."""
        self._start(replace(self.episode, index=(self.episode.index + 1) % (2 * TEST)))

    def close(self) -> None:
        """Close the record."""
        if self._recorder is not None:
            self._recorder.close()

    @property
    def _level(self) -> str:
        perception = self.episode.perception
        reasoning = self.episode.reasoning
        return f"perception {perception} · reasoning {reasoning}".replace(",", ", ")

    def _start(self, episode: Episode) -> None:
        """Deal an episode, of any game."""
        self.game = find(episode.game)
        self.episode = episode
        self.run = Run(self.game, self.game.settle(episode.reasoning), look(episode.perception))
        self.run.start(episode.seed)
        self._tiles = {frozenset(_CELL.findall(word)) for word in self.run.words}
        self._past: list[State] = []
        """The state before each turn, illegal ones included."""
        self._show(Note("rules", self.game.rules(self.run.knobs)))

    def _show(self, note: Note) -> None:
        """Draw the present state, and show a note."""
        self.frame: Frame = self.run.picture()
        self.note = note
        self.picked = []
        self.hinted = []
        self._turning = next(iter(turnings(self.run.legal)), "")

    def _outcome_note(self, turn: Turn) -> Note:
        """Return the note on the outcome of a turn, and of the episode if this was its last turn."""
        last = turn.error or turn.event
        if not self.run.ended:
            return Note("illegal" if turn.error else "turn", last)
        why = "The game is over" if turn.terminated else "No turns are left"
        end = f"{why}: {turn.score:g} {self.game.unit} in {self.run.turns} turns."
        return Note("won" if turn.success else "lost", f"{last}\n{end}\nn: {self.commands['n'].effect}")

    def _cells(self, action: str) -> list[str]:
        """List the cells of an action, or those of the column that it names."""
        number = column(action)
        if number is None:
            return _CELL.findall(action)
        return [f"({row},{number})" for row in range(1, self.run.scene.rows + 1)]

    def _spell(self, cells: Sequence[str]) -> str:
        return self.game.read(" ".join(cells), self.run.state)

    def _leads_on(self, cells: Sequence[str]) -> bool:
        """Check whether these cells are an action, or a part of one."""
        return self._spell(cells) in self.run.words or any(set(cells) < tiles for tiles in self._tiles)
