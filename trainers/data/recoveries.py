"""Recoveries: rows in which a wrong move and its feedback precede the teacher's reply.

A cold start on good play alone shows no policy what to do after a mistake: greedy play then repeats an
illegal move until the game ends.
"""

from vlm_gym.actions import parse_for
from vlm_gym.dice import Dice
from vlm_gym.episode import held_out
from vlm_gym.evaluation.judge import weigh
from vlm_gym.game import Game, State
from vlm_gym.prompt import target
from vlm_gym.rollouts.policy import PastTurn
from vlm_gym.rollouts.states import played

_TRIED = 8
"""Largest number of legal moves that are judged in the search for a bad one."""


def mistake(game: Game, state: State, dice: Dice) -> tuple[PastTurn, State] | None:
    """Make a wrong move in a position. Returns the turn and the state after it.

    Half of the moves are illegal and leave the state as it is; half are legal and lose value by the solver's
    judgement. The latter lead to no position of the test stream and to no end. Where one kind is not
    possible, the other is made; None where neither is.
    """
    makers = [_illegal, _bad]
    dice.shuffle(makers)
    for make in makers:
        wrong_move = make(game, state, dice)
        if wrong_move is not None:
            return wrong_move
    return None


def _illegal(game: Game, state: State, dice: Dice) -> tuple[PastTurn, State] | None:
    """Make a move of the game that is not legal here; games with open actions list none."""
    legal = game.legal(state)
    actions = list[str]()
    for action in game.actions(state.knobs):
        if action not in legal:
            actions.append(action)
    if not actions:
        return None
    reply = target(game.scene(state), "", dice.choice(actions))
    return PastTurn(state, reply, parse_for(game, state, reply).error), state


def _bad(game: Game, state: State, dice: Dice) -> tuple[PastTurn, State] | None:
    """Make a legal move that loses value by the solver's judgement."""
    if game.solve(state) is None:
        return None
    legal = list(game.legal(state))
    dice.shuffle(legal)
    for action in legal[:_TRIED]:
        if weigh(game, state, parse_for(game, state, f"<answer>{action}</answer>")).good:
            continue
        after = game.step(state, action).state
        if not after.over and not held_out(game, after):
            return played(game, state, action), after
    return None
