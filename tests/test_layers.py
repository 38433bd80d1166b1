"""Arrows between modules point one way, and chance comes from dice: read from the source with `ast`."""

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
FOUNDATION = (
    "vlm_gym.returns",
    "vlm_gym.dice",
    "vlm_gym.knobs",
    "vlm_gym.scene",
    "vlm_gym.thought",
    "vlm_gym.cells",
    "vlm_gym.album",
    "vlm_gym.game",
    "vlm_gym.actions",
)
GAMES = ("vlm_gym.games",)
RENDER = ("vlm_gym.render",)
ADDRESS = ("vlm_gym.registry", "vlm_gym.episode", "vlm_gym.prompt")
WORKERS = ("vlm_gym.workers", "vlm_gym.worker_process")
BARS = ("vlm_gym.bars",)
STRICT = ("vlm_gym.strict", "vlm_gym.masking")
STORAGE = ("vlm_gym.storage",)
ENVS = ("vlm_gym.envs",)
ENDPOINTS = ("vlm_gym.endpoints",)
RECORDINGS = ("vlm_gym.recordings",)
ROLLOUTS = ("vlm_gym.rollouts",)
REPLAYS = ("vlm_gym.replays",)
CONFIG = ("vlm_gym.config",)
EVALUATION = ("vlm_gym.evaluation",)
REPORT = ("vlm_gym.report",)
PLAY = ("vlm_gym.play",)
GALLERY = ("vlm_gym.gallery",)
ADAPTERS = ("vlm_gym.adapters",)
CHECK = ("vlm_gym.check",)
TRAINERS = "vlm_gym.trainers"
RECIPE = (f"{TRAINERS}.recipe", f"{TRAINERS}.rewards")
MODELS = (f"{TRAINERS}.models",)
DATA = (f"{TRAINERS}.data",)
OPTIMIZERS = (f"{TRAINERS}.optimizers",)
LEARNERS = (f"{TRAINERS}.learners",)
METHOD = tuple(
    f"{TRAINERS}.{name}"
    for name in ("start_states", "sections", "advantages", "losses", "learner", "distributed")
)
PLANNING = (f"{TRAINERS}.planning",)
TO_RECORDINGS = (*FOUNDATION, *RENDER, *ADDRESS, *STRICT, *STORAGE)
TO_ROLLOUTS = (
    *(*TO_RECORDINGS, *RECORDINGS, *WORKERS, *BARS, *CONFIG, *ENVS),
    *(*ENDPOINTS, *ROLLOUTS),
)
OUTSIDE = (*GAMES, TRAINERS, "vlm_gym.configs")
HEAVY = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "vllm", "ray")


def modules() -> dict[str, Path]:
    """Every module of the package by its installed name."""
    found = {}
    for room in ("vlm_gym", *OUTSIDE):
        folder = ROOT / room.removeprefix("vlm_gym.")
        assert list(folder.rglob("*.py")), f"{folder} has no modules to judge"
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join([room, *parts]).removesuffix(".__init__")] = path
    return found


MODULES = modules()


class Import(NamedTuple):
    """One imported module; `lazy` if only a call, or only the type checker, imports it."""

    target: str
    lazy: bool


def imports(tree: ast.AST, package: str, lazy: bool = False) -> Iterator[Import]:
    """Read the imports of a module that lies in `package`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                yield Import(whole if whole in MODULES else source, lazy)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            yield from imports(node, package, lazy or inside or typing)


def imports_of(name: str) -> list[Import]:
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return list(imports(ast.parse(path.read_text()), package))


def within(name: str, rooms: tuple[str, ...]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def core() -> list[str]:
    return [name for name in MODULES if not within(name, OUTSIDE)]


def arrows(sources: list[str]) -> list[tuple[str, str]]:
    """List who imports which module of ours, lazily or not."""
    return [
        (name, entry.target)
        for name in sources
        for entry in imports_of(name)
        if within(entry.target, ("vlm_gym",))
    ]


def test_the_reader_sees_every_form_of_import():
    code = """
