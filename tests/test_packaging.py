"""What gets installed: wheel, source distribution and checkout, each in a clean environment of its own."""

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
THIRD_PARTY = ROOT / "tests/third_party"
ROOMS = ("games", "trainers", "configs", "assets")

slow = pytest.mark.slow
# The environments are made once and shared, so these tests stay on one worker.
pytestmark = pytest.mark.xdist_group("packaging")


def run(*command, cwd, **options):
    """Run to the end and return what was said; a failure shows all of it."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


class Place(NamedTuple):
    """A virtual environment, and an empty folder to stand in."""

    folder: Path

    @property
    def python(self):
        return self.folder / "bin/python"

    @property
    def packages(self):
        (path,) = self.folder.glob("lib/python3*/site-packages")
        return path

    def install(self, *wanted):
        run(sys.executable, "-m", "pip", "--python", self.python, "install", *wanted, cwd=self.folder)

    def report(self, code):
        """Run code far from any checkout and read the JSON it prints."""
        return json.loads(run(self.python, "-c", f"import json\n{code}", cwd=self.folder))


def place(folder):
    venv.create(folder, symlinks=True, with_pip=False)
    return Place(folder)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """A copy of the repository without what git ignores, so that builds find no leftovers of ours."""
    copy = tmp_path_factory.mktemp("checkout") / "vlm-gym"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "runs")
    return shutil.copytree(ROOT, copy, ignore=ignored)


class Built(NamedTuple):
    """The files that a release uploads, and all that the build said."""

    wheel: Path
    sdist: Path
    log: str


@pytest.fixture(scope="session")
def built(checkout, tmp_path_factory):
    """A source distribution, and the wheel made from it."""
    out = tmp_path_factory.mktemp("dist")
    log = run(sys.executable, "-m", "build", "--outdir", out, cwd=checkout)
    return Built(*out.glob("*.whl"), *out.glob("*.tar.gz"), log)


@pytest.fixture(scope="session")
def dependencies(tmp_path_factory):
    """Site-packages with what vlm-gym says it needs, and nothing else."""
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    home = place(tmp_path_factory.mktemp("dependencies"))
    home.install("--constraint", ROOT / "constraints.txt", *needed)
    return home.packages


@pytest.fixture(scope="session")
def environment(dependencies, tmp_path_factory):
    """Make clean environments that see the dependencies; what else they have must be installed into them."""

    def make(name):
        made = place(tmp_path_factory.mktemp(name))
        (made.packages / "dependencies.pth").write_text(f"{dependencies}\n")
        return made

    return make


@pytest.fixture(scope="session", params=["wheel", "sdist", "editable"])
def installed(request, environment, built, checkout):
    here = environment(request.param)
    artefact = {"wheel": [built.wheel], "sdist": [built.sdist], "editable": ["--editable", checkout]}
    here.install("--no-deps", *artefact[request.param])
    origin = checkout if request.param == "editable" else here.packages
    return here, origin


@slow
def test_an_install_has_every_room(installed):
    here, origin = installed
    rooms, typed = here.report(
        "import vlm_gym, vlm_gym.games, vlm_gym.trainers, vlm_gym.configs, vlm_gym.assets\n"
        "from pathlib import Path\n"
        "rooms = [vlm_gym, vlm_gym.games, vlm_gym.trainers, vlm_gym.configs, vlm_gym.assets]\n"
        "typed = Path(vlm_gym.__file__).with_name('py.typed').is_file()\n"
        "print(json.dumps([[room.__file__ for room in rooms], typed]))"
    )
    assert all(Path(file).is_relative_to(origin) for file in rooms)
    assert typed


@slow
def test_an_install_finds_the_games_of_the_repository(installed, checkout):
    here, _ = installed
    names = here.report("from vlm_gym import registry\nprint(json.dumps(registry.names()))")
    assert names == sorted(
        path.parent.name.removeprefix("_") for path in checkout.glob("games/*/__init__.py")
    )


@slow
def test_the_command_line_answers_after_any_install(installed):
    here, _ = installed
    assert "Usage" in run(here.folder / "bin/vlm-gym", "--help", cwd=here.folder)


def data_files():
    """What git would commit and is not Python, by its place in an install."""
    which = ("--cached", "--others", "--exclude-standard", "vlm_gym", *ROOMS)
    listed = run("git", "ls-files", *which, cwd=ROOT).split("\n")
    return {
        f"vlm_gym/{name.removeprefix('vlm_gym/')}" for name in listed if name and not name.endswith(".py")
    }


@slow
def test_the_wheel_holds_cards_fonts_pictures_and_pages_and_nothing_foreign(built):
    names = set(ZipFile(built.wheel).namelist())
    assert data_files() - names == set()
    assert {name.split("/")[0] for name in names} == {
        "vlm_gym",
        built.wheel.name.split("-py3")[0] + ".dist-info",
    }
    assert [name for name in names if re.search("test|__pycache__", name)] == []


@slow
def test_the_source_distribution_builds_the_same_wheel_as_the_checkout(built, checkout, tmp_path):
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, cwd=checkout)
    (direct,) = tmp_path.glob("*.whl")
    assert ZipFile(direct).namelist() == ZipFile(built.wheel).namelist()


@slow
def test_the_source_distribution_leaves_the_tests_in_the_repository(built):
    with tarfile.open(built.sdist) as archive:
        assert [name for name in archive.getnames() if "tests" in Path(name).parts] == []


@slow
def test_the_build_warns_of_nothing_that_threatens_content(built):
    threats = re.compile("deprecat|absent from|cannot find any files|no files found", re.IGNORECASE)
    assert [line for line in built.log.splitlines() if threats.search(line)] == []


@slow
def test_a_new_game_folder_is_found_without_installing_again(environment, checkout, tmp_path):
    copy = shutil.copytree(checkout, tmp_path / "vlm-gym")
    here = environment("developer")
    here.install("--no-deps", "--editable", copy)
    shutil.copytree(THIRD_PARTY, copy / "games/lamps")
    (copy / "games/lamps/lamps.py").rename(copy / "games/lamps/__init__.py")
    title = here.report("from vlm_gym import registry\nprint(json.dumps(registry.find('lamps').title))")
    assert title == "Lamps"


@slow
def test_a_game_of_another_package_is_found_and_made(environment, built, tmp_path):
    here = environment("player")
    package = shutil.copytree(THIRD_PARTY, tmp_path / "third_party")
    here.install("--no-deps", built.wheel, package)
    module, shape = here.report(
        "import gymnasium, vlm_gym\n"
        "from vlm_gym.registry import find\n"
        "env = gymnasium.make('vlm_gym/lamps-v0')\n"
        "picture, info = env.reset(seed=1)\n"
        "print(json.dumps([type(find('lamps')).__module__, picture.shape]))"
    )
    assert module == "lamps"
    assert shape == [448, 448, 3]
    assert "FAIL" not in run(here.folder / "bin/vlm-gym", "check", "lamps", cwd=here.folder)


def test_importing_the_package_loads_nothing_heavy():
    heavy = "torch transformers trl vllm ray pygame PIL rich typer"
    code = f"import sys, vlm_gym\nprint(*[name for name in {heavy.split()} if name in sys.modules])"
    assert run(sys.executable, "-c", code, cwd=ROOT).split() == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imported_by_its_bare_name_says_what_to_import(room):
    done = subprocess.run([sys.executable, "-c", f"import {room}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"import vlm_gym.{room}" in done.stderr


def test_the_trials_of_reliability_are_those_that_the_document_names():
    named = re.findall(r"`test_(\w+)\.py`", (ROOT / "docs/reliability.md").read_text())
    (listed,) = re.findall(r"^TRIALS := (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert listed.split() == sorted(set(named))


def test_the_readme_tells_what_continuous_integration_runs():
    told = re.findall(r"^(?:\$ )?(make [a-z-]+)", (ROOT / "README.md").read_text(), re.M)
    assert {"make quickstart", "make test"} <= set(told)
    assert set(told) <= set((ROOT / ".ci/run").read_text().splitlines())
