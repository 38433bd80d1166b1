"""Human play in a browser: a real server, a real headless Chromium, real keys and clicks."""

import re
import signal
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from browsing import Reader
from hosting import ARROWS, Host

from vlm_gym.envs.single import GameEnv
from vlm_gym.prompt import hint
from vlm_gym.recordings.record import fingerprint, read
from vlm_gym.registry import find
from vlm_gym.render import layout_of

pytest.importorskip("uvicorn", reason="the extra `browser` is not installed")
pytestmark = pytest.mark.xdist_group("browser")
ENTER = "\ue007"
BACKSPACE = "\ue003"


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
    where = layout_of(env.run.scene, env.look)
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
    where = layout_of(env.run.scene, env.look)
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


def test_a_late_reply_to_a_key_press_does_not_hide_that_the_game_ended(serve, page):
    host = serve("2048")
    reader = page(host)
    reader.run(
        "const real = window.fetch; window.late = 0;"
        "window.fetch = async (...request) => {"
        "  const reply = await real(...request);"
        "  await new Promise((go) => { window.answer = go; });"
        "  setTimeout(() => { window.late = 1; }, 50);"
        "  return reply;"
        "}"
    )
    reader.press(ARROWS["left"])
    reader.wait("the reply", lambda: reader.run("return Boolean(window.answer)"))
    host.program.send_signal(signal.SIGINT)
    assert host.left() == (0, "")
    reader.wait("the end to be told", lambda: "ended in its terminal" in reader.text("#trouble"))
    reader.run("window.answer()")
    reader.wait("the late reply", lambda: reader.run("return window.late"))
    assert "ended in its terminal" in reader.text("#trouble")


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
