"""Human play of the episodes of a suite, one after another: the human row of an evaluation."""

from collections.abc import Sequence
from pathlib import Path

from vlm_gym.episode import Episode
from vlm_gym.play.session import Command, Note, Session
from vlm_gym.recordings.record import Recorder
from vlm_gym.render import look
from vlm_gym.replays.replay import Play, plays


class Walk(Session):
    """Episodes in their order, each to its end, as a model plays them: without hint or undo.

    Goes on where the recording left off, in the middle of an episode too. Raises `ValueError` if it holds
    all of them, or something that is no recording, or if another command writes to it, `OSError` if it
    cannot be written.
    """

    def __init__(self, episodes: Sequence[Episode], record: Path) -> None:
        # Opened first, since that cuts off what is half-written.
        self._recorder = Recorder(record)
        try:
            self._take_up(episodes, record)
        except BaseException:  # Ctrl-C as well: the lock on the recording has to be released
            self.close()
            raise

    def _take_up(self, episodes: Sequence[Episode], record: Path) -> None:
        """Find what the recording lacks, and begin there."""
        self._episodes = episodes
        played = list[Play]()  # by a person
        done = set[Episode]()
        if record.stat().st_size:
            for play in plays(record):
                if play.policy == "human":
                    played.append(play)
                    if play.ended:
                        done.add(play.episode)
        self._waiting = [episode for episode in episodes if episode not in done]
        if not self._waiting:
            raise ValueError(f"{record} holds all {len(episodes)} episodes; begin another recording")
        self.commands = {"n": Command("next episode", self.next)}
        self._start(self._waiting.pop(0))
        for play in played:
            if play.episode == self.episode:
                self._go_on(play)

    @property
    def deal(self) -> str:
        """What is played: ``episode 3 of 40 · perception 0 · reasoning 2``."""
        return f"episode {len(self._episodes) - len(self._waiting)} of {len(self._episodes)} · {self._level}"

    @property
    def size(self) -> int:
        """Pixels of the largest picture of all episodes."""
        return max(look(episode.perception).size for episode in self._episodes)

    def next(self) -> None:
        """Deal the next episode, once this one has ended."""
        if not self.run.ended:
            self.note = Note("suite", "Play this episode to its end; you may leave and go on later.")
        elif not self._waiting:
            self.note = Note("suite", "That was the last episode. Thank you.")
        else:
            self._start(self._waiting.pop(0))

    def _go_on(self, play: Play) -> None:
        """Take up an episode behind its last turn."""
        last = play.turns[-1]
        self.run.state = last.state if last.action is None else self.game.step(last.state, last.action).state
        self.run.turns = len(play.turns)
        self._past = [turn.state for turn in play.turns]
        self._show(Note("suite", f"You go on here.\n{last.error or last.event}"))
