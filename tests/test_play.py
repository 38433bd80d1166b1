"""Human play as a person meets it: a real window on a virtual screen, real keys and clicks, real pipes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageGrab

from vlm_gym.envs.single import GameEnv
from vlm_gym.evaluation.suite import suite
from vlm_gym.play.panel import PAPER, TINTS
from vlm_gym.play.window import HINTED, MARGIN, PICKED
from vlm_gym.prompt import hint
from vlm_gym.recordings.record import Turn, fingerprint, read
from vlm_gym.registry import find
from vlm_gym.render import Frame, draw, layout_of, look

PLAY = (str(Path(sys.executable).with_name("vlm-gym")), "play")
PATIENCE = 20.0
"""Seconds until something that should happen counts as not happening."""


def wait_for(what: str, happened: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, f"waited {PATIENCE} s in vain for {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def screen() -> Iterator[str]:
    """A virtual screen; gives its name for DISPLAY."""
    if not (shutil.which("Xvfb") and shutil.which("xdotool")):
        pytest.skip("Xvfb and xdotool are not installed (Debian packages xvfb and xdotool)")
    name, told = os.pipe()
    command = ("Xvfb", "-displayfd", str(told), "-screen", "0", "1280x900x24", "-noreset")
    server = subprocess.Popen(command, pass_fds=(told,), stderr=subprocess.DEVNULL)
    os.close(told)
    with os.fdopen(name) as pipe:
        yield f":{int(pipe.readline())}"
    server.terminate()
    server.wait()


class Person:
    """Somebody at a window, with eyes and hands."""

    def __init__(self, screen: str, record: Path, *arguments: str) -> None:
        self.screen, self.record = screen, record
        self.environ = {**os.environ, "DISPLAY": screen}
        self.environ.pop("SDL_VIDEODRIVER", None)
        self.program = subprocess.Popen(
            [*PLAY, *arguments, "--record", str(record)],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # Only once something is drawn is the window there to stay: SDL makes it anew to draw on it.
        wait_for("something to look at", lambda: self.program.poll() is not None or self.sees_color(PAPER))
        assert self.program.poll() is None, self.program.communicate()[0]
        search = ("xdotool", "search", "--onlyvisible", "--pid", str(self.program.pid))
        window = subprocess.run(search, env=self.environ, capture_output=True, text=True).stdout.strip()
        self.hand("windowmove", "--sync", window, "0", "0")
        self.hand("windowfocus", "--sync", window)
        time.sleep(0.3)  # SDL takes over the keyboard 0.2 s after it got the focus

    def hand(self, *arguments: str) -> None:
        subprocess.run(("xdotool", *arguments), env=self.environ, check=True)

    def press(self, *keys: str) -> None:
        self.hand("key", "--delay", "30", *keys)

    def type(self, words: str) -> None:
        self.hand("type", "--delay", "30", words)

    def click(self, env: GameEnv, cell: str) -> None:
        """Click into the middle of a cell ``(r,c)``."""
        scene = env.run.scene
        row, col = map(int, re.findall(r"\d+", cell))
        where = layout_of(scene, env.look)
        y, x = where.cells()[(row - 1) * scene.cols + col - 1]
        half = where.side // 2
        self.hand("mousemove", str(MARGIN + x + half), str(MARGIN + y + half), "click", "1")

    def look(self) -> Frame:
        """Return a picture of the whole screen."""
        return np.asarray(ImageGrab.grab(xdisplay=self.screen).convert("RGB"))

    def sees(self, frame: Frame) -> bool:
        """Return whether this picture is at its place on the screen, pixel for pixel."""
        height, width, _ = frame.shape
        return np.array_equal(self.look()[MARGIN : MARGIN + height, MARGIN : MARGIN + width], frame)

    def sees_color(self, code: str) -> bool:
        """Return whether this exact colour is anywhere on the screen."""
        return bool((self.look() == np.frombuffer(bytes.fromhex(code[1:]), np.uint8)).all(axis=2).any())

    def turns(self, count: int) -> list[Turn]:
        """Wait for this many turns on disk, and read them."""
        wait_for(f"{count} turns", lambda: self.record.read_text().count("\n") >= count)
        turns = list(read(self.record))
        assert len(turns) == count
        return turns

    def left(self) -> tuple[int, str]:
        """Wait until the program has ended: its exit code and all that it said."""
        said, _ = self.program.communicate(timeout=PATIENCE)
        return self.program.returncode, said


@pytest.fixture
def sit_down(screen: str, tmp_path: Path) -> Iterator[Callable[..., Person]]:
    """Start a game as a person does, with the arguments of ``vlm-gym play``."""
    people = []

    def start(*arguments: str) -> Person:
        people.append(Person(screen, tmp_path / "turns.jsonl", *arguments))
        return people[-1]

    yield start
    for person in people:
        person.program.kill()
        person.program.communicate()


def test_arrow_keys_play_on_the_very_picture_that_a_model_sees(sit_down):
    person, env = sit_down("2048", "-p", "3", "-s", "7"), GameEnv("2048", 3)
    frame, info = env.reset(seed=7)
    wait_for("the first picture", lambda: person.sees(frame))
    for number in range(3):
        move = info["legal"][-1]
        person.press(move.capitalize())
        turn = person.turns(number + 1)[-1]
        assert (turn.policy, turn.action, turn.number, turn.error) == ("human", move, number, "")
        assert (turn.reply, turn.picture) == (f"<answer>{move}</answer>", fingerprint(frame))
        assert turn.state == env.state
        frame, reward, _, _, info = env.step(env.index[move])
        assert (turn.rewards["game"], turn.score) == (reward, info["score"])
        wait_for("the next picture", lambda now=frame: person.sees(now))
    person.press("Escape")
    assert person.left() == (0, "")


def test_two_clicks_remove_a_pair_and_a_frame_shows_the_first(sit_down):
    person, env = sit_down("shisen_sho", "-s", "3"), GameEnv("shisen_sho")
    frame, info = env.reset(seed=3)
    pair = info["legal"][-1]
    first, second = pair.split()
    wait_for("the first picture", lambda: person.sees(frame))
    person.click(env, second)  # either tile may be the first
    wait_for("a frame around the tile", lambda: person.sees_color(PICKED))
    person.click(env, second)
    wait_for("the tile to be let go", lambda: person.sees(frame))
    person.click(env, second)
    person.click(env, first)
    (turn,) = person.turns(1)
    assert (turn.action, turn.number, turn.picture) == (pair, 0, fingerprint(frame))
    frame, *_ = env.step(env.index[pair])
    wait_for("the pair to be gone", lambda: person.sees(frame))


def test_two_clicks_that_are_no_legal_action_are_an_illegal_turn(sit_down):
    person, env = sit_down("shisen_sho"), GameEnv("shisen_sho")
    frame, info = env.reset(seed=0)
    pair = next(word for word in env.words if word not in info["legal"])
    for cell in pair.split():
        person.click(env, cell)
    (turn,) = person.turns(1)
    assert (turn.action, turn.rewards["game"]) == (None, env.game.illegal(env.knobs))
    assert pair in turn.error
    wait_for("an explanation", lambda: person.sees_color(TINTS["illegal"]))
    assert person.sees(frame)


def test_cells_that_cannot_become_an_action_give_way_to_the_last_one(sit_down):
    person, env = sit_down("swap"), GameEnv("swap")
    _, info = env.reset(seed=0)
    swap = info["legal"][0]
    first, second = swap.split()
    scene = env.run.scene
    cells = [f"({row},{col})" for row in range(1, scene.rows + 1) for col in range(1, scene.cols + 1)]
    near = {cell for word in env.words if {first, second} & set(word.split()) for cell in word.split()}
    far = next(cell for cell in cells if cell not in near)
    for cell in (far, first, second):
        person.click(env, cell)
    (turn,) = person.turns(1)
    assert turn.action == swap


def test_actions_are_typed_and_an_illegal_one_is_explained(sit_down):
    person, env = sit_down("2048", "-r", "turns=50"), GameEnv("2048", reasoning="turns=50")
    frame, info = env.reset(seed=0)
    move = info["legal"][0]
    person.press("space")  # else the u of "up" would undo
    person.type("upwards")
    person.press("Return")
    (turn,) = person.turns(1)
    assert (turn.action, turn.reply, turn.number) == (None, "<answer>upwards</answer>", 0)
    assert "upwards" in turn.error
    wait_for("an explanation", lambda: person.sees_color(TINTS["illegal"]))
    assert person.sees(frame)
    person.type(f" {move}x")
    person.press("BackSpace", "Return")
    turn = person.turns(2)[-1]
    assert (turn.action, turn.number) == (move, 1)


def test_undo_goes_back_turn_by_turn_and_turns_follow_with_the_earlier_number(sit_down):
    person, env = sit_down("2048"), GameEnv("2048")
    frame, info = env.reset(seed=0)
    here, other = info["legal"][0], info["legal"][1]
    person.press(here.capitalize())
    person.type(" nothing")
    person.press("Return", other.capitalize())
    person.turns(3)
    person.press("u", "u")
    after, *_ = env.step(env.index[here])
    wait_for("the picture after the first turn", lambda: person.sees(after))
    person.press("u", "u", "u")
    wait_for("the first picture", lambda: person.sees(frame))
    person.press(other.capitalize())
    turns = person.turns(4)
    assert [turn.number for turn in turns] == [0, 1, 2, 0]
    assert turns[3].state == turns[0].state
    assert turns[3].action == other


def test_the_hint_is_the_solvers_and_is_framed_on_the_window_alone(sit_down):
    person, env = sit_down("shisen_sho"), GameEnv("shisen_sho")
    frame, _ = env.reset(seed=0)
    wait_for("the first picture", lambda: person.sees(frame))
    person.press("h")
    wait_for("the hint", lambda: person.sees_color(HINTED) and not person.sees(frame))
    plan = env.game.solve(env.state)
    for cell in plan.action.split():
        person.click(env, cell)
    (turn,) = person.turns(1)
    assert (turn.action, turn.picture) == (plan.action, fingerprint(frame))


def test_the_end_takes_no_more_turns_and_n_deals_the_next_seed(sit_down):
    person, env = sit_down("2048", "-r", "turns=2", "-s", "5"), GameEnv("2048", reasoning="turns=2")
    env.reset(seed=5)
    for _ in range(2):
        move = env.run.legal[0]
        person.press(move.capitalize())
        frame, *_ = env.step(env.index[move])
    assert [turn.truncated for turn in person.turns(2)] == [False, True]
    wait_for("the end to be told", lambda: person.sees_color(TINTS["lost"]))
    person.press(*(move.capitalize() for move in env.run.legal), "n")
    frame, info = env.reset(seed=6)
    wait_for("the next deal", lambda: person.sees(frame))
    person.press(info["legal"][0].capitalize())
    turn = person.turns(3)[-1]
    assert (turn.episode.index, turn.episode.split, turn.number) == (6, "free", 0)


def test_a_small_picture_is_enlarged_exactly(sit_down):
    person, env = sit_down("2048", "-p", "level=2,size=128"), GameEnv("2048", "level=2,size=128")
    frame, _ = env.reset(seed=0)
    wait_for("the picture, three times as large", lambda: person.sees(frame.repeat(3, 0).repeat(3, 1)))


def test_a_suite_is_walked_through_in_the_window(sit_down):
    episode, *_ = suite("quick").episodes()
    person, env = sit_down("--suite", "quick"), GameEnv(episode.game, episode.perception, episode.reasoning)
    frame, info = env.reset(seed=episode.seed)
    wait_for("the first picture", lambda: person.sees(frame))
    move = info["legal"][0]
    person.press("n", move.capitalize())  # no other deal before the end of this one
    (turn,) = person.turns(1)
    assert (turn.episode, turn.action, turn.number) == (episode, move, 0)


def test_a_killed_game_leaves_every_turn_and_each_can_be_drawn_again(sit_down):
    person, env = sit_down("2048", "-p", "4"), GameEnv("2048", 4)
    env.reset(seed=0)
    for _ in range(5):
        move = env.run.legal[0]
        person.press(move.capitalize())
        env.step(env.index[move])
    person.turns(5)
    person.program.send_signal(signal.SIGKILL)
    assert person.left()[0] == -signal.SIGKILL
    for turn in person.turns(5):
        frame = draw(find("2048").scene(turn.state), look(4), turn.state.seed, turn.state.turn)
        assert fingerprint(frame) == turn.picture


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "the system's wish"])
def test_a_signal_closes_the_window_and_leaves(sit_down, way):
    person = sit_down("2048")
    person.program.send_signal(way)
    assert person.left() == (0, "")


@pytest.mark.parametrize("display", [None, ":4095"], ids=["no display", "a display that is not there"])
def test_without_a_display_the_error_names_the_terminal(display, tmp_path):
    environ = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "SDL_VIDEODRIVER")}
    environ |= {"XDG_RUNTIME_DIR": str(tmp_path)} | ({"DISPLAY": display} if display else {})
    done = subprocess.run([*PLAY, "2048"], env=environ, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "--terminal" in line


def in_terminal(*arguments: str, lines: str = "") -> subprocess.CompletedProcess[str]:
    """Play through pipes, on a machine without a display."""
    environ = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    command = [*PLAY, *arguments, "--terminal"]
    return subprocess.run(command, env=environ, input=lines, capture_output=True, text=True, timeout=PATIENCE)


def test_the_terminal_plays_in_words_and_ends_with_its_input(tmp_path):
    env = GameEnv("2048")
    _, info = env.reset(seed=4)
    move, record = info["legal"][0], tmp_path / "turns.jsonl"
    lines = f"{move}\nsideways\nu\nu\nh\n {move}\nn\n"
    done = in_terminal("2048", "--seed", "4", "--record", str(record), lines=lines)
    assert (done.returncode, done.stderr) == (0, "")
    assert hint(env.game, env.state) in done.stdout
    assert "'sideways' is not a legal action" in done.stdout
    assert "seed 5" in done.stdout
    assert "\x1b" not in done.stdout
    turns = list(read(record))
    assert [(turn.number, turn.action) for turn in turns] == [(0, move), (1, None), (0, move)]
    assert turns[0].state == turns[2].state == env.state


def test_q_leaves_the_terminal():
    done = in_terminal("2048", lines="q\nleft\n")
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_leaves_the_terminal():
    program = subprocess.Popen(
        [*PLAY, "2048", "--terminal"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    program.stdout.readline()  # it is up and plays
    time.sleep(0.3)
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=PATIENCE)
    assert (program.returncode, said) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        (("3048",), "did you mean '2048'"),
        (("2048", "-p", "9"), "levels: 0, 1, 2, 3, 4"),
        (("2048", "-r", "siez=4"), "did you mean 'size'"),
        (("2048", "-s", "-1"), "from 0 to 2^63 - 1"),
    ],
    ids=["game", "perception", "reasoning", "seed"],
)
def test_a_mistake_ends_in_one_line_with_the_choices(arguments, choices):
    done = in_terminal(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert choices in line
