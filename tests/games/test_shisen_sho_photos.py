"""Shisen-Sho with pictures: what equal means, pools that stay apart, and folders of the user's own."""

import pickle
from collections import defaultdict
from dataclasses import fields, replace
from pathlib import Path
from shutil import copytree
from statistics import fmean

import pytest
from PIL import Image

from vlm_gym.episode import deal
from vlm_gym.game import TEST
from vlm_gym.registry import find
from vlm_gym.rollouts.baselines import play_baseline, random, solver

GAME = find("shisen_sho_photos")
PLAIN = find("shisen_sho")
PAPER = GAME.settle("paper")


@pytest.fixture
def folder(tmp_path):
    """Ten classes of six pictures, as .png and .jpg."""
    return make(tmp_path / "things", 10, 6)


def make(folder, classes, pictures):
    for kind in range(classes):
        (folder / f"thing_{kind}").mkdir(parents=True)
        for number in range(pictures):
            suffix = ("png", "jpg", "JPEG")[number % 3]
            image = Image.new("RGB", (8, 8), (20 * kind, 30 * number, 0))
            image.save(folder / f"thing_{kind}" / f"{number:02}.{suffix}")
    return folder


def empty(folder, names):
    for file in folder.glob(names):
        file.unlink()


def multiply(folder, times):
    for number in range(times):
        copytree(folder / "thing_0", folder / f"copy_{number}")


def shown(state):
    """The files on the board, by class."""
    files = defaultdict(list)
    for cell in GAME.scene(state).cells:
        if cell is not None:
            files[cell.words].append(cell.variant)
    return files


def pools(knobs, seeds=range(60)):
    """All files that deals of the training and of the test stream show, by class."""
    found = []
    for first in (0, TEST):
        files = defaultdict(set)
        for seed in seeds:
            for name, variants in shown(GAME.start(first + seed, knobs)).items():
                files[name] |= set(variants)
        found.append(files)
    return found


def test_tiles_are_equal_that_show_the_same_thing():
    state = GAME.start(1, PAPER)
    cells = GAME.scene(state).cells
    assert {len(files) for files in shown(state).values()} == {4}
    for action in GAME.legal(state):
        first, second = (cells[(int(place[1]) - 1) * 6 + int(place[3]) - 1] for place in action.split(" "))
        assert first.words == second.words


def test_the_rules_are_those_of_shisen_sho():
    for seed in range(10):
        state = GAME.start(seed, PAPER)
        kinds = sorted(set(state.cells))
        plain = PLAIN.start(seed, PLAIN.settle("paper"))
        plain = replace(plain, cells=bytes(1 + kinds.index(kind) for kind in state.cells))
        while not state.over:
            assert GAME.legal(state) == PLAIN.legal(plain)
            assert GAME.values(state) == PLAIN.values(plain)
            action = GAME.solve(state).action
            state, plain = GAME.step(state, action).state, PLAIN.step(plain, action).state
        assert GAME.success(state)


def test_pictures_stay_where_they_are_while_tiles_are_taken():
    state = GAME.start(5, PAPER)
    before = GAME.scene(state).cells
    after = GAME.scene(GAME.step(state, GAME.legal(state)[0]).state).cells
    assert sum(cell is None for cell in after) == 2
    assert all(new in (old, None) for old, new in zip(before, after, strict=True))


def test_copies_of_a_thing_are_different_pictures_as_far_as_there_are_any(folder):
    for seed in range(10):
        for files in shown(GAME.start(seed, PAPER)).values():
            assert len(set(files)) == 4
        # A third of six pictures is for testing: two pictures for four copies.
        own = GAME.settle({"level": "paper", "pictures": str(folder)})
        for files in shown(GAME.start(TEST + seed, own)).values():
            assert sorted(map(files.count, set(files))) == [2, 2]


def test_shipped_artists_are_seen_in_training_or_in_testing_but_never_in_both():
    train, test = ({Path(file).name for files in pool.values() for file in files} for pool in pools(PAPER))
    assert len(test) == 2
    assert len(train) >= 3
    assert not train & test


def test_own_pictures_are_seen_in_training_or_in_testing_but_never_in_both(folder):
    train, test = pools(GAME.settle({"kinds": 9, "pictures": str(folder)}))
    assert set(train) == set(test) == {f"thing {kind}" for kind in range(10)}
    for name in train:
        assert len(train[name]) == 4
        assert len(test[name]) == 2
        assert not train[name] & test[name]


