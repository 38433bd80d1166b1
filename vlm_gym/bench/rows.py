"""One row of the benchmark: a game at a perception level, or an environment of another package."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from random import Random
from time import perf_counter, process_time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.wrappers import AddRenderObservation

import vlm_gym
from vlm_gym.bars import bars
from vlm_gym.bench import probes
from vlm_gym.bench.memory import footprint
from vlm_gym.registry import find, names
from vlm_gym.render import Frame, draw, look
from vlm_gym.render.encode import png

STEPS = 500
"""Steps of a single environment that one round times, at least."""

BENCH_TURNS = 30
"""Turns of a vector environment that one round times."""

PERCEPTIONS = (0, 4)
"""The levels that are measured: the cleanest, and the one with noise."""

_PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "MiniGrid-Empty-8x8-v0": ("minigrid", {"tile_size": 56}),
    "ALE/Pong-v5": ("ale_py", {}),
    "gymnasium_2048/TwentyFortyEight-v0": ("gymnasium_2048", {}),
}
"""Environments of others by gymnasium's name: the package that registers each, and how to make it."""


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """Times in microseconds, sizes in bytes; None where there is no such thing."""

    game: str
    perception: int | None = None
    picture: str
    """Height x width."""
    copy: float
    """One copy of a 448 × 448 frame."""
    step: float
    """One step through `gym.make`: rules, picture, info with its mask."""
    reset: float
    """One reset through `gym.make`, with its picture."""
    single: float
    """One picture, of a step or a reset, while one environment plays episode after episode."""
    vector16: float | None = None
    """The same in a vector environment of 16."""
    vector64: float | None = None
    """The same in a vector environment of 64."""
    workers: float | None = None
    """The same in 64 environments that take replies, spread over a process a core; by the wall clock."""
    rules: float | None = None
    """One turn by the rules alone: the legal actions and a step."""
    draw: float | None = None
    """One picture drawn on a canvas that is kept."""
    sprite: float | None = None
    """One sprite drawn: once for each symbol, theme and variant, for all environments of a process."""
    png: float | None = None
    data_url: float | None = None
    png_bytes: int | None = None
    own_bytes: int | None = None
    """Memory of one environment beyond one frame."""
    shared_bytes: int | None = None
    """Memory of the sprites that all environments of this game and look share."""


def measure_all(games: Sequence[str], rounds: int) -> list[BenchRow]:
    """Measure these games, or all games and the peers that are installed, and show a progress bar."""
    rows = []
    for game in games or names():
        for perception in PERCEPTIONS:
            job = partial(measure, find(game).name, perception, rounds)
            rows.append((f"{game}, perception {perception}", job))
    if not games:
        for peer in peers():
            rows.append((peer, partial(measure_peer, peer, rounds)))
    measured = []
    with bars(transient=True) as bar:
        task = bar.add_task("", total=len(rows))
        for title, job in rows:
            bar.update(task, description=f"timing {title}")
            measured.append(job())
            bar.advance(task)
    return measured


def measure(game: str, perception: int, rounds: int) -> BenchRow:
    """Measure a game at its `paper` size, or at level 2 where it has none."""
    rules = find(game)
    view = look(perception)
    dice = Random(0)  # the same actions in every round
    reasoning = "paper" if "paper" in rules.presets else "2"
    knobs = rules.settle(reasoning)
    index = {word: index for index, word in enumerate(rules.actions(knobs))}
    # Sprites are drawn before anything else is timed: once for all environments of a process.
    states = probes.states_of(rules, knobs, STEPS)
    sprite = probes.draw_sprites(rules, view, states)
    frames = list[Frame]()
    for state in states[:: len(states) // 8]:
        frames.append(draw(rules.scene(state), view, state.seed, state.turn))

    def one(info: dict[str, Any]) -> int | str:
        word: str = dice.choice(info["legal"])
        return index[word] if index else word

    def many(infos: dict[str, Any]) -> Any:
        if not index:
            return [dice.choice(legal) if legal else "" for legal in infos["legal"]]
        return np.array([index[dice.choice(legal)] if legal else 0 for legal in infos["legal"]])

    def replies(infos: dict[str, Any]) -> list[str]:
        return [f"<answer>{dice.choice(legal)}</answer>" if legal else "" for legal in infos["legal"]]

    with ExitStack() as stack:
        make: dict[str, Any] = {
            "id": f"vlm_gym/{game}-v0",
            "perception": perception,
            "reasoning": reasoning,
        }
        env = stack.enter_context(closing(gym.make(**make)))
        vector = partial(gym.make_vec, vectorization_mode="vector_entry_point", **make)
        few = stack.enter_context(closing(vector(num_envs=16)))
        lots = stack.enter_context(closing(vector(num_envs=64)))
        cores = os.cpu_count() or 1
        spread = vlm_gym.make_vec(game, 64, workers=cores, perception=perception, reasoning=reasoning)
        stack.enter_context(closing(spread))
        best = probes.best_of(
            rounds,
            [
                probes.playing(env, one, STEPS),
                probes.playing_many("vector16", few, many, states, BENCH_TURNS, process_time),
                probes.playing_many("vector64", lots, many, states, BENCH_TURNS, process_time),
                probes.playing_many("workers", spread, replies, states, BENCH_TURNS, perf_counter),
                probes.ruling(rules, knobs, STEPS),
                probes.drawing(rules, view, states),
                probes.encoding(frames),
            ],
        )
    own, shared = footprint(game, perception, reasoning)
    return BenchRow(
        game=game,
        perception=perception,
        picture=f"{view.size} x {view.size}",
        png_bytes=sum(map(len, map(png, frames))) // len(frames),
        own_bytes=own,
        shared_bytes=shared,
        **_microseconds(sprite | best),
    )


def peers() -> Iterator[str]:
    """List the environments of others that are installed."""
    for name, (package, _) in _PEERS.items():
        if find_spec(package):
            yield name


def measure_peer(name: str, rounds: int) -> BenchRow:
    """Measure an environment that is not ours by its pictures: its observation, or else what it renders."""
    package, knobs = _PEERS[name]
    import_module(package)
    env = gym.make(name, render_mode="rgb_array", **knobs)
    dice = Random(0)
    if not _is_picture(env.observation_space):
        env = AddRenderObservation(env)
    assert isinstance(env.action_space, Discrete)
    count = int(env.action_space.n)
    with closing(env):
        best = probes.best_of(rounds, [probes.playing(env, lambda _: dice.randrange(count), STEPS)])
        height, width = (env.observation_space.shape or ())[:2]
    return BenchRow(game=name, picture=f"{height} x {width}", **_microseconds(best))


def _is_picture(space: gym.Space[Any]) -> bool:
    return isinstance(space, Box) and space.dtype == np.uint8 and space.shape[2:] == (3,)


def _microseconds(seconds: probes.Seconds) -> dict[str, Any]:
    microseconds = dict[str, float]()
    for name, value in seconds.items():
        microseconds[name] = round(1e6 * value, 3)
    return microseconds
