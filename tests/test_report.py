"""Pages as a reader meets them: in a real browser, from a file, with clicks and keys."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import Reader
from recordings import Pupil, record

from vlm_gym.actions import parse_for
from vlm_gym.episode import Episode
from vlm_gym.evaluation.judge import KINDS, judge
from vlm_gym.game import Game, State
from vlm_gym.registry import find
from vlm_gym.render import draw, look
from vlm_gym.replays.replay import Play, plays
from vlm_gym.report import replay as page
from vlm_gym.report.viewer import Judged, gather, share
from vlm_gym.rollouts.policy import Baseline
from vlm_gym.rollouts.reward import thinking
from vlm_gym.scene import Scene, Symbol

pytestmark = pytest.mark.xdist_group("browser")
GAMES = ("2048", "shisen_sho", "swap")
EPISODES = [
    Episode(game, level, "0", "test", index) for index in range(2) for level in ("0", "4") for game in GAMES
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> list[Play]:
    folder = tmp_path_factory.mktemp("runs")
    policies = Pupil(), Baseline("random"), Baseline("solver")
    return [
        play
        for policy in policies
        for play in plays(record(folder / f"{policy.name}.jsonl", policy, EPISODES))
    ]


@pytest.fixture(scope="module")
def file(recorded, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page("Three <policies>", recorded), encoding="utf-8")
    return path


@pytest.fixture
def reader(browser: Reader, file: Path) -> Iterator[Reader]:
    """A reader at the page, on a laptop, who looks at the console when done."""
    browser.resize(1400, 900)
    browser.darken("light")
    browser.open(file)
    browser.complaints()
    yield browser
    assert browser.complaints() == []


def test_the_page_asks_for_nothing_but_itself(reader, file):
    reader.picture()
    assert (
        reader.run(
            "return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length"
        )
        == 0
    )
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", file.read_text())
    assert reader.driver.title == "Three <policies>"
    assert reader.text("h1") == "Three <policies>"


@pytest.mark.parametrize("number", range(len(EPISODES) // 2))
def test_the_picture_is_the_one_a_model_sees_pixel_for_pixel(reader, file, recorded, number):
    play = recorded[number]
    turn = play.turns[-1]
    reader.open(file, f"#{number}/{len(play.turns)}")
    seen = look(play.episode.perception)
    frame = draw(find(play.episode.game).scene(turn.state), seen, turn.state.seed, turn.state.turn)
    assert np.array_equal(reader.picture(), frame)


def test_a_small_board_in_a_large_picture_is_shown_pixel_for_pixel(browser, tmp_path):
    episode = Episode("shisen_sho", "level=0,size=256,cell=32", "0", "test", 0)
    (play,) = plays(record(tmp_path / "solver.jsonl", Baseline("solver"), [episode]))
    file = tmp_path / "page.html"
    file.write_text(page("Small", [play]), encoding="utf-8")
    browser.open(file, "#0/2")
    state = play.turns[1].state
    frame = draw(find("shisen_sho").scene(state), look(episode.perception), state.seed, state.turn)
    assert np.array_equal(browser.picture(), frame)


def test_keys_and_buttons_go_from_turn_to_turn(reader, recorded):
    turns = len(recorded[0].turns)
    at = lambda turn: (reader.text("#where"), reader.place) == (f"{turn} of {turns}", f"#0/{turn}")  # noqa: E731
    right, left, home, end = "\ue014", "\ue012", "\ue011", "\ue010"
    assert at(1)
    reader.press(left)
    assert at(1)
    reader.press(right, right)
    assert at(3)
    reader.press(left)
    assert at(2)
    reader.press(end, right)
    assert at(turns)
    assert not reader.find("#next")[0].is_enabled()
    reader.press(home)
    assert at(1)
    reader.click("#next")
    assert at(2)
    reader.click("#back")
    assert at(1)


def test_the_slider_scrubs(reader, recorded):
    from selenium.webdriver import ActionChains

    turns, slider = len(recorded[0].turns), reader.find("#slider")[0]
    width = slider.size["width"]
    for turn in (turns - 2, 2):
        ActionChains(reader.driver).move_to_element_with_offset(
            slider, int((turn - 0.5) / turns * width - width / 2), 0
        ).click().perform()
        assert reader.place == f"#0/{turn}"


def test_play_runs_to_the_end_and_pauses(reader, recorded):
    turns = len(recorded[0].turns)
    reader.press("\ue010", "\ue012", " ")
    assert reader.find("#play")[0].get_attribute("aria-label") == "Pause"
    reader.wait("the end", lambda: reader.text("#where") == f"{turns} of {turns}")
    reader.wait("the pause", lambda: reader.find("#play")[0].get_attribute("aria-label") == "Play")
    reader.press("\ue011")
    reader.click("#play")
    reader.click("#play")
    here = reader.text("#where")
    time.sleep(1)
    assert reader.text("#where") == here


def test_a_turn_tells_reply_verdict_solver_and_rewards(reader, file, recorded):
    number, play, turn, verdict = next(
        (number, play, turn, verdict)
        for number, play in enumerate(recorded)
        for turn in play.turns
        if (verdict := judge(turn)).kind == "misread"
    )
    reader.open(file, f"#{number}/{turn.number + 1}")
    assert reader.text(".verdict b") == "misread"
    assert reader.text(".reply") == turn.reply
    assert reader.text(".reply .answer:not(.tag)") == turn.action
    assert [tag.text for tag in reader.find(".reply .tag")] == re.findall("</?[a-z]{5,}>", turn.reply)
    assert reader.find(".reply b") == [], "a reply is text and never becomes a part of the page"
    game = find(play.episode.game)
    scene = game.scene(turn.state)
    sight = turn.reply.split("<perception>")[1].split("</perception>")[0]
    cells = reader.find(".truth td")
    assert [cell.get_attribute("class") == "wrong" for cell in cells] == [
        index in scene.misread(sight) for index in range(len(scene.cells))
    ]
    told = dict(
        zip([e.text for e in reader.find("dt")], [e.text for e in reader.find("dl > dd")], strict=True)
    )
    assert told["Action"] == turn.action
    assert told["Solver"].split("\n") == [verdict.best, *_thought(game, turn.state)]
    assert float(told["Value lost"]) == pytest.approx(verdict.lost, abs=5e-4)
    assert told["Score"] == f"{turn.score:g} {game.unit}"
    terms = {row.split()[0]: float(row.split()[1].replace("−", "-")) for row in _rows(told["Rewards"])}
    assert terms == pytest.approx(dict(turn.rewards), abs=5e-4)
    reader.click(".told summary")
    assert reader.text(".prompt").startswith(game.title)


def _thought(game: Game[Any], state: State) -> tuple[str, ...]:
    thought = game.think(state)
    return () if thought is None else thought.steps


def _rows(text: str) -> list[str]:
    words = text.split()
    return [" ".join(words[start : start + 2]) for start in range(0, len(words), 2)]


def test_filters_leave_what_is_asked_for(reader, recorded):
    reader.choose("select[name=game]", "swap")
    reader.choose("select[name=who]", "pupil")
    wanted = [play for play in recorded if play.episode.game == "swap" and play.policy == "pupil"]
    assert reader.text("#count") == f"{len(wanted)} episodes"
    assert reader.text("#head h2").startswith("Swap")
    reader.click("#kinds input[value=misformatted]")
    count = sum(judge(turn).kind == "misformatted" for play in wanted for turn in play.turns)
    assert reader.text("#count").startswith(f"{count} misformatted turn")
    assert reader.text(".verdict b") == "misformatted"
    down = "\ue015"
    places = set()
    for _ in range(min(count, 4)):
        places.add(reader.place)
        assert reader.text(".verdict b") == "misformatted"
        reader.press(down)
    assert len(places) == min(count, 4)
    assert "game=swap" in reader.place
    assert "kind=misformatted" in reader.place
    assert reader.find(".entry[aria-selected=true]")


def test_the_counts_of_kinds_are_those_of_the_judge(reader, recorded):
    kinds = [judge(turn).kind for play in recorded for turn in play.turns]
    shown = [int(label.text.split()[-1].replace(",", "")) for label in reader.find("#kinds label")]
    assert shown == [len(kinds), *map(kinds.count, KINDS)]


def test_an_address_leads_back_to_turn_filter_and_rival(reader, file):
    reader.choose("#rival", str(len(EPISODES)))
    reader.press("\ue014", "\ue014")
    address, words = reader.place, reader.text("#panels")
    assert address == f"#0/3/{len(EPISODES)}"
    reader.open(file, f"{address}?game=2048")
    assert reader.text("#panels") == words
    assert reader.run("return document.querySelector('#filter').elements.game.value") == "2048"
    reader.run("location.hash = '#1/2'")
    reader.wait("the other turn", lambda: reader.text("#where").startswith("2 of"))
    for nonsense in ("#999/1", "#x/y/z", "#?kind=unheard", "#/", "#0/999"):
        reader.open(file, nonsense)
        assert reader.find(".panel")


def test_two_policies_are_compared_on_the_same_deal(reader, recorded):
    rivals = [option.text for option in reader.find("#rival option")]
    assert rivals == ["nobody", "random", "solver"]
    reader.choose("#rival", str(2 * len(EPISODES)))
    assert [heading.text.split(":")[0] for heading in reader.find(".panel h3")] == ["pupil", "solver"]
    assert np.array_equal(reader.picture(0), reader.picture(1)), "both begin with the same deal"
    assert reader.text(".panel:last-child .reply") == recorded[2 * len(EPISODES)].turns[0].reply
    reader.choose("#rival", "")
    assert len(reader.find(".panel")) == 1


def test_pointing_at_a_word_rings_its_cell_in_the_picture(reader):
    from selenium.webdriver import ActionChains

    cell, ring = reader.find(".truth td")[5], reader.find(".frame i")[0]
    assert not ring.is_displayed()

    def pointed():
        # The page may still be laid out anew, so that a single move lands beside the word.
        ActionChains(reader.driver).move_by_offset(1, 1).move_to_element(cell).perform()
        return ring.is_displayed()

    reader.wait("the ring", pointed)
    canvas = reader.find("canvas")[0]
    side = canvas.size["width"] / 4
    assert ring.location["x"] - canvas.location["x"] == pytest.approx(side, abs=2)
    assert ring.location["y"] - canvas.location["y"] == pytest.approx(side, abs=2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 820, 1400])
def test_it_fits_phones_and_laptops_in_light_and_dark(reader, file, width, scheme):
    reader.resize(width, 844)
    reader.darken(scheme)
    for place in ("#1/2", f"#1/2/{len(EPISODES) + 1}"):
        reader.open(file, place)
        assert reader.run("return document.documentElement.scrollWidth") <= width
    paper = reader.run("return getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper))) < 384) == (scheme == "dark")
    assert reader.find("#browse[open]") == [] if width == 390 else reader.find("#browse[open]")


@pytest.mark.slow
@pytest.mark.long
def test_five_thousand_turns_open_and_scrub_at_once(browser, tmp_path):
    episodes = [Episode("shisen_sho", "0", "0", "test", index) for index in range(320)]
    many = plays(record(tmp_path / "many.jsonl", Baseline("random"), episodes))
    assert sum(len(play.turns) for play in many) > 5000
    file = tmp_path / "many.html"
    file.write_text(page("Many", many), encoding="utf-8")
    assert file.stat().st_size < 5e6
    browser.resize(1400, 900)
    begun = time.monotonic()
    browser.open(file)
    browser.picture()
    assert time.monotonic() - begun < 20
    assert len(browser.find(".entry")) < 60, "only entries in sight are in the document"
    browser.press("\ue015")
    browser.run("document.querySelector('#list').scrollTop = 1e9")
    browser.wait("the end of the list", lambda: "test 319" in browser.text("#list"))
    begun = time.monotonic()
    browser.run("for (let i = 0; i < 100; i++) stepEntry(3); for (let i = 0; i < 100; i++) step(1)")
    assert browser.place == f"#301/{len(many[301].turns)}"
    browser.picture()
    assert time.monotonic() - begun < 20
    assert browser.complaints() == []


def test_a_page_shares_its_turns_out_evenly_and_tells_what_it_left_out(recorded, browser, tmp_path):
    judged = [Judged.of(play) for play in recorded]
    chosen = share(judged, sum(len(play.turns) for play in recorded) // 2)
    kinds = {(play.policy, play.episode.game, play.episode.perception) for play in recorded}
    assert {(who, play.episode.game, play.episode.perception) for play, who, _ in chosen} == kinds
    assert len(chosen) < len(judged)
    assert share(judged, 10**9) == judged
    assert len(share(judged, 1)) == 1
    (tmp_path / "few.html").write_text(page("Few", recorded, max_turns=1), encoding="utf-8")
    browser.open(tmp_path / "few.html")
    left = sum(len(play.turns) for play in recorded[1:])
    assert f"1 episode; {left:,} more turns" in browser.text("#count")


def test_equal_recordings_make_equal_pages(recorded):
    assert page("Same", recorded[:2]) == page("Same", recorded[:2])


def test_tiles_are_kept_once(recorded):
    data, mosaic = gather([Judged.of(play) for play in recorded if play.episode.perception == "0"])
    assert len(mosaic.places) == len(set(mosaic.places)) == len(data["words"])
    per_game = dict.fromkeys(GAMES, 0)
    for play in data["plays"]:
        per_game[play["game"]] = max(
            per_game[play["game"]], len({tile for turn in play["turns"] for tile in turn["cells"]})
        )
    assert len(mosaic.places) <= 12 + 37 + 13


def test_misread_cells_are_those_that_a_description_gets_wrong():
    two, four = Symbol("number", "2"), Symbol("number", "4")
    scene = Scene(2, 2, (two, None, four, two))
    assert scene.misread(" 2|- \n4 | 2") == {}
    assert scene.misread("2 | 4\n- | 2") == {1: "4", 2: "-"}
    assert scene.misread("2") == {1: "", 2: "", 3: ""}
    assert scene.misread("2 | - | 9\n4 | 2\n8") == {}, "cells too many are no cells of the board"


def test_the_pages_parts_stay_small_enough_to_read():
    folder = Path(__file__).parents[1] / "vlm_gym/report"
    for name in ("page.js", "panel.js"):
        assert len((folder / name).read_text().splitlines()) < 400
    assert len((folder / "page.css").read_text().splitlines()) < 200


def test_false_sentences_are_marked(browser, tmp_path):
    plays_of = plays(record(tmp_path / "turns.jsonl", Pupil(), EPISODES))
    found = [
        (number, turn, verdict)
        for number, play in enumerate(plays_of)
        for turn in play.turns
        if (verdict := judge(turn)).kind == "misthought"
    ]
    assert found, "the pupil says nothing false"
    file = tmp_path / "page.html"
    file.write_text(page("Thoughts", plays_of), encoding="utf-8")
    for number, turn, verdict in found[:2]:
        browser.open(file, f"#{number}/{turn.number + 1}")
        game = find(turn.episode.game)
        marks = thinking(game, turn.state, parse_for(game, turn.state, turn.reply))
        false = [mark.words for mark in marks if mark.kind == "false"]
        assert browser.text(".reply") == turn.reply
        assert [mark.text for mark in browser.find(".reply mark")] == false
        assert verdict.thought == pytest.approx(1 - len(false) / len(marks))
        assert f"{len(false)} false in the thought" in browser.text(".verdict span")
