"""The games behind a real server of OpenEnv, on this machine, with our client and with plain HTTP."""

import asyncio
import json
import os
import pickle
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from overhead import LIMIT, ROW, added
from serving import served

from vlm_gym.adapters.play import ENDED, begin
from vlm_gym.prompt import solution

pytest.importorskip("openenv", reason="needs openenv: `make test-adapters`")
from websockets.sync.client import connect

from vlm_gym.adapters.openenv import GameClient, GameEnvironment, ReplyAction, as_message

pytestmark = [pytest.mark.adapters, pytest.mark.slow]
SERVER = ("-m", "vlm_gym.adapters.openenv.server")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    log = tmp_path_factory.mktemp("server") / "log"
    with served([*SERVER, "--sessions", "20"], "/health", log) as running:
        yield running
    assert "Traceback" not in log.read_text()


@pytest.fixture
def client(server):
    with GameClient(base_url=server.url).sync() as connected:
        yield connected


def ask(url, data=None):
    """Send a request by HTTP, and return the JSON of the answer."""
    body = None if data is None else json.dumps(data).encode()
    request = Request(url, body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)


def refusal(url, data):
    with pytest.raises(HTTPError) as caught:
        ask(url, data)
    return caught.value.code, json.load(caught.value)


def answer(session):
    """Reply as the solver does, and now and then with nothing."""
    if len(session.turns) % 5 == 3:
        return "I do not know"
    return solution(session.run.game, session.run.state) or f"<answer>{session.run.legal[0]}</answer>"


async def check_episode(url, row):
    """Play an episode here and on a server, compare all of it, and return the number of turns."""
    session = begin(row)
    async with GameClient(base_url=url) as remote:
        result = await remote.reset(**row)
        assert as_message(result.observation) == session.message()
        while not session.ended:
            reply = answer(session)
            answered = session.answer(reply)
            result = await remote.step(reply)
            seen = result.observation
            assert (result.reward, result.done) == (answered.reward, answered.done)
            assert seen.terms == dict(answered.terms)
            assert (seen.terminated, seen.truncated) == (answered.terminated, answered.truncated)
            assert (seen.legal, seen.success) == (answered.legal, session.success)
            assert as_message(seen) == session.message()
        state = await remote.state()
        assert (state.step_count, state.total) == (len(session.turns), sum(session.rewards))
    return len(session.turns)


@pytest.mark.parametrize("game", ["2048", "sokoban", "memory", "shisen_sho_photos"])
def test_an_episode_behind_the_server_is_that_of_our_own_core(server, game):
    row = {**ROW, "game": game, "turns": 12, "weights": {"game": 1.0, "format": 0.25}}
    assert asyncio.run(check_episode(server.url, row)) > 1


def test_sixteen_sessions_play_at_once_each_its_own_episode(server):
    async def play_all():
        rows = [{**ROW, "index": index, "turns": 20} for index in range(16)]
        return await asyncio.gather(*[check_episode(server.url, row) for row in rows])

    assert sum(asyncio.run(play_all())) > 200


