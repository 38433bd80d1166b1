"""Human play in a browser: a real server, a real headless Chromium, real keys and clicks."""

import json
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import numpy as np
import pytest
from browsing import Reader

from vlm_gym.envs.single import GameEnv
from vlm_gym.play.browser import _invitation
from vlm_gym.play.controller import Controller
from vlm_gym.play.page import action, view
from vlm_gym.play.session import Session
from vlm_gym.prompt import hint
from vlm_gym.registry import find, names
from vlm_gym.render import layout_of
from vlm_gym.rollouts.record import Turn, fingerprint, read

pytestmark = pytest.mark.xdist_group("browser")
PLAY = (str(Path(sys.executable).with_name("vlm-gym")), "play")
PATIENCE = 20.0
ARROWS = {"up": "\ue013", "right": "\ue014", "down": "\ue015", "left": "\ue012"}
ENTER, BACKSPACE = "\ue007", "\ue003"


class Host:
    """A program that serves a game."""

    def __init__(self, record: Path, *arguments: str, before: Callable[[], None] | None = None) -> None:
        self.record = record
        self.program = subprocess.Popen(
            [*PLAY, *arguments, "--browser", "--port", "0", "--record", str(record)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,
        )
        line = self.program.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", line)
        assert found, line + self.program.stderr.read()
        self.address = found[0]

    def turns(self, count: int) -> list[Turn]:
        """Wait for this many turns on disk, and read them."""
        end = time.monotonic() + PATIENCE
        while self.record.read_text().count("\n") < count:
            assert time.monotonic() < end, f"waited {PATIENCE} s in vain for {count} turns"
            time.sleep(0.02)
        turns = list(read(self.record))
        assert len(turns) == count
        return turns

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, str]:
        """Send a request without a browser, and return its status and its body."""
        try:
            with urlopen(Request(self.address + path, body), timeout=PATIENCE) as reply:
                return reply.status, reply.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    def left(self) -> tuple[int, str]:
        """Wait until the program has ended: its exit code and its errors."""
        _, said = self.program.communicate(timeout=PATIENCE)
        return self.program.returncode, said


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    hosts = []

    def start(*arguments: str, **more) -> Host:
        hosts.append(Host(tmp_path / f"turns{len(hosts)}.jsonl", *arguments, **more))
        return hosts[-1]

    yield start
    for host in hosts:
        host.program.kill()
        host.program.communicate()


@pytest.fixture
def page(browser: Reader) -> Iterator[Callable[[Host], Reader]]:
    """Open a game's page; at the end the console has no complaint."""
    browser.resize(1280, 900)
    browser.complaints()

    def load(host: Host) -> Reader:
        browser.driver.get(host.address)
        browser.wait("the page", lambda: browser.run("return document.body.dataset.ready"))
        return browser

    yield load
    # The test itself reads the canvas often, which the browser advises on.
    assert [words for words in browser.complaints() if "willReadFrequently" not in words] == []
    browser.driver.get("about:blank")


def sees(reader: Reader, frame: np.ndarray) -> bool:
    picture = reader.picture()
    return picture.shape == frame.shape and np.array_equal(picture, frame)


def click(reader: Reader, env: GameEnv, cell: str, right: bool = False) -> None:
    """Click into the middle of a cell ``(r,c)`` of the picture, as a mouse does."""
    from selenium.webdriver import ActionChains

    row, col = map(int, re.findall(r"\d+", cell))
    where = layout_of(env.run.scene, env.look.size)
    y, x = where.cells()[(row - 1) * where.cols + col - 1]
    zoom = reader.run("return document.querySelector('canvas').clientWidth") / env.look.size
    middle = (env.look.size - where.side) / 2  # a canvas is addressed from its middle
    (canvas,) = reader.find("canvas")
    chain = ActionChains(reader.driver).move_to_element_with_offset(
        canvas, round((x - middle) * zoom), round((y - middle) * zoom)
    )
    (chain.context_click() if right else chain.click()).perform()


def type_in(reader: Reader, words: str) -> None:
    """Type on the keyboard, wherever the focus is."""
    from selenium.webdriver import ActionChains

    ActionChains(reader.driver).send_keys(words).perform()


