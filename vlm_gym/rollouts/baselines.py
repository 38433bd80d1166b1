"""Baselines: players that see no pictures, for comparison with every model.

Each is a function of a game, a state and dice of its own, and answers with an action in words.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from vlm_gym.dice import Dice
from vlm_gym.game import Game, GameKnobs, State

IMAGINED = 4
"""Number of sampled states over which *greedy* averages, since it does not know the hidden part."""

Player = Callable[[Game, State, Dice], str]


def random(game: Game, state: State, dice: Dice) -> str:
    """Choose uniformly among all that can ever be legal, as a model does that cannot see.

    Where actions are open, among the examples of legal ones.
    """
    return dice.choice(game.actions(state.knobs) or game.legal(state))


def legal(game: Game, state: State, dice: Dice) -> str:
    """Choose uniformly among the legal actions."""
    return dice.choice(game.legal(state))


def constant(game: Game, state: State, dice: Dice) -> str:
    """Return the first action of the game on every turn, as a collapsed policy does."""
    return (game.actions(state.knobs) or game.legal(state))[0]


def greedy(game: Game, state: State, dice: Dice) -> str:
    """Return the first legal action of the highest expected immediate reward.

    The reward is the mean over `IMAGINED` states that look the same: the dice of the turn stay unseen.
    """
    imagined = [game.imagine(state, dice) for _ in range(IMAGINED)]
    return max(
        game.legal(state), key=lambda action: sum(game.step(other, action).reward for other in imagined)
    )


def middling(game: Game, state: State, dice: Dice) -> str:
    """Return the solver's action or a random one, each with probability 1/2.

    This fixed player measures how the difficulty rises with the level.
    """
    return (solver if dice.chance(0.5) else legal)(game, state, dice)


def solver(game: Game, state: State, dice: Dice) -> str:
    """Follow the game's own solver."""
    plan = game.solve(state)
    if plan is None:
        raise ValueError(f"{game.name} has no solver")
    return plan.action


PLAYERS: Mapping[str, Player] = {
    player.__name__: player for player in (random, constant, legal, greedy, middling, solver)
}


def own_dice(seed: int, turns: int) -> Dice:
    """Return dice for a player that are independent of those of the game."""
    return Dice(seed ^ 0x5EED, turns)


class BaselineResult(NamedTuple):
    """How an episode ended: score in the game's unit, sum of rewards, turns taken, illegal ones included."""

    score: float
    success: bool
    total: float
    turns: int


def play_baseline(game: Game, knobs: GameKnobs, seed: int, player: Player) -> BaselineResult:
    """Play one episode by the rules alone; an illegal action earns `Game.illegal` and uses a turn."""
    state = game.start(seed, knobs)
    total = 0.0
    turns = 0
    while not state.over and turns < knobs.turns:
        action = player(game, state, own_dice(seed, turns))
        turns += 1
        if game.allows(state, action):
            state, reward, _, _ = game.step(state, action)
            total += reward
        else:
            total += game.illegal(knobs)
    return BaselineResult(state.score, game.success(state), total, turns)