def processor_seconds(pid):
    """The time that processors have spent on a process. That of programs beside it does not count."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_sixteen_sessions_take_forty_steps_a_second_on_two_cores(server):
    async def play(index, moves):
        async with GameClient(base_url=server.url) as remote:
            await remote.reset(**{**ROW, "index": index})
            for move in range(moves):
                await remote.step(f"<answer>{('left', 'down', 'right', 'up')[move % 4]}</answer>")

    async def play_all():
        await asyncio.gather(*[play(index, 30) for index in range(16)])

    programs = server.process.pid, os.getpid()
    before = [processor_seconds(pid) for pid in programs]
    start = perf_counter()
    asyncio.run(play_all())
    elapsed = perf_counter() - start
    spent = [processor_seconds(pid) - first for pid, first in zip(programs, before, strict=True)]
    steps = 16 * 30
    print(f"{steps / elapsed:.0f} steps/s over 16 sessions, beside what else runs")  # noqa: T201
    print(f"{steps / max(spent):.0f} steps/s over 16 sessions, a core each for server and client")  # noqa: T201
    assert steps / max(spent) >= 40


def test_the_library_finds_nothing_wrong_with_the_server(server):
    command = [Path(sys.executable).with_name("openenv"), "validate", "--url", server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "Verdict: PASS" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    "reply",
    [None, 3, 1.5, True, ["left"], {"a": {}}, "", "left", "<answer>fly</answer>", "<answer>\ud800</answer>"],
)
def test_a_reply_that_cannot_be_played_is_a_reward_and_a_reason(client, reply):
    before = client.reset(**ROW).observation
    result = client.step(reply)
    assert result.reward < 0
    assert result.observation.text
    assert "\n" not in result.observation.text
    assert not result.observation.legal
    assert not result.done
    assert result.observation.image == before.image
    assert client.step(answer(begin(ROW))).observation.legal


def test_a_step_before_the_first_reset_is_an_outcome(client):
    result = client.step("<answer>left</answer>")
    assert (result.reward, result.done) == (0.0, True)
    assert "no episode has begun" in result.observation.text
    assert not client.reset(**ROW).done


def test_a_step_after_the_end_is_an_outcome_and_another_episode_begins(client):
    client.reset(**{**ROW, "turns": 1})
    last = client.step("<answer>left</answer>")
    assert last.observation.truncated
    again = client.step("<answer>left</answer>")
    assert (again.reward, again.done, again.observation.text) == (0.0, True, ENDED)
    assert client.state().step_count == 1
    assert not client.reset(**ROW).done


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"game": "2049"}, "did you mean '2048'"),
        ({"game": 5}, "not text"),
        ({"perception": 9}, "unknown perception level"),
        ({"reasoning": {"rows": 10**9}}, "rows"),
        ({"reasoning": "x" * 5000}, "not one line"),
        ({"split": "validation"}, "it takes train, test, free"),
        ({"index": -1}, "not a whole number"),
        ({"index": None, "seed": 1 << 63}, "not a whole number"),
        ({"game": "shisen_sho_photos", "reasoning": {"pictures": "/"}}, "cannot be set over a network"),
        ({"game": "shisen_sho_photos", "reasoning": 'pictures="/etc"'}, "cannot be set over a network"),
        ({"injected_state": "__import__('os')"}, "not an object"),
        ({"injected_state": {"state": {"knobs": {"pictures": "/"}}}}, "of another level"),
    ],
)
def test_a_row_that_cannot_be_played_is_one_line_and_the_episode_goes_on(client, change, words):
    client.reset(**ROW)
    with pytest.raises(ValueError, match=words) as caught:
        client.reset(**{**ROW, **change})
    assert "\n" not in str(caught.value)
    assert client.step(answer(begin(ROW))).observation.legal


def test_a_row_without_a_game_or_level_takes_those_of_the_server(client):
    client.reset()
    first = client.state()
    assert (first.game, first.perception, first.reasoning, first.split, first.index) == (
        "2048",
        "0",
        "2",
        "train",
        0,
    )
    client.reset()
    assert client.state().index == 1
    client.reset(seed=7)
    seeded = client.state()
    assert (seeded.split, seeded.index) == ("free", 7)
    client.reset(seed=7, split="test")
    assert (client.state().split, client.state().index) == ("test", 7)


def test_a_session_without_defaults_says_what_a_row_has_not():
    with pytest.raises(ValueError, match="the row has no 'game'"):
        GameEnvironment().reset(index=1)


def test_a_state_can_be_set_and_the_episode_goes_on_from_it(client, server):
    client.reset(**ROW)
    for move in ("left", "down", "no answer", "right"):
        client.step(f"<answer>{move}</answer>")
    state = client.state()
    with GameClient(base_url=server.url).sync() as other:
        restored = other.reset(**ROW, injected_state=state.position)
        assert other.state().position == state.position
        for move in ("up", "left", "down"):
            here = client.step(f"<answer>{move}</answer>")
            there = other.step(f"<answer>{move}</answer>")
            assert there == here
    assert restored.observation.image.startswith("data:image/png;base64,")


def test_the_tasks_of_a_split_are_rows_that_reset_takes(client, server):
    tasks = f"{server.url}/vlm_gym_env"
    assert [split["name"] for split in ask(f"{tasks}/splits")] == ["train", "test"]
    count = ask(f"{tasks}/num_tasks", {"split": "test"})["num_tasks"]
    task = ask(f"{tasks}/task", {"split": "test", "index": count - 1})["task"]
    client.reset(**task)
    assert (client.state().split, client.state().index) == ("test", count - 1)
    part = ask(f"{tasks}/task_range", {"split": "train", "start": 5, "stop": 8})["tasks"]
    assert [entry["index"] for entry in part] == [5, 6, 7]
    assert len(ask(f"{tasks}/tasks", {"split": "train"})["tasks"]) <= count
    assert refusal(f"{tasks}/task", {"split": "test", "index": count})[0] == 400
    assert refusal(f"{tasks}/num_tasks", {"split": "validation"})[0] == 400


def test_a_request_by_http_gets_one_line_for_a_row_that_cannot_be_played(server):
    code, said = refusal(f"{server.url}/reset", {"game": "2049"})
    assert code == 422
    assert "did you mean '2048'" in said["detail"]
    stepped = ask(f"{server.url}/step", {"action": {"reply": "<answer>left</answer>"}})
    assert (stepped["reward"], stepped["done"]) == (0.0, True)
    assert ask(f"{server.url}/reset", ROW)["observation"]["image"] == begin(ROW).url()


class Harmful:
    """Makes a file where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_pickle_is_never_read_and_other_sessions_live_on(client, server, tmp_path):
    mark = tmp_path / "run"
    pickle.loads(pickle.dumps(Harmful(mark)))
    mark.unlink()  # it would have run
    client.reset(**ROW)
    with connect(server.url.replace("http", "ws") + "/ws") as peer:
        peer.send(pickle.dumps(Harmful(mark)))
        assert json.loads(peer.recv(10))["type"] == "error"
    assert client.step(answer(begin(ROW))).observation.legal
    assert not mark.exists()


