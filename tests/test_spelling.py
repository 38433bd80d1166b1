"""Knobs as text, as episodes, recordings and command lines spell them: what is written is what is read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_gym.episode import Episode
from vlm_gym.evaluation.suite import Part, levels
from vlm_gym.knobs import spell
from vlm_gym.registry import find

PHOTOS = find("shisen_sho_photos")

NAMES = [
    "plain",
    "holiday, 2023",
    "k=v",
    "2023",
    "1e3",
    "inf",
    " first",
    "last ",
    "p,q=r",
    'the "best"',
    "b\\s",
    "~x",
    "",
]


def survives(name: str) -> None:
    text = spell({"rows": 2, "cols": 4, "kinds": 4, "pictures": name})
    knobs = PHOTOS.settle(text)
    assert knobs.pictures == name
    assert (knobs.rows, knobs.cols, knobs.kinds) == (2, 4, 4)
    assert PHOTOS.settle(spell(knobs)) == knobs
    assert levels([text]) == (text,)
    assert levels([f"0,{text}", "paper"])[0] == "0"
    (cell,) = Part(games=("shisen_sho_photos",), reasoning=(text,), turns=7).cells()
    limited, _ = cell.difficulty
    assert (limited.pictures, limited.turns) == (name, 7)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_survives_being_spelled_as_text(name: str) -> None:
    survives(name)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(codec="utf-8")) | st.text('",=\\\\ a1\n'))
def test_any_text_survives_being_spelled(name: str) -> None:
    survives(name)


@pytest.mark.parametrize(
    ("text", "pictures"),
    [("rows=2,pictures=2024", "2024"), ("pictures=my photos ,rows=2", "my photos"), ("pictures=,rows=2", "")],
)
def test_what_people_type_needs_no_quotes_where_nothing_is_unclear(text: str, pictures: str) -> None:
    knobs = PHOTOS.settle(f"kinds=2,{text}")
    assert (knobs.pictures, knobs.rows) == (pictures, 2)


def test_spellings_that_were_fine_stay_as_they_were() -> None:
    """They name episodes in recordings, and suites by their digest."""
    assert spell({"rows": 2, "pictures": "/home/me/my photos"}) == "rows=2,pictures=/home/me/my photos"
    assert spell({"pictures": "a=b", "holes": 4, "level": "paper"}) == "pictures=a=b,holes=4,level=paper"
    assert spell(2) == "2"
    assert spell("paper") == "paper"
    assert levels(["level=2,size=128,3", "paper,1"]) == ("level=2,size=128", "3", "paper", "1")


@pytest.mark.parametrize(
    "text", ['pictures="a', 'pictures="a"b', "rows=2,", "=2", 'pictures="a\\"', ",rows=2", "rows"]
)
def test_what_cannot_be_read_is_an_error_that_says_how_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"write knobs as name=value,name=value|unknown reasoning level"):
        PHOTOS.settle(text)


def test_numbers_are_still_numbers() -> None:
    game = find("2048")
    assert game.settle("fours=0.5,size=5") == game.settle({"fours": 0.5, "size": 5})
    for text in ("size=x", "size=nan", 'size="5"'):
        with pytest.raises(ValueError, match=r"size=.* is not possible"):
            game.settle(text)
    assert Episode("2048", "0", "level=2,turns=7").seed == Episode("2048", "0", "level=2,turns=7").seed
