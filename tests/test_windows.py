"""An environment's window: on a real screen, beside those of other libraries, copied, and at its own pace."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import ImageGrab
from test_play import screen, wait_for

from vlm_gym.envs.single import GameEnv
from vlm_gym.render import Frame

__all__ = ["screen"]

LOOP = "import sys\nfor line in sys.stdin: exec(line); print('done', flush=True)"
"""A program that executes what it is sent, line by line."""

BEGIN = "import copy, gc, pickle, time, gymnasium as gym, pygame, vlm_gym"


class Program:
    """A Python program on a virtual screen, told line by line what to do."""

    def __init__(self, screen: str) -> None:
        self.screen = screen
        self.environ = {**os.environ, "DISPLAY": screen, "SDL_AUDIODRIVER": "dummy"}
        self.environ.pop("SDL_VIDEODRIVER", None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", LOOP],
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.do(BEGIN)

    def do(self, line: str) -> list[str]:
        """Execute a line; returns what it printed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        printed = []
        for answer in self.process.stdout:
            if answer == "done\n":
                return printed
            printed.append(answer.strip())
        raise AssertionError(f"the program ended over {line!r} after {printed}")

    def windows(self) -> int:
        """Count the windows of the program that are on the screen."""
        search = ("xdotool", "search", "--onlyvisible", "--pid", str(self.process.pid))
        return len(subprocess.run(search, env=self.environ, capture_output=True, text=True).stdout.split())

    def shows(self, frame: Frame) -> bool:
        """Check whether this picture is in the middle of the screen, where SDL opens windows."""
        pixels = np.asarray(ImageGrab.grab(xdisplay=self.screen).convert("RGB"))
        top = (pixels.shape[0] - frame.shape[0]) // 2
        left = (pixels.shape[1] - frame.shape[1]) // 2
        return np.array_equal(pixels[top : top + frame.shape[0], left : left + frame.shape[1]], frame)


@pytest.fixture
def program(screen: str) -> Iterator[Program]:
    started = Program(screen)
    yield started
    started.process.kill()
    started.process.communicate()


def twin(seed: int, *actions: int) -> Callable[[], Frame]:
    """Make an environment without a window; each call plays the next action and returns the picture."""
    env = GameEnv("2048")
    frame, _ = env.reset(seed=seed)
    frames = [frame, *(env.step(action)[0] for action in actions)]
    return iter(frames).__next__


