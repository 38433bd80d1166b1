"""The benchmark: what it counts, how it keeps and compares it. No test depends on how fast anything is."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from io import StringIO
from itertools import islice
from random import Random
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import vlm_gym  # noqa: F401
from vlm_gym.bench import BenchRow, bench_tables, from_json, measure, probes, to_json
from vlm_gym.bench.memory import footprint
from vlm_gym.cli import app
from vlm_gym.registry import find

ROW = BenchRow(
    game="2048",
    perception=0,
    picture="448 x 448",
    copy=10.0,
    step=80.0,
    reset=500.0,
    single=100.0,
    vector16=50.0,
    vector64=40.0,
    workers=25.0,
    rules=5.0,
    draw=20.0,
    sprite=1500.0,
    png=250.0,
    data_url=300.0,
    png_bytes=20_000,
    own_bytes=1_200_000,
    shared_bytes=900_000,
)
PEER = BenchRow(game="Peer-v0", picture="210 x 160", copy=10.0, step=800.0, reset=5000.0, single=1000.0)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlm_gym.bench.rows.STEPS", 60)
    monkeypatch.setattr("vlm_gym.bench.rows.BENCH_TURNS", 3)


def text_of(*args: Any, width: int = 160) -> str:
    console = Console(width=width, file=StringIO())
    with console.capture() as captured:
        console.print(*bench_tables(*args))
    return captured.get()


def lines_of(text: str, name: str) -> list[list[str]]:
    """The cells, without blank ones, of every line that begins with a name."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.strip().startswith(name)]


def test_every_figure_of_a_game_is_measured(brief: None) -> None:
    row = measure("2048", perception=4, rounds=1)
    assert (row.game, row.perception, row.picture) == ("2048", 4, "448 x 448")
    for field in fields(BenchRow)[3:]:
        assert getattr(row, field.name) > 0, field.name
    assert row.png_bytes > 200_000  # noise cannot be compressed by much


def test_rates_are_a_second_over_the_time_and_costs_are_in_copies() -> None:
    rates, costs, sizes = lines_of(text_of([ROW]), "2048")
    assert rates == ["2048", "0", "2,000", "200,000", "10,000", "20,000", "25,000", "40,000"]
    assert costs == ["2048", "0", "10.0", "80.0", "8.00", "50.0", "2.00"]
    assert sizes == ["2048", "0", "0.25", "0.30", "20.0", "1.50", "1.20", "0.90"]


def test_a_peer_is_shown_with_its_picture_and_only_where_it_has_figures() -> None:
    rates, costs = lines_of(text_of([ROW, PEER]), "Peer-v0")
    assert rates == ["Peer-v0, 210 x 160", "200", "1,000"]
    assert costs == ["Peer-v0, 210 x 160", "10.0", "800", "80.0", "500"]


def test_ratios_are_new_over_old_of_what_the_tables_show() -> None:
    new = replace(ROW, step=40.0, copy=5.0, rules=2.5, png_bytes=30_000)
    rates, costs, sizes = lines_of(text_of([new], [PEER, ROW]), "2048")
    assert rates == ["2048", "0", "1.00", "2.00", *["1.00"] * 4]
    # The machine copies twice as fast, so what took the same time takes twice as many copies.
    assert costs == ["2048", "0", "0.50", "0.50", "1.00", "2.00", "2.00"]
    assert sizes == ["2048", "0", "1.00", "1.00", "1.50", *["1.00"] * 3]


def test_a_row_without_an_old_one_has_no_ratios() -> None:
    assert lines_of(text_of([replace(ROW, perception=4)], [ROW]), "2048") == [["2048", "4"]] * 3


def test_tables_fit_a_terminal() -> None:
    text = text_of([replace(ROW, game="shisen_sho_photos"), PEER], width=80)
    assert "…" not in text
    assert len(lines_of(text, "shisen_sho_photos")) == 3


