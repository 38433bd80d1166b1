"""Recordings: read as episodes, proved line by line, and shown as films."""

import json
import re
import subprocess
import sys
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from recordings import Pupil, record
from typer.testing import CliRunner

from vlm_gym.cli import app
from vlm_gym.episode import Episode
from vlm_gym.evaluation.judge import KINDS, judge
from vlm_gym.game import State
from vlm_gym.play.session import Session
from vlm_gym.recordings.record import Recorder, from_line, read, to_line
from vlm_gym.registry import find, names
from vlm_gym.render import draw, look
from vlm_gym.replays.film import captioned_frames, write_film
from vlm_gym.replays.replay import plays, verify
from vlm_gym.rollouts.collect import resume
from vlm_gym.rollouts.policy import Baseline
from vlm_gym.rollouts.rollout import rollout

SHORT = [Episode(game, "level=2,size=128", "0", "test", index) for game in names() for index in range(2)]


@cache
def pupil_lines() -> tuple[str, ...]:
    return tuple(to_line(turn) for turn in rollout(SHORT, Pupil()))


def written(path: Path, lines) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def named(path: Path) -> set[tuple[int, str]]:
    """Which lines and fields `verify` names."""
    return {(problem.line, problem.field) for problem in verify(path).problems}


@pytest.mark.parametrize("policy", [Pupil(), Baseline("random"), Baseline("solver"), Baseline("middling")])
@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.zst"])
def test_recordings_of_every_policy_and_game_hold(policy, ending, tmp_path):
    path = record(tmp_path / f"turns{ending}", policy, SHORT)
    found = verify(path)
    assert found.problems == []
    assert found.turns == len(list(read(path)))
    assert found.pictures == (found.turns if policy.sees else 0)


def test_a_line_ends_at_its_end_whatever_a_reply_holds(tmp_path):
    path = record(tmp_path / "turns.jsonl", Pupil(), SHORT)
    ours = path.read_text().splitlines()
    assert len(ours) == verify(path).turns
    assert any("\\u2028" in line for line in ours)
    plain = written(path, [json.dumps(json.loads(line), ensure_ascii=False) for line in ours])
    assert len(plain.read_text().splitlines()) > len(ours)
    assert verify(plain)[:3] == (len(ours), len(ours), [])
    assert resume(plain, SHORT, "pupil") == len(SHORT)


def test_the_pupil_fails_in_every_way():
    more = [Episode("2048", "0", "0", "test", index) for index in range(2, 14)]
    turns = [*map(from_line, pupil_lines()), *rollout(more, Pupil())]
    assert {judge(turn).kind for turn in turns} == set(KINDS)


@pytest.mark.parametrize("level", range(5))
def test_noise_and_themes_are_proved_too(level, tmp_path):
    path = record(tmp_path / "t.jsonl", Pupil(), [Episode("swap", str(level), "0", "test", 0)])
    assert verify(path).problems == []


