"""Plays of several turns: each completion of a group continues, and every turn is a row with its advantage.

A group of G completions to one start state begins G plays. Each continues by the policy's own replies, one
completion a turn, for N turns in all; nothing grows but the history that a request shows. Where a game ends
before that, the play continues in a new deal, the same for all G plays of the group. So a step always has
P * N * G rows, and processes have equal batches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vlm_gym.game import State
from vlm_gym.rollouts.history import History
from vlm_gym.rollouts.policy import PastTurn, Request

from .credit.turns import CreditTurn
from .learner import Completion
from .recipe import Grpo
from .start_states import Start

Again = Callable[[Start, int, int], Start]
"""Deals the start state of a group after games have ended, by the group's first start state, its number, and
the number of the deal."""
MOST_DEALS = 1 << 12
"""More deals than a group can have in a step, so that the numbers of its plays are distinct."""


class TurnRow(NamedTuple):
    """A completion with its turn and the number of its task."""

    completion: Completion
    turn: CreditTurn
    task: int


@dataclass
class PlayInProgress:
    """The state of one of the G plays of a group at a time."""

    number: int
    """Of its group, in the run."""
    index: int
    """In its group, 0 to G - 1."""
    start: Start
    state: State
    deal: int = 0
    turns: int = 0
    """Turns of the play so far."""
    past: tuple[PastTurn, ...] = ()
    ended: bool = False
    """Whether the game is over, or its turns are used up."""

    @property
    def request(self) -> Request:
        """The request of the next turn."""
        return self.start.request._replace(state=self.state, number=self.turns, past=self.past)


class Plays:
    """The plays of a step in one process."""

    def __init__(
        self,
        asked: Grpo,
        group: int,
        history: History,
        numbers: Sequence[int],
        starts: Sequence[Start],
        again: Again,
    ) -> None:
        """Begin the plays of P groups with these numbers; `history` says what their requests show."""
        self._asked = asked
        self._group = group
        self._history = history
        self._again = again
        self._plays = list[PlayInProgress]()
        for number, start in zip(numbers, starts, strict=True):
            request = start.request
            for index in range(group):
                self._plays.append(PlayInProgress(number, index, start, request.state, past=request.past))

    def next_starts(self) -> list[Start]:
        """Return the next positions of the plays, as start states, (P * G,): of a new deal after an end."""
        starts = list[Start]()
        for play in self._plays:
            if play.ended:
                play.deal += 1
                play.start = self._again(play.start, play.number, play.deal)
                play.state = play.start.request.state
                play.turns = 0
                play.past = ()
                play.ended = False
            starts.append(play.start._replace(request=play.request, episode=None))
        return starts

    def take(self, completions: Sequence[Completion]) -> list[TurnRow]:
        """Take a turn in every play by its graded completion, (P * G,)."""
        return list(map(self._turn, self._plays, completions))

    def _turn(self, play: PlayInProgress, completion: Completion) -> TurnRow:
        """Take a turn in one play."""
        game = play.start.request.game
        state = play.state
        assert completion.grade is not None
        action = completion.grade.action
        step = completion.grade.step
        over = step.state.over or (action is None and self._asked.illegal == "ends")
        group = play.number * MOST_DEALS + play.deal
        turn = CreditTurn(
            group=group,
            play=group * self._group + play.index,
            number=play.turns,
            state=state,
            action=action,
            reward=0.0,  # `with_rewards` sets it
            after=step.state,
            over=over,
        )
        row = TurnRow(completion, turn, play.start.task)
        play.turns += 1
        play.state = step.state
        play.past = self._history.shown(game, (*play.past, PastTurn(state, completion.text, step.event)))
        limit = state.knobs.turns - play.start.request.state.turn
        play.ended = over or play.turns >= limit  # dealt anew only for another turn
        return row


def with_rewards(rows: Sequence[TurnRow], rewards: Sequence[float]) -> list[CreditTurn]:
    """Return the turns of rows with their rewards."""
    return [row.turn._replace(reward=reward) for row, reward in zip(rows, rewards, strict=True)]
