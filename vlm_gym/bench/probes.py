"""What is timed: random legal play, new episodes every time, and the pictures of it drawn and encoded again.

Nothing is replayed, since games remember boards that they have seen. To choose an action is part of the time,
some 0.4 µs. Time is what the processor spends on this process, so a busy machine says much the same.
"""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from time import process_time
from typing import Any

import gymnasium as gym
import numpy as np

from vlm_gym.game import Game, GameKnobs, State
from vlm_gym.render import THEMES, Frame, Look, Painter, layout_of
from vlm_gym.render.encode import data_url, png
from vlm_gym.render.painter import VARIANTS, sprite_sheet
from vlm_gym.scene import Symbol

Seconds = dict[str, float]
"""What one thing of each kind took."""

Timing = Iterator[Seconds]
"""Does some work whenever it is asked for the next answer: how long each kind of thing in it took."""

Choose = Callable[[dict[str, object]], object]
"""Picks an action by an environment's info."""


def best_of(rounds: int, probes: Sequence[Timing]) -> Seconds:
    """Take the best of several rounds, since a machine disturbs only upward.

    Frames are copied before every probe, so that the unit is measured when what it measures is.
    """
    best: Seconds = {}
    copies = copying()
    for _ in range(rounds):
        for probe in probes:
            for name, seconds in (next(copies) | next(probe)).items():
                best[name] = min(seconds, best.get(name, seconds))
    return best


def copying() -> Timing:
    """Copy a 448 × 448 frame within the cache."""
    frame = np.full((448, 448, 3), 7, np.uint8)  # untouched zeros would share one page
    kept = frame.copy()
    while True:
        start = process_time()
        for _ in range(200):
            np.copyto(kept, frame)
        yield {"copy": (process_time() - start) / 200}


def playing(env: gym.Env[Any, Any], choose: Choose, steps: int) -> Timing:
    """Play whole episodes in one environment, so many steps or more: a step, a reset, a picture of either."""
    seed = 0
    while True:
        stepping = resetting = 0.0
        turns = episodes = 0
        while turns < steps:
            seed += 1
            episodes += 1
            ended = False
            start = process_time()
            _, info = env.reset(seed=seed)
            middle = process_time()
            while not ended:
                _, _, terminated, truncated, info = env.step(choose(info))
                ended = terminated or truncated
                turns += 1
            stepping += process_time() - middle
            resetting += middle - start
        yield {
            "step": stepping / turns,
            "reset": resetting / episodes,
            "single": (stepping + resetting) / (turns + episodes),
        }


def playing_many(
    name: str,
    envs: gym.vector.VectorEnv[Any, Any, Any],
    choose: Choose,
    states: Sequence[State],
    turns: int,
    clock: Callable[[], float],
) -> Timing:
    """Play so many turns in many environments at once: a picture, be it of a step or of a reset.

    They begin all along the states of whole episodes, so that at any time as many end as in the long run.
    """
    begun = list[State]()
    for index in range(envs.num_envs):
        begun.append(states[index * len(states) // envs.num_envs])
    _, infos = envs.reset(seed=0, options={"state": begun})
    while True:
        start = clock()
        for _ in range(turns):
            *_, infos = envs.step(choose(infos))
        yield {name: (clock() - start) / (turns * envs.num_envs)}


def ruling(game: Game, knobs: GameKnobs, steps: int) -> Timing:
    """Play whole episodes by the rules alone: the legal actions and a step."""
    dice = Random(0)
    seed = 0
    while True:
        spent = 0.0
        turns = 0
        while turns < steps:
            seed += 1
            state = game.start(seed, knobs)
            start = process_time()
            while not state.over and state.turn < knobs.turns:
                state = game.step(state, dice.choice(game.legal(state))).state
                turns += 1
            spent += process_time() - start
        yield {"rules": spent / turns}


def states_of(game: Game, knobs: GameKnobs, least: int) -> list[State]:
    """List the states of whole episodes of random legal play, one after another, at least so many."""
    dice = Random(0)
    states = list[State]()
    while len(states) < least:
        states.append(game.start(len(states), knobs))
        while not states[-1].over and states[-1].turn < knobs.turns:
            states.append(game.step(states[-1], dice.choice(game.legal(states[-1]))).state)
    return states


def draw_sprites(game: Game, look: Look, states: Sequence[State]) -> Seconds:
    """Draw all sprites that states like these need, once and for all: other probes hardly pay for any."""
    scenes = list(map(game.scene, states))
    side = layout_of(scenes[0], look).side
    count = 0
    symbols = set[Symbol | None]()
    for scene in scenes:
        symbols.update(scene.cells)
    start = process_time()
    for theme in THEMES if look.theme == "any" else (look.theme,):
        sprites = sprite_sheet(look, theme, side)
        for symbol in symbols:
            for variant in range(VARIANTS if look.varied else 1):
                sprites[symbol, variant]
                count += 1
    return {"sprite": (process_time() - start) / count}


def drawing(game: Game, look: Look, states: Sequence[State]) -> Timing:
    """Draw states, one after another, on a canvas that is kept."""
    painter = Painter(look, np.zeros((look.size, look.size, 3), np.uint8))
    scenes = [(game.scene(state), state.seed, state.turn) for state in states]
    while True:
        start = process_time()
        for scene in scenes:
            painter.paint(*scene)
        yield {"draw": (process_time() - start) / len(scenes)}


def encoding(frames: Sequence[Frame]) -> Timing:
    """Encode pictures for a model behind a server."""
    while True:
        start = process_time()
        for frame in frames:
            png(frame)
        middle = process_time()
        for frame in frames:
            data_url(frame)
        end = process_time()
        yield {"png": (middle - start) / len(frames), "data_url": (end - middle) / len(frames)}
