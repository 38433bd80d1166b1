"""What an evaluation plays: files that say so, and a test stream that training never meets."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from vlm_gym.config import load
from vlm_gym.episode import deal, held_out
from vlm_gym.evaluation.suite import Cell, Part, Suite, cell_of, episodes_of, levels, suite, suites
from vlm_gym.game import TEST
from vlm_gym.registry import find, names
from vlm_gym.rollouts.states import Mixture, sample


def write(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_the_paper_suite_is_the_papers_protocol():
    paper = suite("paper")
    cells = {cell["game"]: cell for cell in paper.resolved()["cells"]}
    assert {game: (cell["episodes"], cell["knobs"]["turns"]) for game, cell in cells.items()} == {
        "2048": (10, 100),
        "shisen_sho": (100, 30),
        "shisen_sho_photos": (100, 30),
        "swap": (100, 100),
    }
    assert {cell["knobs"]["reward"] for cell in cells.values()} == {"paper"}
    assert {cell["look"]["theme"] for cell in cells.values()} == {"classic"}
    assert (cells["shisen_sho"]["knobs"]["rows"], cells["shisen_sho"]["knobs"]["cols"]) == (6, 6)
    assert (cells["swap"]["knobs"]["rows"], cells["swap"]["knobs"]["cols"]) == (8, 8)
    assert paper.history == 0


@pytest.mark.parametrize("name", ["core", "quick"])
def test_our_suites_play_every_game_there_is(name):
    assert {cell.game for cell in suite(name).cells} == set(names())


def test_the_core_suite_is_at_the_corners_of_both_axes():
    corners = {(cell.perception, cell.reasoning) for cell in suite("core").cells}
    assert corners == {("0", "0"), ("0", "4"), ("4", "0"), ("4", "4")}


def test_episodes_are_held_out_and_squares_take_turns():
    mine = Suite(
        part=(Part(games=("2048",), perception=("0", "3"), episodes=2), Part(games=("swap",), episodes=3))
    )
    episodes = mine.episodes()
    assert [(cell_of(each), each.index) for each in episodes] == [
        (Cell("2048", "0", "2"), 0),
        (Cell("2048", "3", "2"), 0),
        (Cell("swap", "0", "2"), 0),
        (Cell("2048", "0", "2"), 1),
        (Cell("2048", "3", "2"), 1),
        (Cell("swap", "0", "2"), 1),
        (Cell("swap", "0", "2"), 2),
    ]
    assert {each.split for each in episodes} == {"test"}
    assert episodes[0].seed == episodes[1].seed >= TEST
    assert episodes_of(mine.cells) == episodes


def test_a_turn_limit_takes_the_place_of_the_levels():
    part = Part(games=("2048",), reasoning=("paper", "size=3,target=0", "level=4,fours=0.5"), turns=7)
    knobs = [cell.difficulty[0] for cell in Suite(part=(part,)).cells]
    game = find("2048")
    assert knobs == [
        replace(game.settle("paper"), turns=7),
        replace(game.settle({"size": 3, "target": 0}), turns=7),
        replace(game.settle({"level": 4, "fours": 0.5}), turns=7),
    ]


def test_other_numbers_can_take_the_place_of_a_suites():
    short = suite("core").with_limits(episodes=2, turns=9, history=3)
    assert set(short.cells.values()) == {2}
    assert short.history == 3
    assert {cell.difficulty[0].turns for cell in short.cells} == {9}
    assert suite("core").with_limits(None, None, None) == suite("core")


def test_the_digest_names_all_that_matters_and_nothing_else():
    one = suite("quick")
    assert replace(one, about="something else").digest == one.digest == suite("quick").digest
    others = [
        replace(one, history=1),
        replace(one, decoding=replace(one.decoding, temperature=0.5)),
        replace(one, part=(replace(one.part[0], episodes=6),)),
        replace(one, part=(replace(one.part[0], perception=("0", "3")),)),
        replace(one, part=(replace(one.part[0], turns=11),)),
    ]
    assert len({each.digest for each in [one, *others]}) == 6


def test_a_suite_of_ones_own_is_found_by_its_path(tmp_path):
    path = write(
        tmp_path, 'history = 2\n[decoding]\ntemperature = 1\n[[part]]\ngames = ["swap"]\nepisodes = 3\n'
    )
    mine = suite(path)
    assert mine.cells == {Cell("swap", "0", "2"): 3}
    assert (mine.history, mine.decoding.temperature, mine.decoding.max_tokens) == (2, 1.0, 1024)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "[[part]]\nepisode = 3",
            r"mine.toml: unknown key 'part\[0\].episode' \(did you mean 'episodes'\?\); keys: games",
        ),
        ("histroy = 1\n[[part]]", "unknown key 'histroy' .did you mean 'history'"),
        ("history = 1", "part is missing"),
        ("part = []", "one .*part.* or more"),
        ("history = -1\n[[part]]", "history of 0 or more"),
        ('[[part]]\nepisodes = "3"', r"part\[0\].episodes='3' is not possible; .* takes a whole number"),
        ("[[part]]\nepisodes = true", "takes a whole number"),
        ("[[part]]\nepisodes = 0", "takes one or more"),
        ("[[part]]\nperception = [0]", r"part\[0\].perception\[0\]=0 is not possible"),
        ('[[part]]\nperception = "0"', "takes a list"),
        ("decoding = 3\n[[part]]", "takes a table"),
        ('[[part]]\ngames = ["2049"]', "unknown game '2049' .did you mean '2048'"),
        ('[[part]]\nreasoning = ["9"]', "unknown reasoning level '9'; levels: 0, 1"),
        ('[[part]]\nperception = ["nois=1"]', "unknown perception knob 'nois' .did you mean 'noise'"),
        ('[[part]]\nperception = ["0", "level=0"]', "is there twice, the other time as 2048 p0 r2"),
        ("[[part]]\n[[part]]", "2048 p0 r2 is there twice"),
        ("part = [", "mine.toml: "),
    ],
)
def test_what_a_suite_cannot_say_is_an_error_that_names_it(tmp_path, text, error):
    with pytest.raises(ValueError, match=error):
        suite(write(tmp_path, text))


@pytest.mark.parametrize("name", ["cor", "missing.toml", ""])
def test_unknown_suites_are_errors_that_list_the_known_ones(name):
    with pytest.raises(ValueError, match=r"unknown suite .*suites: core, paper, quick, or a \.toml file"):
        suite(name)
    assert list(suites()) == ["core", "paper", "quick"]


def test_levels_are_read_as_a_command_line_gives_them():
    assert levels(["0,2,4"]) == ("0", "2", "4")
    assert levels(["level=2,size=128"]) == ("level=2,size=128",)
    assert levels(["paper", "rows=4,cols=4,2"]) == ("paper", "rows=4,cols=4", "2")


@dataclass(frozen=True)
class Settings:
    """All that a file of settings can hold."""

    name: str
    ratio: float = 0.5
    on: bool = False
    limit: int | None = None
    sizes: tuple[int, ...] = ()


def test_any_dataclass_can_be_a_file_of_settings(tmp_path):
    path = Path(write(tmp_path, 'name = "x"\nratio = 2\non = true\nlimit = 3\nsizes = [1, 2]\n'))
    assert load(Settings, path) == Settings("x", 2.0, True, 3, (1, 2))
    assert load(Settings, Path(write(tmp_path, 'name = "x"'))) == Settings("x")
    with pytest.raises(ValueError, match=r"mine\.toml: name is missing"):
        load(Settings, Path(write(tmp_path, "")))
    with pytest.raises(OSError, match="nowhere"):
        load(Settings, tmp_path / "nowhere.toml")


def test_a_level_of_few_positions_is_split_by_position():
    """Two tiles on a small board lie in 144 ways: seeds alone would not keep the streams apart."""
    game = find("2048")
    knobs = game.settle({"size": 3, "target": 64})
    deals = {
        split: {game.key(game.start(deal(game, knobs, split, index), knobs)) for index in range(400)}
        for split in ("train", "test", "free")
    }
    assert len(deals["train"] | deals["test"]) > 80
    assert not deals["train"] & deals["test"]
    assert deals["free"] & deals["test"]


def draws(game, count):
    """Training's positions at level 0, of the shortest games: half of them deals, half after moves."""
    knobs = game.levels[0]
    for index in range(count // 2):
        yield game.start(deal(game, knobs, "train", index), knobs)
    mixture = Mixture(game=game.name, reasoning="0", fresh=1, walk=2, solver=1, moves=4)
    for position in sample(count - count // 2, [mixture], seed=1):
        yield position.state


def never_meet(game, count):
    knobs = game.levels[0]
    tests = [game.start(deal(game, knobs, "test", index), knobs) for index in range(count // 10)]
    held = {game.key(state) for state in tests}
    pictures = {cell.variant for state in tests for cell in game.scene(state).cells if cell and cell.variant}
    assert len(held) > 50
    for state in draws(game, count):
        assert state.seed < TEST
        assert game.key(state) not in held
        assert not any(cell.variant in pictures for cell in game.scene(state).cells if cell and cell.variant)


@pytest.mark.parametrize("name", names())
def test_training_meets_no_position_and_no_picture_of_the_test_stream(name):
    never_meet(find(name), 2000)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", names())
def test_training_meets_nothing_of_the_test_stream_in_100_000_draws(name):
    never_meet(find(name), 100_000)


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("level", range(5))
def test_every_level_has_many_different_deals_for_testing(name, level):
    """Openings that repeat are games that repeat, unless chance goes on to deal: 2048 has two first tiles."""
    game = find(name)
    knobs = game.levels[level]
    keys = set()
    for index in range(20):
        state = game.start(deal(game, knobs, "test", index), knobs)
        assert held_out(game, state)
        assert state.split == "test"
        keys.add(game.key(state))
    assert len(keys) > (5 if name == "2048" else 14)
