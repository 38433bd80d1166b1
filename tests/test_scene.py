"""Scenes with objects off the grid and notes: their words, and how a description of them is graded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm_gym.scene import STEP, Object, Scene, Symbol

BALL = Symbol("icon", "ball")
PADDLE = Symbol("icon", "paddle", "blue")
PLAIN = Scene(2, 2, (None, Symbol("text", "A"), None, None))
SCENE = PLAIN._replace(
    objects=(Object(PADDLE, 1, 0.5), Object(BALL, 0.37, 0.1)), notes=("next: blue T", "moves left: 3")
)
WORDS = "- | A\n- | -\nball at (1.25,1)\nblue paddle at (2,1.5)\nnext: blue T\nmoves left: 3"


def test_a_scene_describes_its_board_then_objects_in_reading_order_then_notes() -> None:
    assert SCENE.describe() == WORDS
    assert SCENE.grade(WORDS) == 1.0
    assert SCENE.misread(WORDS) == {}


def test_a_plain_scene_describes_and_grades_as_a_board_alone() -> None:
    assert PLAIN.describe() == "- | A\n- | -"
    assert PLAIN.grade("- | A\n- | -\nball at (1,1)") == 4 / 5
    assert PLAIN.misread("- | A\n- | -\nball at (1,1)") == {}


@pytest.mark.parametrize(
    ("old", "new", "right", "wrong"),
    [
        ("(1.25,1)", "(1.5,1)", 8, {}),  # 0.13 off: within the step
        ("(1.25,1)", "( 1.6 , 1.3 )", 8, {}),
        ("(1.25,1)", "(1.75,1)", 7, {4: "ball at (1.75,1)"}),
        ("ball at (1.25,1)\n", "", 7, {4: ""}),
        ("ball", "BALL ", 8, {}),
        ("ball", "red ball", 7, {4: "red ball at (1.25,1)"}),
        ("next: blue T", "next: red T", 7, {6: "next: red T"}),
        ("\nmoves left: 3", "", 7, {7: ""}),
        ("next: blue T\n", "", 6, {6: "moves left: 3", 7: ""}),
        ("next: blue T", " Next:  BLUE t ", 8, {}),
    ],
)
def test_an_object_is_right_within_the_step_and_a_note_by_its_line(
    old: str, new: str, right: int, wrong: dict[int, str]
) -> None:
    words = WORDS.replace(old, new)
    assert SCENE.grade(words) == right / 8
    assert SCENE.misread(words) == wrong


def test_objects_may_be_told_in_any_order_but_each_counts_once() -> None:
    lines = WORDS.split("\n")
    assert SCENE.grade("\n".join([*lines[:2], lines[3], lines[2], *lines[4:]])) == 1.0
    assert SCENE.grade("\n".join([*lines[:2], lines[2], lines[2], *lines[4:]])) == 7 / 8
    twins = PLAIN._replace(objects=(Object(BALL, 0, 0), Object(BALL, 0, STEP)))
    assert twins.grade(twins.describe()) == 1.0
    assert twins.grade("- | A\n- | -\nball at (1,1)") == 5 / 6


def test_more_than_there_is_lowers_the_grade() -> None:
    assert SCENE.grade(WORDS + "\nball at (1,1)") == 8 / 9
    assert SCENE.grade(WORDS + "\nmore") == 8 / 9


@given(st.text(alphabet="- |A\nbal t(1.25,)nex:\t9", max_size=300))
def test_a_grade_never_raises_and_is_a_share(words: str) -> None:
    for scene in (SCENE, PLAIN):
        assert 0 <= scene.grade(words) <= 1
        assert set(scene.misread(words)) <= set(range(8))


def test_grading_takes_time_linear_in_the_text() -> None:
    for words in ("ball at (" * 50_000, "ball at (1.25,1)\n" * 50_000, "(" * 400_000, "|" * 400_000):
        assert SCENE.grade(words) < 0.1
        SCENE.misread(words)
