"""What replies of a policy in training earn at one position."""

from dataclasses import replace

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

from talking import asked, said
from vlm_gym.trainers.recipe import Task
from vlm_gym.trainers.rewards import grade_completion

from vlm_gym.rollouts.policy import Request


def board(level: str = "2") -> Request:
    """A position of 2048 in which left and right win, down is legal and wins nothing, and up is not legal."""
    task = Task(game="2048", reasoning=level, perception="level=0,size=64")
    request = asked(task)
    cells = bytes([3, 3, 0, 0, 2, 2, 0, 0, *[0] * 8])
    return request._replace(state=replace(request.state, cells=cells))


def paying(request: Request, reward: str) -> Request:
    state = request.state
    return request._replace(state=replace(state, knobs=replace(state.knobs, reward=reward)))


@pytest.mark.parametrize(
    ("action", "earned"), [("left", 1), ("right", 1), ("down", -1), ("up", -1), ("sideways", -1), ("", -1)]
)
def test_the_reward_of_the_paper_is_one_for_what_scores_and_minus_one_for_all_else(action, earned):
    assert grade_completion(paying(board(), "paper"), said(action)).terms["game"] == earned


def test_the_reward_of_progress_is_the_games_own():
    request = paying(board(), "progress")
    for action in ("left", "right", "down"):
        own = request.game.step(request.state, action).reward
        assert grade_completion(request, said(action)).terms["game"] == own
    assert 0 < request.game.step(request.state, "left").reward < 1
    assert grade_completion(request, said("down")).terms["game"] == 0
    assert grade_completion(request, said("up")).terms["game"] == -1


def test_the_reward_of_value_is_what_is_left_of_the_solvers():
    request = board()
    values = request.game.values(request.state)
    for action, value in values.items():
        wanted = 1 - (max(values.values()) - value)
        assert grade_completion(request, said(action), by_solver=True).terms["game"] == pytest.approx(wanted)
    assert (
        grade_completion(request, said(request.game.solve(request.state).action), by_solver=True).terms[
            "game"
        ]
        == 1
    )
    assert grade_completion(request, said("up"), by_solver=True).terms["game"] == -1
    assert grade_completion(request, "left", by_solver=True).terms["game"] == -1


def test_form_and_sight_are_terms_of_their_own():
    request = board()
    words = request.game.scene(request.state).describe()
    whole = f"<perception>{words}</perception><think>so</think>{said('left')}"
    assert grade_completion(request, whole).terms == {
        **grade_completion(request, said("left")).terms,
        "format": 1,
        "perception": 1,
    }
    half = grade_completion(request, whole.replace("8", "16", 1))
    assert half.terms["perception"] == 15 / 16
    assert (half.exact, half.legal, half.good) == (False, True, True)


def test_reasoning_is_told_only_where_everything_was_read_rightly():
    request = board("0")
    seen = f"<perception>{request.game.scene(request.state).describe()}</perception>"
    assert "reasoning" not in grade_completion(request, said("left")).numbers()
    assert grade_completion(request, seen + said("left")).numbers()["reasoning"] == 1
    assert grade_completion(request, seen + said("down")).numbers()["reasoning"] == 0