def test_arrow_keys_play_on_the_very_picture_that_a_model_sees(serve, page):
    host, env = serve("2048", "-p", "3", "-s", "7"), GameEnv("2048", 3)
    frame, info = env.reset(seed=7)
    reader = page(host)
    for number in range(3):
        assert sees(reader, frame)
        move = info["legal"][-1]
        reader.press(ARROWS[move])
        turn = host.turns(number + 1)[-1]
        assert (turn.policy, turn.action, turn.number, turn.error) == ("human", move, number, "")
        assert (turn.reply, turn.picture) == (f"<answer>{move}</answer>", fingerprint(frame))
        assert turn.state == env.state
        frame, _, _, _, info = env.step(env.index[move])
        reader.wait("the next picture", lambda now=frame: sees(reader, now))
    assert reader.text("#score") == f"{env.state.score:g}"
    assert reader.text("#left") == str(env.run.knobs.turns - 3)


def test_two_clicks_remove_a_pair_and_a_frame_shows_the_first(serve, page):
    host, env = serve("shisen_sho", "-s", "3"), GameEnv("shisen_sho")
    frame, info = env.reset(seed=3)
    reader = page(host)
    first, second = info["legal"][-1].split()
    click(reader, env, second)  # either tile may be the first
    reader.wait("a frame around the tile", lambda: len(reader.find("#marks .picked")) == 1)
    assert sees(reader, frame), "the frame is not in the picture"
    row, col = map(int, re.findall(r"\d+", second))
    box = reader.run(
        "const a = document.querySelector('#marks .picked').getBoundingClientRect(),"
        " b = document.querySelector('canvas').getBoundingClientRect();"
        " return [a.top - b.top, a.left - b.left, a.width]"
    )
    where = layout_of(env.run.scene, env.look.size)
    y, x = where.cells()[(row - 1) * where.cols + col - 1]
    assert box == pytest.approx([y, x, where.side], abs=0.5)
    click(reader, env, first)
    (turn,) = host.turns(1)
    assert turn.action == info["legal"][-1]
    frame, *_ = env.step(env.index[turn.action])
    reader.wait("the pair to be gone", lambda: sees(reader, frame))


def test_a_small_picture_is_enlarged_exactly_and_still_takes_clicks(serve, page):
    host, env = serve("swap", "-p", "level=2,size=128"), GameEnv("swap", "level=2,size=128")
    frame, info = env.reset(seed=0)
    reader = page(host)
    assert sees(reader, frame)
    assert reader.run("return document.querySelector('canvas').clientWidth") == 3 * 128
    for cell in info["legal"][0].split():
        click(reader, env, cell)
    assert host.turns(1)[0].action == info["legal"][0]


def test_columns_are_clicked_and_pieces_turned_by_a_right_click(serve, page):
    host, env = serve("tetris", "-r", "4", "-s", "3"), GameEnv("tetris", reasoning="4")
    env.reset(seed=3)
    reader = page(host)
    click(reader, env, "(9,2)", right=True)
    reader.wait("the turn", lambda: "turned 1" in reader.text("#text"))
    click(reader, env, "(9,2)")
    assert host.turns(1)[0].action == "column 2 turned 1"


def test_actions_are_typed_letters_are_commands_and_a_space_makes_a_word_of_them(serve, page):
    host, env = serve("2048", "-r", "turns=50"), GameEnv("2048", reasoning="turns=50")
    frame, info = env.reset(seed=0)
    reader = page(host)
    type_in(reader, f" upwards{ENTER}")  # else the u would undo
    (turn,) = host.turns(1)
    assert (turn.action, turn.reply) == (None, "<answer>upwards</answer>")
    reader.wait("an explanation", lambda: reader.find("[data-about=illegal]"))
    assert "upwards" in reader.text("#text")
    move = info["legal"][0]
    type_in(reader, f" {move}x{BACKSPACE}{ENTER}")
    assert host.turns(2)[-1].action == move
    reader.press("u", "u")
    reader.wait("the first picture", lambda: sees(reader, frame))
    reader.press("h")
    reader.wait("the hint", lambda: reader.find("[data-about=hint]"))
    assert reader.text("#text") == hint(env.game, env.state)
    (new_deal,) = [button for button in reader.find("button") if "new deal" in button.text]
    new_deal.click()
    frame, info = env.reset(seed=1)
    reader.wait("the next deal", lambda: sees(reader, frame))
    reader.press(ARROWS[info["legal"][0]])
    turn = host.turns(3)[-1]
    assert (turn.episode.index, turn.number) == (1, 0)


