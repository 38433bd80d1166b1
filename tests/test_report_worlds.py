"""The viewer shows objects and notes, pixel for pixel, in a real browser."""

from pathlib import Path

import numpy as np
import pytest
from browsing import Reader
from worlds import throw

from vlm_gym import registry
from vlm_gym.episode import Episode
from vlm_gym.recordings.record import Recorder
from vlm_gym.render import draw, look
from vlm_gym.replays.replay import plays
from vlm_gym.report import replay as page
from vlm_gym.rollouts.policy import Request
from vlm_gym.rollouts.rollout import rollout

pytestmark = pytest.mark.xdist_group("browser")


class Careless:
    """Throws the same way each time, and misreads the last note and an object."""

    name = "careless"
    sees = False
    portable = True

    def act(self, requests: list[Request]) -> list[str]:
        replies = []
        for request in requests:
            words = request.game.scene(request.state).describe()
            words = words.replace("near enough: half a cell", "far").replace("goal", "mine")
            replies.append(f"<perception>{words}</perception><think>.</think><answer>0 1</answer>")
        return replies


@pytest.mark.parametrize("level", [0, 4])
def test_objects_and_notes_are_shown_as_a_model_sees_them_and_what_was_misread(
    level: int, browser: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = {**registry._sources(), "throw": "worlds.throw"}
    monkeypatch.setattr(registry, "_sources", lambda: sources)
    registry.find.cache_clear()
    path = tmp_path / "turns.jsonl"
    turns = list(
        rollout([Episode("throw", f"level={level},size=230", "level=2,turns=3", "free", 5)], Careless())
    )
    with Recorder(path) as recorder:
        recorder.write(*turns)
    file = tmp_path / "page.html"
    file.write_text(page("Throws", plays(path)), encoding="utf-8")
    registry.find.cache_clear()
    browser.resize(1400, 900)
    for number, turn in enumerate(turns, 1):
        browser.open(file, f"#0/{number}")
        seen = look(turn.episode.perception)
        frame = draw(throw.GAME.scene(turn.state), seen, turn.state.seed, turn.state.turn)
        assert np.array_equal(browser.picture(), frame)
    wrong = [cell.text for cell in browser.find("td.wrong")]
    assert len(wrong) == 2
    assert any("goal at" in text and "mine at" in text for text in wrong)
    assert any("near enough: half a cell" in text and "far" in text for text in wrong)
    assert "2 of 29 cells, objects and notes misread" in browser.text(".verdict span")