def test_a_busy_server_is_one_line_and_its_session_lives_on(tmp_path):
    with (
        served([*SERVER, "--sessions", "1"], "/health", tmp_path / "log") as running,
        GameClient(base_url=running.url).sync() as first,
    ):
        first.reset(**ROW)
        second = GameClient(base_url=running.url).sync()
        with pytest.raises(ConnectionError, match="is busy: ") as caught:
            second.reset(**ROW)
        assert "\n" not in str(caught.value)
        assert first.step(answer(begin(ROW))).observation.legal
        first.close()
        assert not second.reset(**ROW).done
        second.close()


def test_a_server_that_is_closed_is_one_line(tmp_path):
    with served(SERVER, "/health", tmp_path / "log") as running:
        client = GameClient(base_url=running.url).sync()
        client.reset(**ROW)
        running.process.kill()
        running.process.wait()
        for _ in range(2):  # while the session is open, and when it is opened again
            with pytest.raises(ConnectionError, match=r"127\.0\.0\.1") as caught:
                client.step("<answer>left</answer>")
            assert "\n" not in str(caught.value)
        client.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has other loopback addresses by itself")
def test_the_server_listens_on_the_loopback_address_alone(server):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.port), timeout=5)


def test_the_legal_moves_of_a_session_are_offered_to_people():
    environment = GameEnvironment()
    assert environment.web_actions({}) == []
    seen = environment.reset(**ROW)
    actions = environment.web_actions(seen.model_dump())
    assert [label for label, _ in actions] == list(begin(ROW).run.legal)
    for _, action in actions:
        environment.reset(**ROW)
        assert environment.step(ReplyAction(**action)).legal


def test_a_person_plays_on_the_web_page_by_clicks(browser, tmp_path):
    picture = "const image = document.querySelector('.oe-visual img'); return image && image.src"
    with served([*SERVER, "--web"], "/health", tmp_path / "log") as running:
        browser.driver.get(f"{running.url}/web/")
        browser.wait("the page", lambda: buttons(browser, "Reset"))
        buttons(browser, "Reset")[0].click()
        session = begin({"game": "2048", "index": 0})
        browser.wait("the first picture", lambda: browser.run(picture) == session.url())
        moves = [label.text.strip() for label in browser.find(".oe-actions label")]
        assert moves == list(session.run.legal)
        session.answer(f"<answer>{moves[0]}</answer>")
        browser.find(".oe-actions label")[0].click()
        browser.wait("the next picture", lambda: browser.run(picture) == session.url())
        assert session.words in browser.text(".oe-visual")


def buttons(browser, words):
    return [button for button in browser.find("button") if button.text.strip() == words]


def test_sessions_in_threads_draw_the_pictures_of_one_thread():
    def play(index):
        environment = GameEnvironment()
        environment.reset(**{**ROW, "index": index})
        return [
            environment.step(ReplyAction(reply=f"<answer>{word}</answer>")).image for word in ("left", "up")
        ]

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(play, range(32))) == [play(index) for index in range(32)]


def test_the_adapter_adds_less_than_a_millisecond_to_a_turn():
    def begin_turns(row):
        environment = GameEnvironment()
        environment.reset(**row)

        def turn():
            reply = f"<answer>{environment._session.run.legal[0]}</answer>"
            environment.step(ReplyAction(reply=reply)).model_dump_json()

        return turn

    assert added("openenv", begin_turns) < LIMIT


def test_the_package_loads_nothing_of_others_before_it_is_asked_for():
    code = "import sys, vlm_gym, vlm_gym.adapters.play; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"openenv", "fastapi", "uvicorn", "pydantic", "gradio"} & set(loaded.split())


def test_the_example_plays(server):
    script = Path(__file__).parents[1] / "examples" / "openenv_play.py"
    done = subprocess.run(
        [sys.executable, script, "--url", server.url, "--steps", "2"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "played 2 turns" in done.stdout, done.stderr