def test_test_deals_can_show_the_pictures_of_training_on_the_same_boards():
    held_out = GAME.settle({"level": 0})
    known = GAME.settle({"level": 0, "test_pictures": "train"})
    artists = []
    for pool in pools(known):
        files = set().union(*pool.values())
        artists.append({Path(file).name for file in files})
    train, test = artists
    assert train == test
    for first in (0, TEST):
        for seed in range(first, first + 20):
            assert GAME.start(seed, known).cells == GAME.start(seed, held_out).cells
            assert GAME.start(seed, known).split == GAME.start(seed, held_out).split
    # Training deals are the same, pictures included.
    assert GAME.scene(GAME.start(5, known)) == GAME.scene(GAME.start(5, held_out))


def test_two_pictures_of_a_class_are_enough(tmp_path):
    train, test = pools(GAME.settle({"kinds": 2, "pictures": str(make(tmp_path, 2, 2))}), range(5))
    for name in train:
        assert len(train[name]) == len(test[name]) == 1
        assert not train[name] & test[name]


def test_pictures_are_named_from_the_shipped_folder_or_in_full(folder):
    for files in shown(GAME.start(0, PAPER)).values():
        assert all(len(Path(file).parts) == 2 and not Path(file).is_absolute() for file in files)
    for files in shown(GAME.start(0, GAME.settle({"pictures": str(folder)}))).values():
        assert all(Path(file).is_file() and Path(file).is_absolute() for file in files)


def test_a_state_is_small_and_fixes_the_scene():
    state = GAME.start(3, PAPER)
    assert len(pickle.dumps(state)) < 1000
    assert GAME.scene(pickle.loads(pickle.dumps(state))) == GAME.scene(state)
    assert GAME.start(3, PAPER) == state
    assert str(Path(__file__).parents[2]) not in str(pickle.dumps(state))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: None, "kinds=20 is not possible: .*things' has 10 classes"),
        (lambda folder: folder.rename(folder.with_name("moved")), "things' is no folder"),
        (lambda folder: multiply(folder, 250), "things' has 260 classes"),
        (lambda folder: empty(folder / "thing_3", "*"), "thing_3 holds 0 pictures"),
        (lambda folder: empty(folder / "thing_3", "0[1-5]*"), "thing_3 holds 1 pictures"),
        (lambda folder: (folder / "thing_4" / "09.png").write_text("no picture"), r"09\.png cannot be read"),
        (lambda folder: (folder / "thing_4" / "09.png").write_bytes(b""), r"09\.png cannot be read"),
    ],
)
def test_a_broken_folder_is_an_error_that_names_what_is_wrong(folder, spoil, message):
    knobs = GAME.settle({"rows": 8, "kinds": 20, "pictures": str(folder)})
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        GAME.start(0, knobs)


def test_other_files_and_hidden_folders_are_no_pictures(folder):
    (folder / "README.md").write_text("about these things")
    (folder / ".cache").mkdir()
    (folder / "thing_0" / "notes.txt").write_text("about this thing")
    assert GAME.legal(GAME.start(0, GAME.settle({"pictures": str(folder)})))


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_deals_are_cleared_by_the_solver(level):
    knobs = GAME.settle(level)
    assert all(
        play_baseline(GAME, knobs, deal(GAME, knobs, "test", index), solver).success for index in range(5)
    )


@pytest.mark.slow
def test_random_play_by_the_papers_rules_lands_on_its_row():
    scores = [
        play_baseline(GAME, PAPER, deal(GAME, PAPER, "train", index), random).score for index in range(1500)
    ]
    assert fmean(scores) == pytest.approx(0.4, abs=0.05)


def test_holes_show_nothing():
    state = GAME.start(0, GAME.settle({"rows": 4, "cols": 4, "kinds": 3, "holes": 4}))
    shown = GAME.scene(state).cells
    assert [cell is None for cell in shown] == [not kind for kind in state.cells]
    assert shown.count(None) == 4


def test_the_pictures_knob_states_how_many_classes_the_hard_levels_need():
    (pictures,) = (entry for entry in fields(GAME.levels[0]) if entry.name == "pictures")
    needed = f"levels 3 and 4 need {GAME.levels[3].kinds} and {GAME.levels[4].kinds}"
    assert needed == "levels 3 and 4 need 16 and 36"
    assert needed in pictures.metadata["effect"]


def test_deals_show_things_of_their_deck():
    knobs = GAME.settle({"kinds": 3, "deck": 4})
    things = {thing for seed in range(20) for thing in shown(GAME.start(seed, knobs))}
    assert len(things) == 4
