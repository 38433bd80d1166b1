"""A whole game in one file, checked and played by ``python examples/own_game.py``: find the red tile."""

from dataclasses import dataclass

import vlm_gym
from vlm_gym.cells import cell_names
from vlm_gym.dice import DEAL, Dice
from vlm_gym.envs.single import GameEnv
from vlm_gym.game import Board, Game, GameKnobs, Step
from vlm_gym.knobs import knob
from vlm_gym.scene import Scene, Symbol

TILES = (Symbol("shape", "circle", "blue"), Symbol("shape", "circle", "red"))


@dataclass(frozen=True, kw_only=True)
class Knobs(GameKnobs):
    """The reasoning knobs."""

    size: int = knob(3, "rows and columns", (2, 8))


class RedOne(Game[Board[Knobs], Knobs]):
    """One tile is red. A byte of `cells` is 1 there and 0 elsewhere."""

    name = "red_one"
    title = "Red One"
    unit = "tiles found"
    form = "a cell as (row,column), such as (1,2)"
    levels = tuple(Knobs(size=size, turns=3) for size in (3, 4, 5, 6, 7))

    def rules(self, knobs):
        return "One tile is red. Goal: name its cell."

    def actions(self, knobs):
        return cell_names(knobs.size, knobs.size)

    def start(self, seed, knobs):
        place = Dice(seed, DEAL).below(knobs.size**2)  # chance comes from the seed alone
        return Board(knobs=knobs, seed=seed, cells=bytes(n == place for n in range(knobs.size**2)))

    def legal(self, state):
        return () if state.over else self.actions(state.knobs)

    def step(self, state, action):
        found = state.cells[self.legal(state).index(action)]  # a ValueError if it is not legal
        after = state.advance(found, bool(found))
        return Step(after, self.reward(state, after), found, "found" if found else "not this one")

    def scene(self, state):
        return Scene(state.knobs.size, state.knobs.size, tuple(TILES[cell] for cell in state.cells))

    def success(self, state):
        return state.over


vlm_gym.check_game(RedOne())  # raises an error that lists everything wrong
env = GameEnv(RedOne(), perception=1)
print(env.reset(seed=1)[1]["truth"])
