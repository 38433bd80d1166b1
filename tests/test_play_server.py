"""The server of human play: what it answers without its page, and how it ends."""

import asyncio
import json
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import quote, urlsplit

import pytest
from hosting import ARROWS, PATIENCE, PLAY

from vlm_gym.play.app import Page
from vlm_gym.play.controller import Controller
from vlm_gym.play.page import page_view, read_action
from vlm_gym.play.session import Session
from vlm_gym.recordings.record import read
from vlm_gym.registry import names
from vlm_gym.render import layout_of

pytest.importorskip("uvicorn", reason="the extra `browser` is not installed")
from vlm_gym.play.browser import _invitation

pytestmark = pytest.mark.xdist_group("browser")


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


def place(host):
    where = urlsplit(host.address)
    return where.hostname, where.port


def begin_action(host, body):
    """Send an action but for the last byte of its body, and wait until the server reads it."""
    connection = socket.create_connection(place(host), timeout=PATIENCE)
    path = urlsplit(host.address).path
    head = f"POST {path}do HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    connection.sendall(head.encode())
    assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
    connection.sendall(body[:-1])
    return connection


def interrupt(host):
    """Press Ctrl-C, and wait until the server takes no further connection."""
    host.program.send_signal(signal.SIGINT)
    end = time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < end
        try:
            socket.create_connection(place(host), timeout=PATIENCE).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)


def test_ctrl_c_sends_the_reply_in_progress_first_and_plays_no_further_action(serve):
    host = serve("2048")
    assert host.ask("do", b'{"enter": "left"}')[0] == 204
    with begin_action(host, b'{"enter": "up"}') as connection:
        interrupt(host)
        assert host.program.poll() is None, "it does not wait for the reply"
        connection.sendall(b"}")
        assert connection.recv(1000).startswith(b"HTTP/1.1 204 ")
    assert host.left() == (0, "")
    assert len(list(read(host.record))) == 1


def test_a_request_that_never_ends_holds_the_end_up_for_some_seconds_at_most(serve):
    host = serve("2048")
    with begin_action(host, b'{"enter": "up"}'):
        interrupt(host)
        assert host.left() == (0, "")


def test_a_second_ctrl_c_ends_the_game_at_once(serve):
    host = serve("2048")
    with begin_action(host, b'{"enter": "up"}'):
        interrupt(host)
        host.program.send_signal(signal.SIGINT)
        assert host.left() == (130, "")


def test_the_page_without_its_extra_is_one_line_that_names_it(tmp_path):
    code = "import sys; sys.modules['uvicorn'] = None; from vlm_gym.cli import main; main()"
    record = tmp_path / "turns.jsonl"
    command = [sys.executable, "-c", code, "play", "2048", "--browser", "--record", str(record)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert 'needs uvicorn, an extra: pip install "vlm-gym[browser]"' in done.stderr
    assert not record.exists()


def test_the_application_takes_no_other_protocol_and_the_game_lives_on():
    page = Page(Controller(Session("2048")))
    with pytest.raises(ValueError, match="this page answers http, not lifespan"):
        asyncio.run(page({"type": "lifespan"}, None, None))
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(page.play(), 0.5))


def test_the_application_needs_no_extra():
    hidden = "import sys; sys.modules.update(dict.fromkeys(('fastapi', 'starlette', 'uvicorn', 'openai')))"
    loaded = "import vlm_gym.play.app, vlm_gym.cli"
    done = subprocess.run([sys.executable, "-c", f"{hidden}; {loaded}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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
    where = layout_of(run.scene, run.look)

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
            read_action(controller, done)()
        assert run.turns == number + 1
        assert run.state == expected
        assert json.loads(json.dumps(page_view(controller)))["turns_left"] == controller.session.turns_left


def test_beyond_loopback_the_address_names_the_machine_and_the_risk_is_told():
    told = _invitation("0.0.0.0", 8765, "token")
    assert f"http://{socket.gethostname()}:8765/token/" in told
    assert "nothing on the way is encrypted" in told
    assert "ssh -L 8765:127.0.0.1:8765" in _invitation("127.0.0.1", 8765, "token")