def changed(value):
    """Some other value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + ("1" if value[-1:] != "1" else "0")
    if isinstance(value, list):
        return [*value[:-1], changed(value[-1])] if value else [0]
    return "left"


def leaves(data, path=()):
    """The places in a line where a value stands, but for what no rule can prove."""
    for key, value in data.items():
        here = (*path, key)
        if here in (("reply",), ("policy",), ("usage",), ("version",)):
            continue
        if isinstance(value, dict):
            yield from leaves(value, here)
        else:
            yield here


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_one_field_of_any_line_that_is_changed_is_named(tmp_path_factory, data):
    lines = list(pupil_lines())
    number = data.draw(st.integers(0, len(lines) - 1))
    line = json.loads(lines[number])
    place = data.draw(st.sampled_from(sorted(leaves(line), key=str)))
    inner = line
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = changed(inner[place[-1]])
    lines[number] = json.dumps(line)
    path = written(tmp_path_factory.mktemp("fuzz") / "t.jsonl", lines)
    fields = {field for line, field in named(path) if line == number + 1}
    # What moves a line to another episode, or breaks it, makes the line itself impossible.
    moved = place[0] in ("episode", "number")
    assert fields, f"{place} was changed in line {number + 1}, and only {named(path)} is named"
    assert moved or place[0] in fields or "" in fields
    if not moved and "" not in fields:
        assert {line for line, _ in named(path)} == {number + 1}, "other lines are blamed"


def test_a_reply_whose_answer_or_perception_is_changed_is_named(tmp_path):
    lines = list(pupil_lines())
    for number, line in enumerate(lines):
        turn = from_line(line)
        if turn.action is None or turn.rewards["perception"] < 1:
            continue
        other = turn.reply.replace("<answer>", "<answer>not ")
        blind = turn.reply.replace("<perception>", "<perception>9|")
        for reply in (other, blind):
            forged = [*lines[:number], to_line(replace(turn, reply=reply)), *lines[number + 1 :]]
            assert {line for line, _ in named(written(tmp_path / "t.jsonl", forged))} == {number + 1}
        return
    pytest.fail("no line to forge")


def test_lines_that_are_left_out_swapped_or_copied_are_named(tmp_path):
    lines = list(pupil_lines())
    first = from_line(lines[0]).episode
    long = [line for line in lines if from_line(line).episode == first]
    assert len(long) >= 4
    assert named(written(tmp_path / "t.jsonl", [*long[:1], *long[2:]])) == {(2, "number")}
    assert named(written(tmp_path / "t.jsonl", long[1:])) == {(1, "number")}
    swapped = [long[0], long[2], long[1], *long[3:]]
    assert (2, "number") in named(written(tmp_path / "t.jsonl", swapped))
    last = from_line(long[-1])
    after = to_line(replace(last, number=last.number + 1))
    assert (len(long) + 1, "number") in named(written(tmp_path / "t.jsonl", [*long, after]))


def test_every_tampered_line_of_many_is_named(tmp_path):
    lines = list(pupil_lines())
    tampered = range(2, len(lines), 3)
    for number in tampered:
        lines[number] = to_line(replace(turn := from_line(lines[number]), score=turn.score + 1))
    assert named(written(tmp_path / "t.jsonl", lines)) == {(number + 1, "score") for number in tampered}


def test_an_undo_may_go_back_to_what_was_seen_and_nowhere_else(tmp_path):
    path = tmp_path / "me.jsonl"
    with Session("2048", seed=3, record=path) as session:
        for _ in range(4):
            session.play(session.run.legal[0])
        session.undo()
        session.undo()
        session.play("nonsense")
        session.play(session.run.legal[-1])
    with Session("2048", seed=3, record=path) as session:
        session.play(session.run.legal[-1])
    assert verify(path).problems == []
    (play,) = plays(path)
    assert ([turn.number for turn in play.turns], play.undone) == ([0], 6)
    lines = path.read_text().splitlines()
    (play,) = plays(written(tmp_path / "t.jsonl", lines[:-1]))
    assert ([turn.number for turn in play.turns], play.undone) == ([0, 1, 2, 3], 2)
    assert play.turns[2].error
    fifth = json.loads(lines[4])
    fifth["state"] = json.loads(lines[3])["state"]
    forged = [*lines[:4], json.dumps(fifth), *lines[5:]]
    assert (5, "state") in named(written(tmp_path / "t.jsonl", forged))


def test_the_same_deal_played_again_after_its_end_is_a_play_of_its_own(tmp_path):
    path = record(tmp_path / "t.jsonl", Baseline("solver"), SHORT[:1])
    record(path, Baseline("solver"), SHORT[:1])
    first, second = plays(path)
    assert first.ended
    assert first.turns == second.turns
    assert verify(path).problems == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no turns"),
        ("hello\n", "line 1: not a line of JSON"),
        ("[1, 2]\n", "line 1: not a turn of vlm-gym"),
        ('{"version": 1}\n', "line 1: not a turn of vlm-gym"),
        ('{"version": 99}\n', "schema version 99"),
        ('{"prompt": "from another program"}\n', "line 1: not a turn of vlm-gym"),
    ],
)
def test_a_foreign_file_is_refused_by_file_and_line(text, says, tmp_path):
    path = tmp_path / "foreign.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=says) as error:
        plays(path)
    assert str(path) in str(error.value)
    if text:
        assert [problem.line for problem in verify(path).problems] == [1]


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.zst"])
def test_a_half_written_end_is_refused_and_named(ending, tmp_path):
    turns = list(map(from_line, pupil_lines()[:5]))
    path = tmp_path / f"t{ending}"
    with Recorder(path) as recorder:
        for turn in turns:
            recorder.write(turn)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="after line 4: the rest is half-written"):
        plays(path)
    found = verify(path)
    assert (found.turns, [problem.line for problem in found.problems]) == (4, [5])


def test_a_turn_without_its_reply_takes_less_than_two_kilobytes():
    for game in names():
        for level in range(5):
            turn = next(rollout([Episode(game, "4", f"level={level},turns=1", "test", 0)], Pupil()))
            assert len(to_line(replace(turn, reply="")).encode()) < 2000, (game, level)


def test_a_film_shows_the_exact_pictures_with_words_below_them(tmp_path):
    path = record(tmp_path / "t.jsonl", Pupil(), [Episode("shisen_sho", "3", "0", "test", 0)])
    (play,) = plays(path)
    shots = [*captioned_frames(play)]
    assert len(shots) == len(play.turns) + 1
    assert len({shot.size for shot in shots}) == 1
    for turn, shot in zip(play.turns, shots, strict=False):
        scene = find("shisen_sho").scene(turn.state)
        assert np.array_equal(
            np.asarray(shot)[:448, :448], draw(scene, look(3), turn.state.seed, turn.state.turn)
        )
        strip = np.asarray(shot)[448:]
        assert len(np.unique(strip.reshape(-1, 3), axis=0)) > 2, "no words on the strip"


def test_a_gif_and_a_video_have_a_frame_for_every_turn(tmp_path):
    play = plays(record(tmp_path / "t.jsonl", Pupil(), SHORT[:1]))[0]
    write_film(play, tmp_path / "t.gif")
    with Image.open(tmp_path / "t.gif") as image:
        assert image.n_frames == len(play.turns) + 1
        assert image.size == next(captioned_frames(play)).size == (384, 448)
        near = np.abs(np.asarray(image.convert("RGB"), int) - np.asarray(next(captioned_frames(play)), int))
        assert near.mean() < 3
    imageio = pytest.importorskip("imageio.v3", reason="the extra `video` is not installed")
    write_film(play, tmp_path / "t.mp4")
    film = imageio.imread(tmp_path / "t.mp4")
    assert film.shape == (len(play.turns) + 3, 448, 384, 3)
    assert np.abs(film[0].astype(int) - np.asarray(next(captioned_frames(play)), int)).mean() < 6


def command(*arguments: object):
    return CliRunner().invoke(app, ["replay", *map(str, arguments)])


def test_the_command_verifies_films_and_writes_a_page(tmp_path):
    path = written(tmp_path / "t.jsonl", pupil_lines())
    done = command(path, "--verify", "--gif", tmp_path / "t.gif", "--episode", "2")
    assert done.exit_code == 0, done.output
    assert f"{len(pupil_lines())} turns played again" in done.output.replace(",", "")
    assert (tmp_path / "t.gif").exists()
    assert not (tmp_path / "t.html").exists()
    assert command(path).exit_code == 0
    assert "<canvas>" in (tmp_path / "t.html").read_text()


def test_the_command_names_tampered_lines_and_fails(tmp_path):
    lines = list(pupil_lines())
    lines[2] = to_line(replace(turn := from_line(lines[2]), score=turn.score + 1))
    done = command(written(tmp_path / "t.jsonl", lines), "--verify")
    assert done.exit_code == 1
    assert f"{tmp_path}/t.jsonl, line 3: score" in done.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nothing.jsonl",), "nothing.jsonl"),
        (("t.jsonl", "--gif", "t.png"), r"\.gif or \.mp4"),
        (("t.jsonl", "--gif", "t.gif", "--episode", "99"), "no episode 99; it holds"),
    ],
    ids=["no file", "another ending", "no episode"],
)
def test_a_mistake_is_told_in_one_line(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "t.jsonl", pupil_lines())
    done = command(*arguments)
    assert done.exit_code
    with pytest.raises((ValueError, OSError), match=says):
        raise done.exception


DOCUMENT = (Path(__file__).parents[1] / "docs/recordings.md").read_text()


def test_the_document_names_every_field_and_no_other():
    told = re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.M)
    assert told == [*json.loads(pupil_lines()[0]), "refused"]  # which stands only where it is not empty
    parts = dict(re.findall(r"^\| `(\w+)` \| object \| (.*) \|$", DOCUMENT, re.M))
    line = json.loads(pupil_lines()[0])
    assert set(line["episode"]) <= set(re.findall(r"`(\w+)`", parts["episode"]))
    common = {"knobs", *(entry.name for entry in fields(State))}
    assert common <= set(re.findall(r"`(\w+)`", parts["state"]))


def test_what_the_document_says_to_type_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in re.findall(r"^\$ vlm-gym (.*)$", DOCUMENT, re.M):
        done = CliRunner().invoke(app, line.split())
        assert done.exit_code == 0, (line, done.output, done.exception)
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.S)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert len(done.stdout.splitlines()) == len((tmp_path / "turns.jsonl").read_text().splitlines())
