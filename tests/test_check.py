"""The conformance suite: every game passes, and a game that breaks a rule is caught by that rule."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from third_party.lamps import Lamps

from vlm_gym.check import RULES, check_game, problems
from vlm_gym.game import Step
from vlm_gym.registry import find, names
from vlm_gym.scene import Scene, Symbol

LONG = ("pictures_can_be_read", "thoughts_can_be_checked", "solver_advises")
"""Rules that take half a minute and more on photos, whose rules are those of Shisen-Sho."""


def squares() -> list[Any]:
    """List all games with all rules."""
    found = []
    for name in names():
        for rule in RULES:
            # One process checks all rules of a game, since its solver keeps what it has found.
            marks = [pytest.mark.xdist_group(f"check {name}")]
            if name == "shisen_sho_photos" and rule.__name__ in LONG:
                marks += [pytest.mark.slow, pytest.mark.long]
            found.append(pytest.param(name, rule, marks=marks, id=f"{name}-{rule.__name__}"))
    return found


@pytest.mark.parametrize(("name", "rule"), squares())
def test_every_game_keeps_every_rule(name: str, rule: Callable[[Any], Any]) -> None:
    assert problems(rule, find(name)) == []


def test_a_rule_that_the_game_makes_fail_is_a_problem_of_the_game() -> None:
    class Breaks(Lamps):
        def scene(self, state):
            raise ZeroDivisionError("no windows")

    assert problems(RULES[3], Breaks()) == ["raises ZeroDivisionError: no windows"]


def test_a_third_partys_game_passes() -> None:
    check_game(Lamps())


class Remembers(Lamps):
    def __init__(self) -> None:
        self.moves: list[str] = []


class Undocumented(Lamps):
    form = ""


class Clockwork(Lamps):
    def start(self, seed, knobs):
        return replace(super().start(seed, knobs), lit=(1 + random.randrange(knobs.side),))


class OneDeal(Lamps):
    def start(self, seed, knobs):
        return replace(super().start(0, knobs), seed=seed)


class Listed(Lamps):
    def start(self, seed, knobs):
        return replace(super().start(seed, knobs), lit=list(super().start(seed, knobs).lit))


class Scored(Lamps):
    def start(self, seed, knobs):
        return replace(super().start(seed, knobs), score=1.0)


class Overpaid(Lamps):
    def step(self, state, action):
        return super().step(state, action)._replace(reward=3.0)


class Lenient(Lamps):
    def step(self, state, action):
        if action not in self.legal(state):
            return Step(state, -1.0, 0.0, "no")
        return super().step(state, action)


class Gambler(Lamps):
    def step(self, state, action):
        step = super().step(state, action)
        return step._replace(event=f"{random.random()}")


class Endless(Lamps):
    def step(self, state, action):
        step = super().step(state, action)
        return step._replace(state=replace(step.state, over=False))


class Miscounts(Lamps):
    def step(self, state, action):
        return super().step(state, action)._replace(score=2.0)


class Stands(Lamps):
    def step(self, state, action):
        step = super().step(state, action)
        return step._replace(state=replace(step.state, turn=0))


class Shapeless(Lamps):
    def scene(self, state):
        rows, cols, cells = super().scene(state)
        return Scene(rows, cols, cells) if state.turn % 2 else Scene(1, rows * cols, cells)


class Wordless(Lamps):
    def scene(self, state):
        return super().scene(state)._replace(cells=(Symbol("text", "a|b"),) * state.knobs.side**2)


class Invisible(Lamps):
    def scene(self, state):
        # What is said is not what is drawn: two names for one picture.
        cat, dog = (Symbol("picture", name, variant="cat/noto.png") for name in ("cat", "dog"))
        scene = super().scene(state)
        return scene._replace(cells=tuple(cat if cell else dog for cell in scene.cells))


class Optimist(Lamps):
    def values(self, state):
        return dict.fromkeys(self.legal(state), 2.0)


class Long(Lamps):
    levels = (*Lamps.levels[4:], *Lamps.levels[1:])

    def values(self, state):
        return dict.fromkeys(self.legal(state), 0.5)


@pytest.mark.parametrize(
    ("game", "rule"),
    [
        (Remembers, "declares_itself"),
        (Undocumented, "declares_itself"),
        (Clockwork, "deals_by_seed"),
        (OneDeal, "deals_by_seed"),
        (Listed, "deals_by_seed"),
        (Scored, "deals_by_seed"),
        (Overpaid, "steps_are_pure"),
        (Lenient, "steps_are_pure"),
        (Gambler, "steps_are_pure"),
        (Endless, "steps_are_pure"),
        (Miscounts, "steps_are_pure"),
        (Stands, "steps_are_pure"),
        (Shapeless, "scenes_tell_all"),
        (Wordless, "scenes_tell_all"),
        (Invisible, "pictures_can_be_read"),
        (Optimist, "solver_advises"),
        (Long, "level_0_is_easy"),
    ],
)
def test_a_game_that_breaks_a_rule_is_caught_by_that_rule(game: type[Lamps], rule: str) -> None:
    checks = {check.__name__: check for check in RULES}
    assert problems(checks[rule], game())
    with pytest.raises(ValueError, match=f"lamps breaks the contract:\n(.*\n)*{rule}: "):
        check_game(game())
