"""Dice, knobs, scenes and cells: what every game stands on."""

import re
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm_gym.cells import cell_names, neighbours, pairs, read_pair
from vlm_gym.dice import Dice
from vlm_gym.knobs import Knobs, knob, settle, spell
from vlm_gym.scene import Scene, Symbol

# --- dice


def test_dice_give_the_published_stream_of_splitmix64() -> None:
    dice = Dice(0)
    dice._word = 1234567  # the seed of the reference vectors
    assert [dice.bits() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_the_same_seed_and_turn_roll_the_same_and_others_do_not() -> None:
    rolls = {(seed, turn): Dice(seed, turn).bits() for seed in range(300) for turn in range(300)}
    assert rolls == {key: Dice(*key).bits() for key in rolls}
    assert len(set(rolls.values())) == len(rolls)


def test_below_choice_chance_and_shuffle_are_fair() -> None:
    dice = Dice(5)
    counts = Counter(dice.below(6) for _ in range(60_000))
    assert set(counts) == set(range(6))
    assert all(abs(count - 10_000) < 500 for count in counts.values())  # 5 standard deviations
    assert abs(sum(dice.chance(0.1) for _ in range(50_000)) - 5_000) < 340
    orders = Counter()
    for _ in range(6_000):
        cards = ["a", "b", "c"]
        dice.shuffle(cards)
        orders["".join(cards)] += 1
    assert len(orders) == 6
    assert all(abs(count - 1_000) < 150 for count in orders.values())


# --- knobs


@dataclass(frozen=True, kw_only=True)
class Size(Knobs):
    rows: int = knob(4, "height of the board", (2, 12))
    share: float = knob(0.5, "share of walls", (0.0, 1.0))
    style: str = knob("plain", "walls", ("plain", "round"))


LEVELS = tuple(Size(rows=rows) for rows in range(3, 8))


@pytest.mark.parametrize(
    ("choice", "knobs"),
    [
        (0, LEVELS[0]),
        ("4", LEVELS[4]),
        ("wide", Size(rows=12)),
        ({}, Size()),
        ({"rows": 9}, Size(rows=9)),
        ({"level": 2, "share": 1}, Size(rows=5, share=1)),
        ({"level": "wide", "style": "round"}, Size(rows=12, style="round")),
        ("rows=9,share=0.25,style=round", Size(rows=9, share=0.25, style="round")),
        ("level=3, share=0", Size(rows=6, share=0)),
        (Size(rows=11), Size(rows=11)),
    ],
)
def test_a_choice_is_a_level_a_preset_or_knobs_by_name(choice: object, knobs: Size) -> None:
    assert settle("reasoning", choice, LEVELS, {"wide": Size(rows=12)}) == knobs
    if choice != {}:
        assert settle("reasoning", spell(choice), LEVELS, {"wide": Size(rows=12)}) == knobs


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (5, "unknown reasoning level 5; levels: 0, 1, 2, 3, 4"),
        (-1, "unknown reasoning level -1"),
        (True, "unknown reasoning level True"),
        (1.0, "unknown reasoning level 1.0"),
        (None, "unknown reasoning level None"),
        ("hard", "unknown reasoning level 'hard'"),
        ({"row": 3}, "did you mean 'rows'"),
        ({"row": 3}, "knobs: rows, share, style"),
        ({"rows": 1}, "rows takes whole numbers 2 to 12"),
        ({"rows": 4.5}, "rows=4.5 is not possible"),
        ({"rows": True}, "rows=True is not possible"),
        ({"rows": "4"}, "rows='4' is not possible"),
        ({"share": float("nan")}, "share=nan is not possible"),
        ({"style": "square"}, "style takes plain, round"),
        ("rows=4,share", "write knobs as name=value"),
        ({"level": 7}, "unknown reasoning level 7"),
    ],
)
def test_a_wrong_choice_is_an_error_that_lists_the_right_ones(choice: object, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        settle("reasoning", choice, LEVELS)


# --- scenes

RED, CAT, TWO = (
    Symbol("shape", "circle", "red"),
    Symbol("picture", "cat", variant="cat/a.png"),
    Symbol("number", "2"),
)
BOARD = Scene(2, 3, (RED, None, TWO, CAT, TWO, None))


def test_a_scene_describes_itself_one_line_a_row() -> None:
    assert BOARD.describe() == "red circle | - | 2\ncat | 2 | -"


def test_two_pictures_of_one_thing_read_the_same() -> None:
    other = Scene(1, 1, (Symbol("picture", "cat", variant="cat/b.png"),))
    assert other.describe() == Scene(1, 1, (CAT,)).describe()


@pytest.mark.parametrize(
    ("words", "grade"),
    [
        ("red circle | - | 2\ncat | 2 | -", 1.0),
        (" Red  Circle|-|2 \n CAT | 2 | - ", 1.0),
        ("red circle | - | 4\ncat | 2 | -", 5 / 6),
        ("red circle | - | 2", 0.5),
        ("red circle | - | 2\ncat | 2 | -\n2 | 2 | 2", 6 / 9),  # cells too many cost
        ("red circle | - | 2 | -\ncat | 2 | - | -", 6 / 8),
        ("- | red circle | 2\n2 | cat | -", 2 / 6),  # compared by place
        ("", 0.0),
        ("red circle - 2 cat 2 -", 0.0),
        ("|" * 5 + "\n" + "|" * 5, 0.0),
    ],
)
def test_a_description_is_graded_cell_by_cell(words: str, grade: float) -> None:
    assert BOARD.grade(words) == pytest.approx(grade)


def test_words_piled_up_to_hit_by_chance_do_not_pay() -> None:
    assert BOARD.grade("\n".join(["red circle | - | 2 | cat"] * 100)) < 0.05


@given(st.text())
def test_any_text_gets_a_grade_between_0_and_1(words: str) -> None:
    assert 0.0 <= BOARD.grade(words) <= 1.0


# --- cells


def test_cells_are_named_row_by_row() -> None:
    assert cell_names(2, 3) == ("(1,1)", "(1,2)", "(1,3)", "(2,1)", "(2,2)", "(2,3)")


@pytest.mark.parametrize(("rows", "cols"), [(2, 3), (3, 2), (4, 4), (10, 5)])
def test_neighbours_are_the_pairs_of_cells_that_touch(rows: int, cols: int) -> None:
    cells = [(row, col) for row in range(rows) for col in range(cols)]
    every = [(one, other) for one in cells for other in cells if one < other]
    touching = [(one, other) for one, other in every if abs(one[0] - other[0]) + abs(one[1] - other[1]) == 1]
    assert len(pairs(rows, cols)) == len(set(pairs(rows, cols))) == len(every)
    near = neighbours(rows, cols)
    assert [(cells[one], cells[other]) for one, other in near.values()] == touching
    spelled = [f"({a + 1},{b + 1}) ({c + 1},{d + 1})" for (a, b), (c, d) in touching]
    assert [*near] == spelled == [pair for pair in pairs(rows, cols) if pair in near]


@given(
    st.permutations(range(120)), st.lists(st.sampled_from(["", " ", "\n", " \t "]), min_size=7, max_size=7)
)
def test_two_cells_are_read_in_either_order_with_any_spaces(order: list[int], gaps: list[str]) -> None:
    cells = cell_names(12, 10)
    first, second = sorted(order[:2])
    marks = (
        "".join(cells[place] for place in order[:2])
        .replace("(", " ( ")
        .replace(")", " ) ")
        .replace(",", " , ")
        .split()
    )
    spelled = "".join(gap + mark for gap, mark in zip([*gaps, *gaps], marks, strict=False))
    assert read_pair(spelled) == f"{cells[first]} {cells[second]}"


@pytest.mark.parametrize(
    "words", ["", "(1,2)", "(1,2) (3,4) (5,6)", "1,2 3,4", "(0,1) (1,1)", "(01,1) (1,1)"]
)
def test_other_words_are_no_two_cells(words: str) -> None:
    assert read_pair(words) is None
