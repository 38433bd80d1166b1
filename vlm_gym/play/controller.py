"""A person's input to a session: one meaning of keys, clicks and time for every front end."""

from collections.abc import Iterator
from time import monotonic
from typing import NamedTuple

from vlm_gym.play.session import Session
from vlm_gym.render import Layout, layout_of

ARROWS = {"left": "←", "up": "↑", "right": "→", "down": "↓"}
"""Keys that play, if they are actions of the game."""


class Mark(NamedTuple):
    """A frame around a cell of the picture, in its pixels. It is never in the observation."""

    y: int
    x: int
    side: int
    picked: bool
    """Whether the person picked the cell; else a hint named it."""


class Controller:
    """A session as a front end uses it. The line being typed belongs to the front end."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._turns = session.run.turns
        self._since = monotonic()

    @property
    def layout(self) -> Layout:
        """Return where things lie in the present picture."""
        return layout_of(self.session.run.scene, self.session.run.look)

    @property
    def invitation(self) -> str:
        """Return how a typed action begins: behind a space where its first letter is a command."""
        commands = tuple(self.session.commands)
        hidden = any(action.startswith(commands) for action in self.session.run.words)
        return "Space, then an action, then Enter" if hidden else "Type an action, then Enter"

    def inputs(self) -> Iterator[tuple[str, str]]:
        """List the inputs beside typing: what to press, and what that does."""
        arrows = list[str]()
        for key, sign in ARROWS.items():
            if key in self.session.run.words:
                arrows.append(sign)
        if arrows:
            yield " ".join(arrows), "move"
        if self.session.has_columns:
            yield "click", "choose a column"
        elif self.session.clickable:
            yield "click", "pick a tile"
        if self.session.can_turn:
            yield "↑", "turn, as right click"

    def command(self, letter: str) -> bool:
        """Run the command of a single letter; False if the letter is none."""
        command = self.session.commands.get(letter)
        if command is not None:
            command.do()
        return command is not None

    def enter(self, line: str) -> None:
        """Play a typed action; a blank line does nothing."""
        action = line.strip()
        if action:
            self.session.play(action)

    def press(self, key: str) -> None:
        """Press an arrow key, by the names of `ARROWS`; other keys do nothing."""
        if key in ARROWS and key in self.session.run.words:
            self.session.play(key)
        elif key == "up":
            self.session.turn()

    def click(self, y: int, x: int) -> None:
        """Click on a pixel of the picture; outside of the board it does nothing."""
        index = self.layout.cell_at((y, x))
        if index is not None and self.session.clickable:
            row, col = divmod(index, self.session.run.scene.cols)
            self.session.pick(f"({row + 1},{col + 1})")

    def marks(self) -> Iterator[Mark]:
        """List the cells to frame."""
        layout = self.layout
        cells = layout.cells()
        for index, (y, x) in enumerate(cells):
            row, col = divmod(index, layout.cols)
            name = f"({row + 1},{col + 1})"
            if name in self.session.picked or name in self.session.hinted:
                yield Mark(y, x, layout.side, name in self.session.picked)

    def pass_time(self, time: float) -> bool:
        """In a game of real time, play what happens by itself once its `tick` has passed since the last turn.

        `time` is the time by `time.monotonic`. Returns whether something happened.
        """
        turns = self.session.run.turns
        if turns != self._turns:
            self._turns = turns
            self._since = time
            return False
        if not 0 < self.session.game.tick <= time - self._since:
            return False
        self._since = time
        self.session.wait()
        self._turns = self.session.run.turns
        return self._turns != turns

    def pause(self, time: float) -> None:
        """Skip the time up to `time`: while no page is open, none passes in the game."""
        self._since = time
