"""Suites refuse sizes that cannot be, whether a file, a command or a program asks for them."""

from dataclasses import replace
from typing import Any

import pytest

from vlm_gym.evaluation.suite import Decoding, Part, Suite, suite

NO_COUNTS = [
    0,
    -1,
    -(10**9),
    10**6,
    10**30,
    True,
    False,
    1.0,
    2.5,
    float("inf"),
    float("nan"),
    "3",
    None,
    (1,),
]


@pytest.mark.parametrize("value", NO_COUNTS, ids=repr)
def test_episodes_are_a_count_that_can_be_played(value: Any) -> None:
    with pytest.raises(ValueError, match=r"episodes=.* is not possible; it takes one or more, up to 100000"):
        Part(episodes=value)
    if value is not None:
        with pytest.raises(ValueError, match="episodes="):
            suite("quick").with_limits(value, None, None)


@pytest.mark.parametrize("value", [value for value in NO_COUNTS if value is not None], ids=repr)
def test_turns_are_a_count_that_a_game_can_have(value: Any) -> None:
    with pytest.raises(ValueError, match=r"turns=.* is not possible"):
        Part(turns=value)


@pytest.mark.parametrize(
    "value", [value for value in NO_COUNTS if value is False or value not in (0, None)], ids=repr
)
def test_a_history_is_none_or_some_turns(value: Any) -> None:
    with pytest.raises(
        ValueError, match=r"history=.* is not possible; it takes a history of 0 or more turns"
    ):
        Suite(part=(Part(),), history=value)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", True),
        ("max_tokens", 0),
        ("max_tokens", -5),
        ("max_tokens", 1.5),
        ("max_tokens", 2**31),
        ("seed", -1),
        ("seed", 2**63),
        ("seed", 0.5),
    ],
)
def test_decoding_takes_numbers_that_endpoints_take(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{setting}=.* is not possible"):
        replace(Decoding(), **{setting: value})


@pytest.mark.parametrize("name", ["games", "perception", "reasoning"])
def test_a_part_has_games_and_levels(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is empty; it takes one entry or more"):
        Part(**{name: ()})


@pytest.mark.parametrize("axis", ["games", "perception", "reasoning"])
def test_nothing_is_asked_for_twice(axis: str) -> None:
    entry = "swap" if axis == "games" else "1"
    with pytest.raises(ValueError, match="is there twice"):
        Suite(part=(replace(Part(games=("swap",)), **{axis: (entry, entry)}),))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[part]]\nepisodes = 1000000000", "episodes=1000000000 is not possible"),
        ("[[part]]\nturns = 0", "turns=0 is not possible"),
        ("[[part]]\ngames = []", "games is empty"),
        ("[decoding]\ntemperature = -1\n[[part]]", "temperature=-1.0 is not possible"),
        ("[decoding]\ntemperature = inf\n[[part]]", "temperature=inf is not possible"),
        ("[decoding]\nmax_tokens = 0\n[[part]]", "max_tokens=0 is not possible"),
        ("[decoding]\nseed = -3\n[[part]]", "seed=-3 is not possible"),
        ("history = 100001\n[[part]]", "history=100001 is not possible"),
    ],
)
def test_a_file_that_asks_for_what_cannot_be_is_named(tmp_path: Any, text: str, told: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"own\.toml: {told}"):
        suite(str(path))


def test_the_largest_sizes_are_taken() -> None:
    assert Part(episodes=100_000, turns=100_000).turns == 100_000
    assert Decoding(temperature=0, max_tokens=1, seed=2**63 - 1).temperature == 0
    for name in ("core", "paper", "quick"):
        assert suite(name).with_limits(1, 1, 0).cells