def test_two_pages_show_one_game_and_both_play(serve, page):
    host, env = serve("2048"), GameEnv("2048")
    _, info = env.reset(seed=0)
    reader = page(host)
    first = reader.driver.current_window_handle
    reader.driver.switch_to.new_window("window")
    try:
        page(host)
        move = info["legal"][0]
        reader.press(ARROWS[move])
        frame, _, _, _, info = env.step(env.index[move])
        reader.wait("the turn", lambda: sees(reader, frame))
        reader.driver.close()
    finally:
        reader.driver.switch_to.window(first)
    reader.wait("the other's turn", lambda: sees(reader, frame))
    reader.press(ARROWS[info["legal"][0]])
    assert [turn.number for turn in host.turns(2)] == [0, 1]


def test_a_game_of_real_time_goes_on_by_itself_and_waits_while_no_page_is_open(serve, page):
    tick = find("snake").tick
    host = serve("snake", "-r", "size=12,goal=9,turns=100", "-s", "7")
    reader = page(host)
    time.sleep(3 * tick)
    assert host.record.read_text() == "", "nothing moves before the first key"
    reader.press(ARROWS["right"])
    reader.wait("turns without a key", lambda: host.record.read_text().count("\n") >= 3)
    reader.driver.get("about:blank")
    time.sleep(1 + tick)  # until the server has noticed
    count = host.record.read_text().count("\n")
    time.sleep(3 * tick)
    turns = host.turns(count)
    assert {turn.action for turn in turns} == {"right"}
    assert not turns[-1].terminated
    page(host)
    reader.wait("more turns", lambda: host.record.read_text().count("\n") > count)


def test_ctrl_c_leaves_a_whole_recording_and_the_page_says_so(serve, page):
    host = serve("2048")
    reader = page(host)
    reader.press(*ARROWS.values())
    host.turns(4)
    host.program.send_signal(signal.SIGINT)
    assert host.left() == (0, "")
    assert len(list(read(host.record))) == 4
    reader.wait("the end to be told", lambda: "ended in its terminal" in reader.text("#trouble"))


def test_a_suite_is_walked_through_on_the_page(serve, page):
    host = serve("--suite", "quick")
    reader = page(host)
    reader.press("n")  # no other deal before the end of this one
    reader.wait("an explanation", lambda: "to its end" in reader.text("#text"))
    assert not [button for button in reader.find("button") if "hint" in button.text]


def test_words_of_the_page_are_text_and_never_markup(serve, page):
    host = serve("2048")
    reader = page(host)
    type_in(reader, f" <b>x</b>{ENTER}")
    reader.wait("an explanation", lambda: "<b>x</b>" in reader.text("#text"))
    assert not reader.find("#text b")


@pytest.mark.parametrize("name", ["no_such_file", "page.py", "../page.py", "%2e%2e/page.py", "page.js/"])
def test_there_is_nothing_but_the_page(serve, name):
    host = serve("2048")
    assert host.ask(name)[0] == host.ask(name, b'{"enter": "left"}')[0] == 404