def test_rows_come_back_from_json_and_the_machine_is_told() -> None:
    text = to_json([ROW, PEER])
    assert from_json(text) == [ROW, PEER]
    kept = json.loads(text)
    assert kept["rows"][0] == asdict(ROW)
    assert set(kept["machine"]) == {"platform", "cores", "python", "vlm-gym", "gymnasium", "numpy"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": [{"game": "2048"}]}', '{"rows": [{"speed": 1}]}'])
def test_a_file_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not what `vlm-gym bench --json` writes"):
        from_json(text)


def test_the_best_round_counts_for_each_figure_by_itself() -> None:
    def probe(values: list[float]) -> Iterator[dict[str, float]]:
        yield from ({"a": value, "b": 10 - value} for value in values)

    best = probes.best_of(3, [probe([3.0, 1.0, 2.0]), iter([{"c": 5.0}] * 3)])
    assert best.pop("copy") > 0
    assert best == {"a": 1.0, "b": 7.0, "c": 5.0}


class Seeds(gym.Wrapper[Any, Any, Any, Any]):
    """Notes the seeds of all resets."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.seen: list[int | None] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.seen.append(seed)
        return super().reset(seed=seed, options=options)


def test_no_episode_is_played_twice_since_games_remember_boards() -> None:
    env, dice = Seeds(gym.make("vlm_gym/2048-v0", perception={"size": 64})), Random(0)
    index = env.get_wrapper_attr("index")
    probe = probes.playing(env, lambda info: index[dice.choice(info["legal"])], 150)
    for figures in islice(probe, 3):
        assert set(figures) == {"step", "reset", "single"}
    assert len(set(env.seen)) == len(env.seen) >= 3


def test_states_are_those_of_whole_episodes() -> None:
    game = find("2048")
    knobs = game.settle({"turns": 20})
    states = probes.states_of(game, knobs, 50)
    assert [state.turn for state in states] == [*range(21)] * 3
    assert len({state.seed for state in states}) == 3


def test_memory_is_that_of_one_environment_and_sprites_are_told_apart() -> None:
    clean = footprint("2048", perception=0, reasoning="0")
    noisy = footprint("2048", perception=4, reasoning="0")
    frame = 448 * 448 * 3
    assert frame <= clean.own < 2_000_000  # the painter keeps the board as it was; no space holds frames
    assert noisy.shared > clean.shared + 2 * frame  # grain for two frames


def test_peers_are_measured_by_their_pictures(brief: None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Peer(gym.Env[Any, Any]):
        """Has a picture only when rendered, as many have."""

        metadata = {"render_modes": ["rgb_array"], "render_fps": 4}
        observation_space = gym.spaces.Discrete(2)
        action_space = gym.spaces.Discrete(3)

        def __init__(self, render_mode: str) -> None:
            self.render_mode, self.turn, self.drawn = render_mode, 0, 0

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            self.turn = 0
            return 0, {}

        def step(self, action: int) -> Any:
            self.turn += 1
            return 0, 0.0, self.turn == 10, False, {}

        def render(self) -> Any:
            return np.zeros((20, 30, 3), np.uint8)

    gym.register("Peer-v0", Peer)
    try:
        monkeypatch.setattr("vlm_gym.bench.rows._PEERS", {"Peer-v0": ("numpy", {}), "Gone-v0": ("gone", {})})
        from vlm_gym.bench.rows import measure_peer, peers

        assert list(peers()) == ["Peer-v0"]
        row = measure_peer("Peer-v0", 1)
    finally:
        del gym.registry["Peer-v0"]
    assert (row.game, row.perception, row.picture, row.vector16) == ("Peer-v0", None, "20 x 30", None)
    assert min(row.copy, row.step, row.reset, row.single) > 0


def test_the_command_writes_figures_and_compares_with_them(brief: None, tmp_path: Any) -> None:
    file = tmp_path / "old.json"
    file.write_text(to_json([ROW, replace(ROW, perception=4)]))
    new = tmp_path / "new.json"
    told = CliRunner().invoke(
        app, ["bench", "2048", "--rounds", "1", "--json", str(new), "--against", str(file)]
    )
    assert told.exit_code == 0, told.output
    assert told.output.count("better") == 3
    assert [(row.game, row.perception) for row in from_json(new.read_text())] == [("2048", 0), ("2048", 4)]


def test_the_command_refuses_a_game_that_is_not_there_before_it_measures() -> None:
    told = CliRunner().invoke(app, ["bench", "2048", "chess"])
    assert isinstance(told.exception, ValueError)
    assert "chess" in str(told.exception)