import numpy as np, vlm_gym.dice
from vlm_gym import registry
from .game import GAME
if TYPE_CHECKING:
    import torch
class Late:
    def load(self):
        from vlm_gym.scene import Scene
"""
    assert list(imports(ast.parse(code), "vlm_gym.games._2048")) == [
        ("numpy", False),
        ("vlm_gym.dice", False),
        ("vlm_gym.registry", False),
        ("vlm_gym.games._2048.game", False),
        ("torch", True),
        ("vlm_gym.scene", True),
    ]


@pytest.mark.parametrize(
    ("rooms", "below"),
    [
        (FOUNDATION, ()),
        (GAMES, FOUNDATION[:-1]),
        (RENDER, FOUNDATION),
        (ADDRESS, FOUNDATION),
        (WORKERS, ()),
        (BARS, ()),
        (STRICT, ()),
        (CONFIG, (*FOUNDATION, *STRICT)),
        (STORAGE, STRICT),
        (ENVS, (*FOUNDATION, *RENDER, *ADDRESS, *WORKERS)),
        (ENDPOINTS, STRICT),
        (RECORDINGS, TO_RECORDINGS),
        (ROLLOUTS, TO_ROLLOUTS),
        (REPLAYS, TO_ROLLOUTS),
        (EVALUATION, (*TO_ROLLOUTS, *REPLAYS)),
        (REPORT, (*TO_ROLLOUTS, *REPLAYS, *EVALUATION)),
        (PLAY, (*TO_ROLLOUTS, *REPLAYS, *EVALUATION)),
        (GALLERY, (*TO_ROLLOUTS, *REPLAYS)),
        (CHECK, TO_ROLLOUTS),
        (ADAPTERS, TO_ROLLOUTS),
        ((TRAINERS,), (*TO_ROLLOUTS, *REPLAYS, *EVALUATION, *REPORT, "vlm_gym.interrupts")),
        (("vlm_gym.configs",), (TRAINERS,)),
    ],
    ids=lambda rooms: rooms[0] if rooms else "",
)
def test_a_room_imports_only_itself_and_what_lies_below(rooms, below):
    sources = [name for name in MODULES if within(name, rooms)]
    assert sources
    assert [arrow for arrow in arrows(sources) if not within(arrow[1], (*rooms, *below))] == []


@pytest.mark.parametrize(
    ("rooms", "below"),
    [
        (RECIPE, ()),
        (MODELS, RECIPE),
        (DATA, RECIPE),
        (OPTIMIZERS, ()),
        (METHOD, (*RECIPE, *MODELS)),
        (LEARNERS, (*RECIPE, *MODELS, *METHOD)),
        (PLANNING, (*RECIPE, *MODELS, *OPTIMIZERS, f"{TRAINERS}.settings", *METHOD)),
    ],
    ids=lambda rooms: rooms[0] if rooms else "",
)
def test_a_room_of_the_trainers_imports_only_itself_and_what_lies_below(rooms, below):
    sources = [name for name in MODULES if within(name, rooms)]
    assert sources
    among = [arrow for arrow in arrows(sources) if within(arrow[1], (TRAINERS,))]
    assert [arrow for arrow in among if not within(arrow[1], (*rooms, *below))] == []


def test_the_chain_on_the_map_is_the_one_in_the_code():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("configs → "))
    *rooms, last = line.split(" → ")
    assert last == "the foundation"
    assert len(rooms) >= 8
    used: dict[str, set[str]] = {}
    for place, room in enumerate(rooms):
        sources = [name for name in MODULES if within(name, (f"vlm_gym.{room}",))]
        assert sources, f"there is no room {room}"
        used[room] = set()
        for _, to in arrows(sources):
            used[room] |= {other for other in rooms if within(to, (f"vlm_gym.{other}",))}
        assert used[room].isdisjoint(rooms[:place])
    # Configurations name trainers by string alone.
    pairs = pairwise(rooms[1:])
    assert [pair for pair in pairs if pair[1] not in used[pair[0]]] == []


def test_trainers_name_games_and_configurations_only_by_string():
    trainers = [name for name in MODULES if within(name, (TRAINERS,))]
    assert [arrow for arrow in arrows(trainers) if within(arrow[1], (*GAMES, "vlm_gym.configs"))] == []


def test_the_core_names_games_trainers_and_configurations_only_by_string():
    assert [arrow for arrow in arrows(core()) if within(arrow[1], OUTSIDE)] == []


def test_nothing_imports_the_command_line():
    command = ("vlm_gym.cli",)
    outside = [name for name in MODULES if not within(name, command)]
    assert [arrow for arrow in arrows(outside) if within(arrow[1], command)] == []


def test_imports_run_in_no_circle():
    graph = {name: {target for _, target in arrows([name]) if target != name} for name in MODULES}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(MODULES)


def test_the_core_and_the_games_load_no_training_library_at_import():
    light = [*core(), *(name for name in MODULES if within(name, GAMES))]
    early = [(name, entry.target) for name in light for entry in imports_of(name) if not entry.lazy]
    assert [arrow for arrow in early if within(arrow[1], HEAVY)] == []


def test_games_need_numpy_alone_and_no_clock_or_chance_of_their_own():
    found = [(name, entry) for name in MODULES if within(name, GAMES) for entry in imports_of(name)]
    foreign = [
        (name, entry)
        for name, entry in found
        if entry.target.partition(".")[0] not in sys.stdlib_module_names
    ]
    assert [(name, entry) for name, entry in foreign if not within(entry.target, ("vlm_gym", "numpy"))] == []
    banned = ("random", "secrets", "uuid", "time", "datetime", "numpy.random")
    assert [(name, entry) for name, entry in found if within(entry.target, banned)] == []


SEEDED = r"(?:default_rng|Generator|SeedSequence|PCG64|Philox|SFC64)\b"
SHARED = re.compile(
    r"random\.(?!Random\b|getstate\b)"  # the standard library's generator, one for the whole process
    rf"|(np|numpy)\.random\.(?!{SEEDED}|get_state\b)"  # numpy's
    rf"|((np|numpy)\.random\.|random\.)?(Random|{SEEDED})\(\)"  # one that nobody can seed
    r"|.*\bSysFont\b"  # a font that differs by machine
)


def uses(source: str) -> list[str]:
    """List what a module calls, with `()` where it gives no arguments, and what it takes out of `random`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            found.append(ast.unparse(node.func) + ("" if node.args or node.keywords else "()"))
        elif isinstance(node, ast.ImportFrom) and node.module in {"random", "numpy.random"}:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def test_chance_is_never_shared_and_fonts_are_never_the_machines():
    used = [(name, use) for name, path in MODULES.items() for use in uses(path.read_text())]
    assert [(name, use) for name, use in used if SHARED.match(use)] == []