def test_without_the_token_there_is_nothing(serve):
    host = serve("2048")
    _, _, place, token, _ = host.address.split("/")
    for wrong in ("", "/", f"/{token[:-1]}", f"/{token}x", f"/x/{token}", "/é"):
        host.address = f"http://{place}{quote(wrong)}/"
        for name, body in (("", None), ("page.js", None), ("events", None), ("do", b'{"enter": "left"}')):
            status, words = host.ask(name, body)
            assert (status, words.count("\n")) == (404, 1)
    assert host.record.read_text() == ""


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"left", 400, "not JSON"),
        (b"[]", 400, "write an object with one key"),
        (b'{"fly": 1}', 400, "actions: press, click, turn, command, enter"),
        (b'{"click": [1]}', 400, "not [y, x]"),
        (b'{"click": [1, "a"]}', 400, "not a whole number"),
        (b'{"enter": 3}', 400, "not text"),
        (b'{"turn": 1}', 400, "not null"),
        (b'{"enter": "' + b"x" * 20_000 + b'"}', 400, "takes up to 10000"),
        (b" " * 70_000, 413, "at most 65536 bytes"),
        (b"\xff", 400, "not UTF-8"),
    ],
)
def test_what_is_no_action_is_one_line_and_the_game_lives_on(serve, body, status, words):
    host = serve("2048")
    told, said = host.ask("do", body)
    assert told == status
    assert words in said
    assert said.count("\n") == 1
    for harmless in (
        {"press": "f1"},
        {"command": "x"},
        {"click": [-5, 10**6]},
        {"enter": "  "},
        {"turn": None},
    ):
        assert host.ask("do", json.dumps(harmless).encode())[0] == 204
    assert host.record.read_text() == ""
    assert host.ask("do", b'{"enter": "left"}')[0] == 204
    host.turns(1)


def test_a_full_disk_ends_the_game_in_one_line(serve):
    host = serve("2048", before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500)))
    for _ in range(5):
        try:
            host.ask("do", b'{"enter": "left"}')
        except OSError:
            break
    code, said = host.left()
    assert (code, said.count("\n")) == (2, 1)
    assert "turns0.jsonl" in said or "too large" in said
    assert all(turn.policy == "human" for turn in read(host.record))


def refused(*arguments: str) -> str:
    done = subprocess.run([*PLAY, *arguments], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def test_a_port_that_is_taken_is_one_line_that_names_the_way_out(serve):
    port = serve("2048").address.split(":")[2].split("/")[0]
    line = refused("2048", "--browser", "--port", port)
    assert port in line
    assert "--port takes another one" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--browser", "--terminal"), "choose one"),
        (("--port", "80"), "add --browser"),
        (("--browser", "--host", "no.such.host.invalid"), "no page can be served at no.such.host.invalid"),
    ],
)
def test_a_mistake_is_one_line(arguments, words):
    assert words in refused("2048", *arguments)


def hands(game: str, act: str, run) -> list[dict]:
    """What a person does to play an action with keys and mouse alone."""
    where = layout_of(run.scene, run.look.size)

    def at(row: int, col: int) -> dict:
        y, x = where.cells()[(row - 1) * where.cols + col - 1]
        return {"click": [y + where.side // 2, x + where.side // 2]}

    if cells := re.findall(r"\((\d+),(\d+)\)", act):
        return [at(int(row), int(col)) for row, col in cells]
    if match := re.fullmatch(r"column (\d+)(?: turned (\d))?", act):
        offered = dict.fromkeys(word.partition(" turned ")[2] for word in run.legal)
        times = list(offered).index(match[2] or "")
        return [{"turn": None}] * times + [at(1, int(match[1]))]
    return [{"press": act}] if act in ARROWS else [{"enter": act}]


@pytest.mark.parametrize("game", names())
def test_every_game_is_played_with_keys_and_mouse(game):
    controller = Controller(Session(game, reasoning=1, seed=1))
    run = controller.session.run
    for number in range(4):
        if run.ended:
            break
        plan = run.game.solve(run.state)
        expected = run.game.step(run.state, plan.action).state
        for done in hands(game, plan.action, run):
            action(controller, done)()
        assert run.turns == number + 1
        assert run.state == expected
        assert json.loads(json.dumps(view(controller)))["turns_left"] == controller.session.turns_left


def test_beyond_loopback_the_address_names_the_machine_and_the_risk_is_told():
    told = _invitation("0.0.0.0", 8765, "token")
    assert f"http://{socket.gethostname()}:8765/token/" in told
    assert "nothing on the way is encrypted" in told
    assert "ssh -L 8765:127.0.0.1:8765" in _invitation("127.0.0.1", 8765, "token")