MODE = "pygame.display.set_mode((448, 448))"
ENDS = {
    "another environment is closed": "other.close()",
    "pygame ends": "pygame.quit()",
    "the display ends": "pygame.display.quit()",
    "the display ends and begins": "pygame.display.quit(); pygame.display.init(); " + MODE,
    "pygame ends and begins": "pygame.quit(); pygame.init(); " + MODE,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_window_comes_back_where_others_end_the_display(program: Program, end: str) -> None:
    frame = twin(1, 0, 3)
    program.do("env = gym.make('vlm_gym/2048-v0', render_mode='human'); env.reset(seed=1)")
    first = frame()
    wait_for("the first picture", lambda: program.shows(first))
    assert program.windows() == 1
    program.do("other = gym.make('CartPole-v1', render_mode='human'); other.reset(seed=1); other.step(0)")
    program.do(end)
    for action in (0, 3):
        program.do(f"env.step({action})")
        shown = frame()
        wait_for("the next picture", lambda shown=shown: program.shows(shown))
    count = program.windows()
    program.do("env.close(); env.close()")
    wait_for("the window to go", lambda: program.windows() == count - 1)
    program.do("env.reset(seed=1)")
    wait_for("the first picture", lambda: program.shows(first))


GONE = """
import gc
import numpy as np
import pygame
from vlm_gym.envs.display import Window

picture = np.full((60, 50, 3), 200, np.uint8)

def use(way, ours):
    if way == "close":
        ours.close()
    elif way == "show":
        ours.show(picture + 1)

for way in ("close", "show", "drop"):
    for _ in range(15):
        pygame.display.init()
        ours = Window("ours", 50, 60)
        ours.show(picture)
        pygame.display.quit()
        pygame.display.init()
        theirs = [pygame.Window(f"theirs {n}", (50, 60)) for n in range(4)]
        for window in theirs:
            window.get_surface().fill("black")
        use(way, ours)
        del ours
        gc.collect()
        for number, window in enumerate(theirs):
            assert window.title == f"theirs {number}", way
            assert window.get_surface().get_at((5, 5))[:3] == (0, 0, 0), way
            window.destroy()
        pygame.display.quit()
"""


def test_a_window_that_is_gone_is_never_taken_for_another() -> None:
    """SDL gives a new window the number, and often the address, of one that ended with the display."""
    environ = {**os.environ, "SDL_VIDEODRIVER": "dummy"}
    done = subprocess.run([sys.executable, "-c", GONE], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


DRAW = """
import numpy as np
import pygame
from vlm_gym.play.session import Session
from vlm_gym.play.window import GameWindow

table = GameWindow(Session("2048"))
table.draw()
drawn = pygame.surfarray.array3d(table.window.surface)
for begin in (lambda: None, pygame.init, pygame.font.init):
    pygame.quit()
    begin()
    table.draw()
    assert np.array_equal(pygame.surfarray.array3d(table.window.surface), drawn)
"""


def test_human_play_goes_on_where_others_end_pygame() -> None:
    environ = {**os.environ, "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
    done = subprocess.run([sys.executable, "-c", DRAW], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("way", ["copy.deepcopy(env)", "pickle.loads(pickle.dumps(env))"])
@pytest.mark.parametrize("wrap", ["", "vlm_gym.TextEnv"])
def test_a_copy_plays_on_alike_in_a_window_of_its_own(program: Program, way: str, wrap: str) -> None:
    program.do(
        f"env = {wrap}(gym.make('vlm_gym/2048-v0', perception=3, render_mode='human')); env.reset(seed=1)"
    )
    moves = ("'<answer>left</answer>'", "'<answer>up</answer>'") if wrap else ("3", "0")
    program.do(f"env.step({moves[0]}); twin = {way}")
    assert program.windows() == 1
    program.do(f"one = env.step({moves[1]}); two = twin.step({moves[1]})")
    assert program.do("print(env.unwrapped.state == twin.unwrapped.state, one[1:4] == two[1:4])") == [
        "True True"
    ]
    wait_for("two windows", lambda: program.windows() == 2)
    program.do("env.close()")
    wait_for("one window", lambda: program.windows() == 1)
    program.do("twin.render(); twin.close()")


def test_every_picture_is_seen_for_as_long_as_the_metadata_says(program: Program) -> None:
    program.do("env = gym.make('vlm_gym/2048-v0', render_mode='human', reasoning={'turns': 100})")
    program.do("start = time.monotonic(); env.reset(seed=1)")
    program.do("[env.step(n) for n in (0, 3, 0, 3)]; took = time.monotonic() - start")
    (seconds,) = program.do("print(took)")
    assert 1.0 <= float(seconds) < 3.0  # four pictures of 1/4 second each, and the last is not waited for
    program.do("start = time.monotonic(); [env.render() for _ in range(20)]; took = time.monotonic() - start")
    (seconds,) = program.do("print(took)")
    assert float(seconds) < 1.0  # the same picture is on the screen already
    program.do("env.unwrapped.metadata = {**env.unwrapped.metadata, 'render_fps': 50}; env.close()")
    program.do(
        "start = time.monotonic(); [env.step(n % 4) for n in range(25)]; took = time.monotonic() - start"
    )
    (seconds,) = program.do("print(took)")
    assert 0.2 < float(seconds) < 3.0


def test_without_a_screen_an_environment_can_still_be_copied() -> None:
    code = (
        "import os, pickle, gymnasium as gym, vlm_gym; os.environ['SDL_VIDEODRIVER'] = 'dummy';"
        "env = gym.make('vlm_gym/2048-v0', render_mode='human'); env.reset(seed=1);"
        "sys = __import__('sys'); sys.stdout.buffer.write(pickle.dumps(env))"
    )
    kept = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    environ = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "SDL_VIDEODRIVER")}
    load = (
        "import sys, pickle; env = pickle.load(sys.stdin.buffer); print(env.unwrapped.state.seed)\n"
        "try: env.step(0)\nexcept RuntimeError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", load], input=kept, env=environ, capture_output=True)
    seed, told = done.stdout.decode().splitlines()
    assert seed == "1"
    assert "no window can be opened here" in told
