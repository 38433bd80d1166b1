"""A game of two players on one state, the other one built in: take one to three, who takes the last wins."""

from dataclasses import dataclass
from typing import ClassVar

from vlm_gym.dice import DEAL, Dice
from vlm_gym.game import Game, GameKnobs, State, Step
from vlm_gym.knobs import knob
from vlm_gym.scene import Scene, Symbol

DISC = Symbol("icon", "disc", "yellow")


@dataclass(frozen=True, kw_only=True)
class Knobs(GameKnobs):
    """How many discs there can be, and who plays the other side."""

    most: int = knob(9, "discs at most", (6, 30))
    opponent: str = knob(
        "chance", "'chance' moves at random; 'nobody': both sides are asked", ("chance", "nobody")
    )


@dataclass(frozen=True, kw_only=True)
class Row(State):
    """Discs that are left, and whose turn it is."""

    discs: int
    player: int = 0


class Nim(Game[Row, Knobs]):
    """Nim with one heap (Bouton, 1901)."""

    name: ClassVar = "nim"
    title: ClassVar = "Nim"
    form: ClassVar = "how many discs to take: 1, 2 or 3"
    unit: ClassVar = "wins"
    levels: ClassVar = tuple(Knobs(most=most) for most in (9, 12, 15, 18, 21))
    presets: ClassVar = {"both": Knobs(opponent="nobody")}

    def rules(self, knobs):
        return "Players in turn take 1 to 3 discs. Who takes the last wins."

    def actions(self, knobs):
        return ("1", "2", "3")

    def start(self, seed, knobs):
        return Row(knobs=knobs, seed=seed, discs=4 + Dice(seed, DEAL).below(knobs.most - 3))

    def legal(self, state):
        return () if state.over else tuple(str(count) for count in (1, 2, 3) if count <= state.discs)

    def step(self, state, action):
        if action not in self.legal(state):
            raise self.refuse(state, action)
        left = state.discs - int(action)
        if left == 0:
            won = state.player == 0
            return Step(state.advance(float(won), True, discs=0), 1.0, float(won), "the last one is taken")
        if state.knobs.opponent == "nobody":
            return Step(
                state.advance(0.0, False, discs=left, player=1 - state.player), 0.0, 0.0, f"{left} left"
            )
        left -= 1 + state.dice.below(min(3, left))
        lost = left == 0
        return Step(state.advance(0.0, lost, discs=left), -1.0 * lost, 0.0, f"the other side leaves {left}")

    def scene(self, state):
        cells = [DISC] * state.discs + [None] * (state.knobs.most - state.discs)
        width = -(-state.knobs.most // 3)
        cells += [None] * (3 * width - len(cells))
        return Scene(3, width, tuple(cells), notes=(f"player {state.player + 1} to move",))

    def success(self, state):
        return state.score == 1


GAME = Nim()
