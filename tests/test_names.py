"""Names and paths are taken as they are: dots, brackets, commas, numbers, ``~``; no two sources share one."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from endpoints import Endpoint, said
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from vlm_gym.cli import app
from vlm_gym.episode import Episode
from vlm_gym.evaluation.evaluate import Evaluation, evaluate
from vlm_gym.evaluation.guests import invite
from vlm_gym.evaluation.judge import beside, verdicts
from vlm_gym.evaluation.run_folder import opened
from vlm_gym.evaluation.suite import Part, Suite, levels
from vlm_gym.knobs import pieces, spell
from vlm_gym.registry import find
from vlm_gym.replays.film import captioned_frames, write_film
from vlm_gym.replays.replay import Play
from vlm_gym.report.runs import find_runs
from vlm_gym.rollouts.collect import collect
from vlm_gym.rollouts.policy import make
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.storage import bare_name, from_home, locked

EPISODES = [Episode("2048", "size=64", "level=0,turns=2", "test", index) for index in range(2)]
SUITE = Suite(
    part=(Part(games=("2048",), perception=("size=64",), reasoning=("level=0,turns=2",), episodes=2),)
)


def curve(path: Path, value: float, steps: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"stage": "grpo", "step": step, "loss": value}) for step in range(steps)]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def recording(path: Path, policy: str = "legal") -> Path:
    collect(path, EPISODES, make(policy))
    return path


def command(*arguments: object):
    return CliRunner().invoke(app, [*map(str, arguments)])


# Names


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("qwen2.5-vl-7b", "qwen2.5-vl-7b"),
        ("v1.2.jsonl", "v1.2"),
        ("v1.2.jsonl.zst", "v1.2"),
        ("notes.v2.txt", "notes.v2.txt"),
        (".jsonl", ".jsonl"),
        ("a", "a"),
    ],
)
def test_only_a_known_ending_is_left_out_of_a_name(name, bare):
    assert bare_name(Path("runs.d") / name) == bare


def test_a_path_from_home_is_expanded_and_no_other(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert from_home("~/model") == str(tmp_path / "model")
    assert [from_home(name) for name in ("a/~b", "./c", "Org/Model-1.5")] == ["a/~b", "./c", "Org/Model-1.5"]


@pytest.mark.parametrize(
    "places",
    [
        ["m.1-7b/metrics.jsonl", "m.1-3b/metrics.jsonl"],
        ["a/m.jsonl", "b/m.jsonl"],
        ["v1.2.jsonl", "v1.3.jsonl"],
        ["x/run.1/metrics.jsonl", "y/run.1/metrics.jsonl", "run.1/metrics.jsonl"],
    ],
)
@pytest.mark.parametrize("folders", [True, False])
def test_every_run_of_a_report_has_a_curve_of_its_own(places, folders, tmp_path):
    files = [curve(tmp_path / place, number) for number, place in enumerate(places)]
    found = find_runs([file.parent if folders and file.name == "metrics.jsonl" else file for file in files])
    assert len(found.curves) == len(places)
    values = [[value for _, value in each["grpo: loss"]] for each in found.curves.values()]
    assert values == [[float(number)] * 3 for number in range(len(places))]


def test_runs_inside_of_one_folder_have_curves_of_their_own(tmp_path):
    for number, place in enumerate(("a.1/metrics.jsonl", "a.2/metrics.jsonl", "a.2/more.jsonl")):
        curve(tmp_path / "runs" / place, number)
    found = find_runs([tmp_path / "runs"])
    assert sorted(found.curves) == ["runs/a.1", "runs/a.2/metrics", "runs/a.2/more"]
    assert {len(each["grpo: loss"]) for each in found.curves.values()} == {3}


def test_a_path_that_is_given_twice_counts_once(tmp_path, monkeypatch):
    curve(tmp_path / "run/metrics.jsonl", 1.0)
    monkeypatch.chdir(tmp_path / "run")
    found = find_runs([Path(), tmp_path / "run", Path("../run")])
    assert {name: len(each["grpo: loss"]) for name, each in found.curves.items()} == {"run": 3}


def test_recordings_that_differ_have_rows_of_their_own_wherever_they_are(tmp_path):
    for folder, player in (("a/run", "legal"), ("b/run", "greedy"), ("c/run", "constant")):
        lines = [
            json.loads(line) for line in recording(tmp_path / "t.jsonl", player).read_text().splitlines()
        ]
        (tmp_path / "t.jsonl").unlink()
        path = tmp_path / "runs" / folder / "turns.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps({**line, "policy": "one"}) + "\n" for line in lines))
    found = find_runs([tmp_path / "runs"])
    assert len(found.played) == 3
    assert {len(each) for each in found.played.values()} == {2}


def test_pages_of_versions_do_not_replace_each_other(tmp_path):
    for version in ("v1.2", "v1.3"):
        assert command("replay", recording(tmp_path / f"{version}.jsonl")).exit_code == 0
    assert (tmp_path / "v1.2.html").exists()
    assert (tmp_path / "v1.3.html").exists()


def test_guests_are_named_by_their_whole_names(tmp_path):
    for name in ("m.1", "m.2"):
        recording(tmp_path / name / "legal/turns.jsonl")
    guests, _ = invite([tmp_path / "m.1", tmp_path / "m.2", tmp_path / "m.1/."], EPISODES)
    assert [guest.name(["legal"]) for guest in guests] == ["legal (m.1)", "legal (m.2)"]


def test_a_file_and_its_compressed_twin_keep_verdicts_apart():
    assert beside(Path("t.jsonl")) == Path("t.verdicts.jsonl")
    assert beside(Path("t.jsonl.zst")) != beside(Path("t.jsonl"))


@pytest.mark.parametrize(
    "names", [("openai:a/b", "openai:a-b"), ("openai:M", "openai:m"), ("openai:x y", "openai:x+y")]
)
def test_policies_that_would_share_a_folder_are_refused_before_a_reply_is_paid(names, tmp_path):
    endpoint = Endpoint(lambda body: said("<answer>left</answer>"))
    asked = Evaluation(suite=SUITE, policies=names, options={"base_url": endpoint.url}, baselines=False)
    with pytest.raises(ValueError, match="have one folder"):
        evaluate(asked, tmp_path / "run")
    assert endpoint.asked == []


# Reports over whatever is there


def test_a_report_is_made_again_over_what_it_has_left(tmp_path, caplog):
    recording(tmp_path / "runs/me.jsonl")
    recording(tmp_path / "runs/you/turns.jsonl", "greedy")
    pages = []
    for _ in range(3):
        done = command("report", *sorted((tmp_path / "runs").iterdir()), "-o", tmp_path / "runs/report.html")
        assert done.exit_code == 0, done.exception
        pages.append((tmp_path / "runs/report.html").read_text())
    assert caplog.text == ""
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".lock", ".part"))]


def test_strays_are_named_and_left_out_and_left_alone(tmp_path, caplog):
    recording(tmp_path / "me.jsonl")
    strays = {"notes.md": "my notes\n", "rows.jsonl": '{"id": 1}\n', "x.zst": "no zst", "half.jsonl": '{"id"'}
    for name, text in strays.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "empty").mkdir()
    found = find_runs(sorted(tmp_path.iterdir()))
    assert set(found.played) == {"legal"}
    assert {name for name in [*strays, "empty"] if f"{name} is left out" in caplog.text} == {*strays, "empty"}
    assert {name: (tmp_path / name).read_text() for name in strays} == strays
    left = {*strays, "empty", "me.jsonl", "me.verdicts.jsonl"}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_a_run_that_writes_a_line_can_be_reported(tmp_path):
    path = curve(tmp_path / "run/metrics.jsonl", 1.0)
    path.write_text(path.read_text() + '{"stage": "grpo", "st')
    assert len(find_runs([tmp_path / "run"]).curves["run"]["grpo: loss"]) == 3


def test_a_page_replaces_pages_alone(tmp_path):
    path = recording(tmp_path / "me.jsonl")
    before = path.read_bytes()
    (tmp_path / "page.html").write_text("<html>mine</html>")
    for arguments in (("report", path, "-o", path), ("replay", path, "-o", tmp_path / "page.html")):
        done = command(*arguments)
        assert "something else than a page of vlm-gym" in str(done.exception)
    assert path.read_bytes() == before
    assert (tmp_path / "page.html").read_text() == "<html>mine</html>"


def test_turns_are_judged_where_verdicts_cannot_be_kept(tmp_path):
    path = recording(tmp_path / "me.jsonl")
    with locked(beside(path)):
        found = list(verdicts(path))
        assert not beside(path).exists()
    beside(path).write_text("mine\n")
    assert list(verdicts(path)) == found
    assert beside(path).read_text() == "mine\n"


@pytest.mark.parametrize(
    "files", [{"run.json": '{"recipe": {}}'}, {"run.json": "{}"}, {"results.json": "{}"}]
)
def test_an_evaluation_does_not_replace_files_of_something_else(files, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    asked = Evaluation(suite=SUITE, policies=["legal"], baselines=False)
    with pytest.raises(ValueError, match="choose another folder"), opened(tmp_path, asked.settings()):
        pass
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


# Texts in knobs

PHOTOS = find("shisen_sho_photos")


@settings(deadline=None)  # a busy machine takes its time
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_of_a_folder_of_pictures_survives_being_spelled(name):
    assert PHOTOS.settle(spell({"kinds": 4, "pictures": name, "cols": 4})).pictures == name
    text = spell(PHOTOS.settle({"pictures": name}))
    assert PHOTOS.settle(text).pictures == name
    assert spell(PHOTOS.settle(text)) == text


@pytest.mark.parametrize("name", ["2024", "1e5", "nan", "a=b", "my photos", "it's"])
def test_a_plain_name_needs_no_quotes(name):
    assert PHOTOS.settle(f"kinds=4,pictures={name},cols=4").pictures == name


def test_spelling_of_what_was_plain_before_is_unchanged():
    assert spell({"level": 2, "pictures": "photos/cats", "x": 0.5}) == "level=2,pictures=photos/cats,x=0.5"
    assert spell(PHOTOS.settle("0")).count('"') == 0


def test_commas_between_quotes_split_neither_knobs_nor_levels():
    text = 'level=2,pictures="a, b",rows=4'
    assert pieces(text) == ["level=2", 'pictures="a, b"', "rows=4"]
    assert levels(["0", f"{text},cols=4", "1,2"]) == ("0", f"{text},cols=4", "1", "2")
    with pytest.raises(ValueError, match="quotes as JSON does"):
        PHOTOS.settle("pictures=a, b")


def test_a_folder_with_a_comma_is_played_by_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in ("cat", "dog", "car", "bus"):
        folder = tmp_path / "photos, 2024" / kind
        folder.mkdir(parents=True)
        for shade in range(3):
            Image.new("RGB", (32, 32), (shade * 60, 90, 30)).save(folder / f"{shade}.png")
    knobs = 'rows=2,cols=4,kinds=4,turns=2,pictures="photos, 2024"'
    how = ["--games", "shisen_sho_photos", "--episodes", "1", "-r", knobs, "-o", "t.jsonl"]
    assert command("rollout", *how).exit_code == 0
    assert command("rollout", *how).exit_code == 0
    assert command("replay", "t.jsonl", "--verify").exit_code == 0


# Films

FILMED = """
import resource, sys
from pathlib import Path
from vlm_gym.episode import Episode
from vlm_gym.replays.film import write_film
from vlm_gym.replays.replay import Play
from vlm_gym.rollouts.policy import make
from vlm_gym.rollouts.rollout import rollout
episode = Episode("2048", "0", "size=6,target=0,turns=200")
turns = list(rollout([episode], make("legal")))
for count in (10, 200):
    write_film(Play(Path("x"), "legal", episode, turns[:count]), Path(sys.argv[1]))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.parametrize("kind", ["gif", "mp4"])
