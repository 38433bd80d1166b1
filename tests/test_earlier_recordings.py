"""Recordings of earlier versions: they open, verify with the rewards of their time, and are judged."""

from dataclasses import replace
from pathlib import Path

import pytest

from vlm_gym.evaluation.judge import judge
from vlm_gym.evaluation.proof import prove
from vlm_gym.recordings.record import Recorder, read
from vlm_gym.replays.replay import plays, verify

EARLIER = Path(__file__).parent / "earlier.jsonl.zst"
"""Three games by the solver at reasoning level 2, recorded before the reward ``goal`` was there."""


def test_earlier_recordings_verify_with_the_rewards_of_their_time() -> None:
    found = verify(EARLIER)
    assert found.problems == []
    assert found.earlier == found.turns == 122
    assert {turn.state.knobs.reward for turn in read(EARLIER)} == {"progress"}


def test_earlier_recordings_open_and_are_judged() -> None:
    episodes = plays(EARLIER)
    assert [play.episode.game for play in episodes] == ["2048", "swap", "shisen_sho"]
    kinds = {judge(turn).kind for turn in episodes[1].turns}
    assert kinds <= {"fine", "misplanned"}


@pytest.mark.parametrize(
    "change", [{"score": 4.0}, {"rewards": {"game": 0.5, "format": 1.0, "perception": 1.0}}]
)
def test_a_line_that_the_earlier_rules_deny_is_named(tmp_path: Path, change: dict) -> None:
    turns = list(read(EARLIER))
    turns[5] = replace(turns[5], **change)
    path = tmp_path / "forged.jsonl"
    with Recorder(path) as recorder:
        recorder.write(*turns)
    assert 6 in {problem.line for problem in verify(path).problems}


def test_a_leaderboard_takes_no_turns_of_an_earlier_version() -> None:
    proof = prove(EARLIER, "solver", [play.episode for play in plays(EARLIER)], None, 0)
    assert "earlier version" in proof.problems[0]
