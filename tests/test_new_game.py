"""The guide to a new game: its files are written and its commands typed as they stand on the page."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from vlm_gym.check import RULES

GUIDE = (Path(__file__).parents[1] / "docs/new_game.md").read_text()
BLOCK = re.compile(
    r"(?:^`(?P<file>[\w/.]+)`(?:, (?P<where>below the docstring|at the end))?:\n\n)?"
    r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$",
    re.M | re.S,
)
INSTALL = "pip install -e ."
SHIPPED = Path(__file__).parents[1] / "games/lights"


class Ran(NamedTuple):
    """A command of the guide, and what it printed."""

    command: str
    status: int
    output: str


def write(path: Path, where: str | None, text: str) -> None:
    """Write a file, or add to one: imports below its docstring, or code at its end."""
    path.parent.mkdir(exist_ok=True)
    if where is None:
        assert not path.exists(), f"{path.name} is there already"
        path.write_text(text)
        return
    before = path.read_text()
    if where == "at the end":
        path.write_text(before + text)
    else:
        docstring, rest = before.split("\n\n", 1)
        path.write_text(f"{docstring}\n\n{text}{rest}")


def install(folder: Path) -> None:
    """Make the game known as ``pip install -e .`` does, but for this folder alone."""
    project = (folder / "pyproject.toml").read_text()
    ((group, name, module),) = re.findall(
        r'^\[project\.entry-points\."(.*)"\]\n(\w+) = "(\w+)"$', project, re.M
    )
    info = folder / "my_lights-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-lights\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")


def run(folder: Path, command: str) -> Ran:
    if command == INSTALL:
        install(folder)
        return Ran(command, 0, "")
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",  # a file can be written twice within a second
    }
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environ, capture_output=True, text=True, timeout=300
    )
    return Ran(command, done.returncode, done.stdout + done.stderr)


def statements(source: str) -> list[str]:
    """List what a module says and what its classes say, in no order, with each imported name on its own."""
    found = list[str]()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom):
            found += [f"from {'.' * node.level}{node.module} import {alias.name}" for alias in node.names]
        elif isinstance(node, ast.ClassDef):
            found += [ast.unparse(part) for part in node.body]
        else:
            found.append(ast.unparse(node))
    return sorted(found)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Ran]]:
    """Follow the guide from its first line to its last one."""
    folder = tmp_path_factory.mktemp("guide")
    ran = []
    for block in BLOCK.finditer(GUIDE):
        if block["kind"] == "console":
            commands = block["text"].splitlines()
            assert all(command.startswith("$ ") for command in commands)
            ran += [run(folder, command.removeprefix("$ ")) for command in commands]
        else:
            assert block["file"], f"the guide does not name the file of {block['text']!r}"
            write(folder / block["file"], block["where"], block["text"])
    return folder, ran


@pytest.mark.slow
def test_every_command_of_the_guide_runs(built: tuple[Path, list[Ran]]) -> None:
    folder, ran = built
    assert len(ran) > 10
    assert [each for each in ran if each.status] == []
    for written in ("sheet.png", "game.gif", "my_lights/README.md", "my_lights/card.png"):
        assert (folder / written).stat().st_size > 1000


@pytest.mark.slow
def test_the_game_of_the_guide_passes_the_conformance_suite(built: tuple[Path, list[Ran]]) -> None:
    _, ran = built
    (checked,) = [each for each in ran if each.command == "vlm-gym check my_lights"]
    assert "FAIL" not in checked.output
    assert checked.output.count("ok ") == len(RULES)


@pytest.mark.slow
def test_the_game_of_the_guide_thinks_from_its_second_look_on(built: tuple[Path, list[Ran]]) -> None:
    _, ran = built
    first, second = [each.output for each in ran if each.command == "vlm-gym games my_lights"]
    assert "no thoughts" in first
    assert "first row needs" in second


@pytest.mark.slow
def test_code_of_the_guide_keeps_to_our_style(built: tuple[Path, list[Ran]]) -> None:
    folder, _ = built
    for command in ("check --select E,F,W", "format --diff"):
        words = f"{sys.executable} -m ruff {command} --line-length 110 my_lights/b*.py my_lights/[kst]*.py"
        done = run(folder, words)
        assert done.status == 0, done.output


@pytest.mark.slow
@pytest.mark.parametrize("name", ["board.py", "solver.py", "state.py", "thought.py"])
def test_a_file_of_the_guide_is_that_of_the_game_as_we_ship_it(
    built: tuple[Path, list[Ran]], name: str
) -> None:
    folder, _ = built
    assert (folder / "my_lights" / name).read_text() == (SHIPPED / name).read_text()


@pytest.mark.slow
def test_the_rules_of_the_guide_are_those_of_the_game_as_we_ship_it(built: tuple[Path, list[Ran]]) -> None:
    """The guide adds the solver and the thoughts later, and gives the game another name."""
    folder, _ = built
    guide = (folder / "my_lights/game.py").read_text()
    for ours, shipped in (("MyLights", "Lights"), ("my_lights", "lights"), ("My Lights Out", "Lights Out")):
        guide = guide.replace(ours, shipped)
    assert statements(guide) == statements((SHIPPED / "game.py").read_text())


@pytest.mark.parametrize("link", re.findall(r"\]\(([^):]+)\)", GUIDE))
def test_the_link_leads_somewhere(link: str) -> None:
    assert (Path(__file__).parents[1] / "docs" / link).exists()


@pytest.mark.parametrize("place", re.findall(r"`((?:games|tests|vlm_gym)/[\w/.]+)`", GUIDE))
def test_the_place_is_there(place: str) -> None:
    assert (Path(__file__).parents[1] / place).exists()