@pytest.mark.parametrize(
    ("code", "shared"),
    [
        ("np.random.seed(1)", True),
        ("numpy.random.rand()", True),
        ("random.choice(x)", True),
        ("from random import choice", True),
        ("from numpy.random import rand", True),
        ("np.random.default_rng()", True),
        ("default_rng()", True),
        ("random.Random()", True),
        ("pygame.font.SysFont('Arial', 3)", True),
        ("np.random.default_rng(seed)", False),
        ("np.random.Generator(np.random.PCG64(seed))", False),
        ("random.Random(seed)", False),
        ("from random import Random", False),
        ("self.np_random.integers(3)", False),
        ("rng.random()", False),
    ],
)
def test_shared_chance_is_told_from_seeded(code, shared):
    assert any(SHARED.match(use) for use in uses(code)) == shared


def test_no_file_passes_five_hundred_lines():
    files = [
        *MODULES.values(),
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "assets").rglob("*.py"),
        ROOT / "setup.py",
    ]
    assert [(str(path), n) for path in files if (n := len(path.read_text().splitlines())) > 500] == []


def test_the_rules_of_a_game_fit_in_120_lines():
    files = sorted((ROOT / "games").glob("*/game.py"))
    assert len(files) > 10
    assert [(path.parent.name, n) for path in files if (n := len(path.read_text().splitlines())) > 120] == []
