"""Games of other packages: one that is broken spoils itself alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vlm_gym.registry import find, names

THIRD = Path(__file__).parent / "third_party"


def offer(folder: Path, package: str, *games: str) -> None:
    """Install a package, as pip would, that offers games as ``name = place``."""
    info = folder / f"{package}-2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2\n")
    (info / "entry_points.txt").write_text("\n".join(["[vlm_gym.games]", *games, ""]))


def run(folder: Path, *code: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(THIRD)])}
    lines = ["import gymnasium, vlm_gym", *code]
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], env=environ, capture_output=True, text=True
    )


BAD = ["two words", "why?", "group/game", "a:b", "-x", "all", ".", "\u00e9t\u00e9 2"]


def test_games_of_bad_names_are_left_out_and_told(tmp_path: Path) -> None:
    offer(tmp_path, "careless", *(f"{name} = careless.game" for name in BAD), "lamps = lamps:Lamps")
    done = run(
        tmp_path,
        "print(*vlm_gym.names())",
        "gymnasium.make('vlm_gym/swap-v0').reset(seed=1)",
        "vlm_gym.make_vec(['2048', 'swap'], 2).reset(seed=1)",
        "from vlm_gym.evaluation.suite import suite",
        "print(len([i for i in gymnasium.registry if i.startswith('vlm_gym/')]))",
        "try: vlm_gym.find('two words')",
        "except ValueError as error: print(error)",
    )
    assert done.returncode == 0, done.stderr
    listed, count, unknown = done.stdout.splitlines()
    assert set(listed.split()) == {*names(), "lamps"}
    assert int(count) == len(names()) + 1
    assert unknown.startswith("unknown game 'two words'")
    for name in BAD:
        assert f"careless offers a game as {name!r}, which is no possible name" in done.stderr


@pytest.mark.parametrize("name", ["chess_960", "Go-9x9", "go-v2", "\u00e9checs", "7"])
def test_names_that_gymnasium_takes_are_games(tmp_path: Path, name: str) -> None:
    offer(tmp_path, "careful", f"{name} = mine")
    (tmp_path / "mine.py").write_text(
        f"from vlm_gym.games.swap.game import Swap\nclass Mine(Swap):\n    name = {name!r}\nGAME = Mine()\n",
        encoding="utf-8",
    )
    done = run(
        tmp_path,
        f"env = gymnasium.make('vlm_gym/{name}-v0'); env.reset(seed=1); print(env.unwrapped.game.name)",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == name


@pytest.mark.parametrize(
    ("place", "code", "reason"),
    [
        ("missing.module", "", "ModuleNotFoundError"),
        ("mine", "import nothing_of_this_name", "ModuleNotFoundError"),
        ("mine", "def broken(:", "SyntaxError"),
        ("mine", "1 / 0", "ZeroDivisionError"),
        ("mine:Nothing", "", "AttributeError"),
    ],
)
def test_a_package_that_cannot_be_loaded_is_named_when_its_game_is_asked_for(
    tmp_path: Path, place: str, code: str, reason: str
) -> None:
    offer(tmp_path, "ruins", f"ruin = {place}")
    (tmp_path / "mine.py").write_text(code)
    ask = ["try: vlm_gym.find('ruin')", "except ValueError as error: print(error)"]
    done = run(tmp_path, "gymnasium.make('vlm_gym/2048-v0').reset(seed=1)", *ask)
    assert done.returncode == 0, done.stderr
    assert f"the game 'ruin' of ruins cannot be loaded from {place!r}: {reason}: " in done.stdout


def test_our_own_games_have_possible_names() -> None:
    assert all(find(name).name == name for name in names())


@pytest.mark.parametrize(
    "command", [["games"], ["games", "2048"], ["show", "2048", "--text"], ["check", "2048"], ["--help"]]
)
def test_commands_speak_to_a_terminal_of_ascii_alone(command: list[str], tmp_path: Path) -> None:
    program = [sys.executable, "-m", "vlm_gym.cli", *command]
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(program, env=environ, cwd=tmp_path, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.isascii()


@pytest.mark.parametrize("encoding", ["ascii", "cp437", "utf-8"])
def test_tables_of_the_benchmark_fit_any_terminal(encoding: str) -> None:
    code = (
        "from rich.console import Console\n"
        "from test_bench import PEER, ROW\n"
        "from vlm_gym.bench import bench_tables\n"
        "tables = (*bench_tables([ROW, PEER]), *bench_tables([ROW], [ROW]))\n"
        "for table in tables: Console(width=80).print(table)"
    )
    environ = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    assert b"2048" in done.stdout
