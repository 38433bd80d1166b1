"""Turns judged: every kind of failure by hand, and verdicts that are kept beside the turns."""

from dataclasses import replace

import pytest
from recordings import Pupil, record

from vlm_gym.episode import Episode
from vlm_gym.evaluation.judge import KINDS, beside, judge, judge_all, verdicts
from vlm_gym.game import TOLERANCE
from vlm_gym.recordings.record import read
from vlm_gym.registry import find, names
from vlm_gym.rollouts.policy import Baseline
from vlm_gym.rollouts.rollout import rollout

EPISODES = [Episode(game, "0", level, "test", 0) for game in ("2048", "swap") for level in ("0", "2")]


def turn(reply):
    """A turn of 2048 in which left and right win, and down does not."""
    (first,) = rollout([Episode("2048", "0", "level=0,turns=1", "test", 1)], Baseline("solver"))
    state = replace(first.state, cells=bytes([3, 3, 0, 0, 2, 2, 0, 0, *[0] * 8]))
    return replace(first, state=state, reply=reply)


def told(wrong=""):
    """The perception of that turn, or one with a wrong cell."""
    words = find("2048").scene(turn("").state).describe()
    return f"<perception>{words.replace('8', wrong or '8', 1)}</perception>"


@pytest.mark.parametrize(
    ("reply", "kind", "perception", "exact", "lost"),
    [
        ("<answer>left</answer>", "fine", None, False, False),
        (told() + "<answer>right</answer>", "fine", 1.0, True, False),
        (told("16") + "<answer>left</answer>", "fine", 15 / 16, False, False),
        (told() + "<answer>down</answer>", "misplanned", 1.0, True, True),
        ("<answer>down</answer>", "misplanned", None, False, True),
        (told("16") + "<answer>down</answer>", "misread", 15 / 16, False, True),
        (told("16") + "<answer>up</answer>", "illegal", 15 / 16, False, True),
        (told() + "<answer>sideways</answer>", "illegal", 1.0, True, True),
        (told() + "I go left.", "misformatted", 1.0, True, True),
        ("<answer>left</answer><answer>left</answer>", "misformatted", None, False, True),
        ("", "misformatted", None, False, True),
    ],
)
def test_a_failure_is_blamed_on_form_rules_sight_or_thought(reply, kind, perception, exact, lost):
    verdict = judge(turn(reply))
    assert (verdict.kind, verdict.perception, verdict.exact) == (kind, perception, exact)
    assert (verdict.lost > TOLERANCE) == lost
    assert verdict.best == "left"
    assert verdict.good == (kind == "fine")


def values_of(game, state):
    """Judge every legal action, also in a game that judges only one at a time."""
    return {action: game.value(state, action) for action in game.legal(state)}


@pytest.mark.parametrize("name", names())
def test_what_an_action_lost_is_the_difference_of_values(name):
    turns = list(rollout([Episode(name, "0", "1", "test", 0)], Baseline("legal")))[:12]
    for each in turns:
        values = values_of(find(name), each.state)
        assert judge(each).lost == pytest.approx(max(values.values()) - values[each.action])


@pytest.mark.parametrize("name", names())
def test_the_solver_never_fails(name):
    turns = rollout([Episode(name, "0", level, "test", 0) for level in ("0", "2")], Baseline("solver"))
    assert {judge(each).kind for each in turns} == {"fine"}


def test_a_game_without_a_solver_blames_nobody_for_a_legal_action(monkeypatch):
    game = type(find("swap"))
    monkeypatch.setattr(game, "values", lambda self, state: {})
    monkeypatch.setattr(game, "think", lambda self, state: None)
    (first, *_) = rollout([Episode("swap", "0", "3", "test", 99)], Baseline("legal"))
    assert judge(first)[:1] + judge(first)[3:] == ("fine", "", 0.0, None)


def test_processes_judge_alike(tmp_path):
    turns = list(read(record(tmp_path / "pupil.jsonl", Pupil(), EPISODES)))
    here = list(judge_all(turns))
    assert {verdict.kind for verdict in here} == set(KINDS)
    assert list(judge_all(turns, workers=2)) == here == [judge(each) for each in turns]


def test_verdicts_are_kept_as_long_as_the_turns_are_the_same(tmp_path, monkeypatch):
    path = record(tmp_path / "turns.jsonl", Pupil(), EPISODES[:2])
    first = list(verdicts(path))
    assert first == [judge(each) for each in read(path)]
    kept = beside(path)
    assert kept.name == "turns.verdicts.jsonl"
    # What is read now comes from there: nothing is judged, and the file is not written again.
    before = kept.stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr("vlm_gym.evaluation.judge.judge_all", None)
        assert list(verdicts(path)) == first
    assert kept.stat().st_mtime_ns == before
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert list(verdicts(path)) == first[:-1]


def test_judging_that_was_stopped_goes_on_where_it_was(tmp_path):
    path = record(tmp_path / "turns.jsonl", Pupil(), EPISODES[:2])
    wanted = [judge(each) for each in read(path)]
    begun = verdicts(path)
    assert [next(begun) for _ in range(5)] == wanted[:5]
    begun.close()
    assert not beside(path).exists()
    part = beside(path).with_name(f"{beside(path).name}.part")
    # Cut in the middle of the fifth; that the first is not judged again shows by what it is changed to.
    part.write_text(part.read_text()[:-3].replace(f'"{wanted[0].best}"', '"elsewhere"', 1))
    assert list(verdicts(path)) == [wanted[0]._replace(best="elsewhere"), *wanted[1:]]
    assert beside(path).exists()
    assert not part.exists()


def test_a_line_that_cannot_be_read_is_named(tmp_path):
    path = record(tmp_path / "turns.jsonl", Pupil(), EPISODES[:1])
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(ValueError, match=r"turns\.jsonl, line \d+: not a turn"):
        list(verdicts(path))
    assert not beside(path).exists()