def test_the_memory_of_a_film_does_not_grow_with_the_episode(kind, tmp_path):
    if kind == "mp4":
        pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    done = subprocess.run(
        [sys.executable, "-c", FILMED, tmp_path / f"f.{kind}"], capture_output=True, text=True
    )
    few, many = map(int, done.stdout.split())
    assert many - few < 30, (few, many)  # 200 frames take 100 MB


def test_every_frame_of_a_gif_is_the_picture_of_its_turn(tmp_path):
    (episode,) = [Episode("swap", "2", "level=1,turns=6", "test", 1)]
    play = Play(Path("x"), "legal", episode, list(rollout([episode], make("legal"))))
    write_film(play, tmp_path / "f.gif")
    wanted = [np.asarray(frame, int) for frame in captioned_frames(play)]
    with Image.open(tmp_path / "f.gif") as film:
        assert film.n_frames == len(wanted)
        lasting = []
        for number, frame in enumerate(wanted):
            film.seek(number)
            lasting.append(film.info["duration"])
            assert np.abs(np.asarray(film.convert("RGB"), int) - frame).mean() < 3, number
    assert lasting == [800] * (len(wanted) - 1) + [2400]


def test_a_film_is_whole_or_not_there(tmp_path):
    (episode,) = EPISODES[:1]
    play = Play(Path("x"), "legal", episode, list(rollout([episode], make("legal"))))
    path = tmp_path / "a:b %d" / "f.gif"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(OSError, match=r"f\.gif"):
            write_film(play, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(path.parent.iterdir()) == []
    for kind in ("gif", "mp4"):
        write_film(play, path.with_suffix(f".{kind}"))
    assert sorted(each.name for each in path.parent.iterdir()) == ["f.gif", "f.mp4"]
