"""Leaderboard files that somebody made up, in whole or in part: `check` names what cannot be true of each."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recordings import Pupil, record

from vlm_gym.envs.run import Run
from vlm_gym.evaluation.evaluate import Evaluation, evaluate
from vlm_gym.evaluation.leaderboard import _digest, check_leaderboard, submit
from vlm_gym.evaluation.proof import hash_of
from vlm_gym.evaluation.suite import Part, Suite, suite, title_of
from vlm_gym.recordings.record import read, to_line
from vlm_gym.registry import find
from vlm_gym.render import look
from vlm_gym.replays.replay import plays
from vlm_gym.rollouts.policy import MODELS, Baseline, RawReply, Refusal
from vlm_gym.rollouts.rollout import play_reply as play_one
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.storage import read_json, write_json

pytestmark = pytest.mark.faults

SUITE = Suite(
    about="Small boards, few turns",
    part=(Part(games=("2048",), perception=("level=0,size=96",), reasoning=("0",), episodes=3, turns=5),),
)
MODEL = "hf:little"
FOLDER = "hf-little"
Entry = dict[str, Any]


class Little(Pupil):
    """A model that half knows the game, and says how long it took."""

    portable = False

    def __init__(self, name: str, temperature: float = 0.0, max_tokens: int = 1024, seed: int = 0) -> None:
        self.name = f"hf:{name}"

    def act(self, requests):
        return [RawReply(reply, {"tokens": 30.0, "seconds": 0.25}) for reply in super().act(requests)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run, and its honest file."""
    out = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "hf", f"{__name__}:Little")
        evaluate(Evaluation(suite=SUITE, name="mine", policies=[MODEL], quiet=True), out)
        submit(out, out / "board.json")
    return out


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "hf", f"{__name__}:Little")
    return shutil.copytree(made, tmp_path / "run")


def sign(path: Path, alter: Callable[[Entry], object]) -> None:
    """Change a file, with the digest that fits."""
    entry = read_json(path)
    alter(entry)
    entry["digest"] = _digest({name: value for name, value in entry.items() if name != "digest"})
    write_json(path, entry)


def swap_turns(run: Path, policy: str, lines: list[str]) -> Path:
    """Replace the turns of a policy, and their hash in the file."""
    path = run / policy.replace(":", "-") / "turns.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    sign(run / "board.json", lambda entry: entry["turns"].update({policy: hash_of(path)}))
    return path


def lines_of(run: Path, folder: str = FOLDER) -> list[str]:
    return (run / folder / "turns.jsonl").read_text().splitlines()


def problems(run: Path, given: bool = True) -> str:
    return "\n".join(check_leaderboard(run / "board.json", [run] if given else []).problems)


def test_the_honest_file_passes_with_turns_and_says_what_is_not_proved_without(run):
    assert check_leaderboard(run / "board.json", [run]).problems == []
    alone = check_leaderboard(run / "board.json")
    assert (alone.problems, alone.unproved) == ([], [MODEL])
    assert alone.replayed == ["random", "greedy", "solver"]


def test_a_file_with_the_earlier_name_of_the_reply_budget_is_checked_as_before(run):
    def as_earlier(entry: Entry) -> None:
        how = entry["settings"][MODEL]
        how["patience"] = how.pop("reply_budget")

    sign(run / "board.json", as_earlier)
    assert check_leaderboard(run / "board.json", [run]).problems == []


@pytest.mark.parametrize("given", [True, False], ids=["with turns", "alone"])
@pytest.mark.parametrize("player", ["random", "solver"])
def test_numbers_of_a_player_are_those_of_its_play_whether_its_turns_are_given_or_not(run, player, given):
    def easier(entry):
        row = next(row for row in entry["policies"] if row["policy"] == player)
        row["overall"]["numbers"]["success"][0] = 0.4321

    sign(run / "board.json", easier)
    assert f"policies {player} overall numbers success" in problems(run, given)


@pytest.mark.parametrize("given", [True, False], ids=["with turns", "alone"])
def test_turns_that_a_player_would_not_play_are_no_turns_of_it(run, given):
    """A weaker solver lifts every normalised score: turns of another player, whose numbers all fit."""
    episodes = SUITE.episodes()
    weaker = [replace(turn, policy="solver") for turn in rollout(episodes, Baseline("legal"))]
    path = swap_turns(run, "solver", [to_line(turn) for turn in weaker])
    submit(run, run / "board.json")  # all numbers are computed from what lies there
    if not given:
        assert "solver plays other turns" in problems(run, given)
        return
    assert f"{path}, line 1: solver does not play this" in problems(run)


def test_the_hash_of_a_players_turns_is_that_of_its_play(run):
    sign(run / "board.json", lambda entry: entry["turns"].update(random="0" * 64))
    assert "the file of random cannot have this hash" in problems(run, given=False)


def test_no_turn_of_a_model_is_taken_back(run):
    lines = lines_of(run)
    at = next(place for place, line in enumerate(lines) if json.loads(line)["number"] == 1)
    path = swap_turns(run, MODEL, [*lines[: at + 1], lines[at], *lines[at + 1 :]])
    assert f"{path}, line {at + 2}: number: turn 1 where turn 2 follows" in problems(run)
    other = json.loads(lines[at])
    again = {**other, "reply": "<answer>up</answer>"}
    path = swap_turns(run, MODEL, [*lines[: at + 1], json.dumps(again), *lines[at + 1 :]])
    assert f"{path}, line {at + 2}: number" in problems(run)


def test_no_episode_of_a_model_is_played_twice(run):
    lines = lines_of(run)
    first = json.loads(lines[0])["episode"]
    whole = [line for line in lines if json.loads(line)["episode"] == first]
    for forged in ([*whole, *lines], [*lines, *whole]):
        path = swap_turns(run, MODEL, forged)
        told = problems(run)
        assert f"{path}, line " in told
        assert "belongs" in told
        with pytest.raises(ValueError, match="twice"):
            submit(run, run / "other.json")


def test_episodes_stand_in_the_order_of_the_suite_and_none_is_left_out(run):
    lines = lines_of(run)
    first = json.loads(lines[0])["episode"]
    whole = [line for line in lines if json.loads(line)["episode"] == first]
    swap_turns(run, MODEL, [*lines[len(whole) :], *whole])
    assert "line 1: turn 0 of Episode" in problems(run)
    swap_turns(run, MODEL, lines[len(whole) :])
    assert "lacks Episode" in problems(run)
    swap_turns(run, MODEL, lines[:-1])
    assert "lacks Episode" in problems(run)


def test_all_turns_of_a_file_are_by_one_model(run):
    lines = lines_of(run)
    path = swap_turns(run, MODEL, [*lines[:3], lines[3].replace(MODEL, "hf:larger"), *lines[4:]])
    assert f"{path}, line 4" in problems(run)


def test_a_model_sees_every_position(run):
    lines = [json.dumps({**json.loads(line), "picture": ""}) for line in lines_of(run)]
    path = swap_turns(run, MODEL, lines)
    assert f"{path}, line 1: picture: a model is shown a picture" in problems(run)


def test_only_an_endpoint_refuses_a_position(run):
    """A refusal ends an episode, which could be made up to leave before the worst is over."""
    lines = lines_of(run)
    turns = list(read(run / FOLDER / "turns.jsonl"))
    (play, *_) = plays(run / FOLDER / "turns.jsonl")
    position = Run(find("2048"), play.turns[0].state.knobs, look(play.episode.perception))
    position.state = play.turns[0].state
    left = play_one(position, play.episode, MODEL, Refusal("filtered"), turns[0].picture)
    path = swap_turns(run, MODEL, [to_line(left), *lines[len(play.turns) :]])
    assert f"{path}, line 1: refused: no endpoint stands between" in problems(run)


def test_turns_are_late_exactly_where_the_time_of_the_episode_is_up(run):
    lines = [json.loads(line) for line in lines_of(run)]
    lost = next(place for place, line in enumerate(lines) if not line["action"] and line["number"])
    kept = [json.dumps(line) for line in lines]
    excused = json.dumps({**lines[lost], "usage": {"late": 1.0}})
    path = swap_turns(run, MODEL, [*kept[:lost], excused, *kept[lost + 1 :]])
    assert f"{path}, line {lost + 1}: usage: late, with" in problems(run)
    swap_turns(run, MODEL, kept)
    sign(run / "board.json", lambda entry: entry["settings"][MODEL].update(reply_budget=0.5))
    assert "usage: not late, with 0.5 seconds of replies before it" in problems(run)
    third = next(place for place, line in enumerate(lines) if line["number"] == 2)
    talking = json.dumps({**lines[third], "usage": {"late": 1.0}})
    swap_turns(run, MODEL, [*kept[:third], talking, *kept[third + 1 :]])
    assert "a late turn has no reply" in problems(run)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("core", "is called core, and is not the suite core"),
        ("quick", "is called quick"),
        ("Core ", "can be taken for core"),
        ("ｃｏｒｅ", "can be taken for core"),
        ("сore", "can be taken for a name in ASCII"),
        ("c-o-r-e", "can be taken for core"),
    ],
)
def test_a_suite_bears_no_name_of_another(run, name, says):
    sign(run / "board.json", lambda entry: entry["suite"].update(name=name))
    assert says in problems(run, given=False)


def test_a_suite_of_fewer_episodes_gives_its_shipped_name_up():
    core = suite("core")
    assert title_of("core", core) == "core"
    assert title_of("core", core.with_limits(2, None, None)) == "core (changed)"
    assert title_of("my own", SUITE) == "my own"


def _set(*place: str | int) -> Callable[[Any], Callable[[Entry], None]]:
    def to(value: Any) -> Callable[[Entry], None]:
        def alter(entry: Entry) -> None:
            inner: Any = entry
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value

        return alter

    return to


ALONE = {
    "a version to come": (_set("versions", "vlm_gym")("99.0"), "newer than this one"),
    "a version that never was": (_set("versions", "numpy")("0.0.1"), "versions: numpy"),
    "an old python": (_set("versions", "python")("2.7.18"), "versions: python"),
    "words for a version": (_set("versions", "python")("3.11 (official)"), "versions: python"),
    "one more version": (_set("versions", "cuda")("13"), "unknown key 'cuda'"),
    "another split": (_set("seeds", "split")("train"), "seeds: split is 'train'"),
    "a lucky seed": (_set("seeds", "resampling")(7), "seeds: resampling is 7"),
    "false for 0": (_set("seeds", "resampling")(False), "seeds: resampling is False"),
    "another seed of decoding": (_set("seeds", "decoding")(1), "seeds: decoding is 1"),
    "narrower intervals": (_set("intervals", "confidence")(0.5), "intervals: confidence is 0.5"),
    "fewer resamples": (_set("intervals", "resamples")(10), "intervals: resamples is 10"),
    "another temperature": (_set("settings", MODEL, "decoding", "temperature")(1.0), "does not decode"),
    "one more option": (_set("settings", MODEL, "decoding", "top_p")(0.9), "does not decode"),
    "one more setting": (_set("settings", MODEL, "tries")(8), "unknown key 'tries'"),
    "settings of a player": (_set("settings", "random")({"seed": 3}), "unknown key 'seed'"),
    "settings of nobody": (_set("settings", "hf:other")({}), "unknown key 'hf:other'"),
    "files of no folder": (_set("settings", MODEL, "files")("mine"), "not the fingerprint"),
    "time that runs backwards": (_set("settings", MODEL, "reply_budget")(-1), "reply_budget is -1"),
    "no hash": (_set("turns", MODEL)("none"), "no SHA-256"),
    "a policy without a row": (_set("turns", "legal")("0" * 64), "legal"),
    "one more entry": (_set("prize")("won"), "unknown key 'prize'"),
    "one more entry of the suite": (_set("suite", "prize")("won"), "unknown key 'prize'"),
    "episodes without end": (_set("suite", "cells", 0, "episodes")(10**9), "the digest of the suite"),
    "a person": (lambda entry: entry["policies"][3].update(policy="human"), "policies: rows of"),
}


@pytest.mark.parametrize("name", ALONE)
def test_what_no_run_can_have_written_is_named_without_any_turns(run, name):
    alter, says = ALONE[name]
    sign(run / "board.json", alter)
    try:
        told = problems(run, given=False)
    except ValueError as error:
        told = str(error)
        assert "\n" not in told
        assert str(run / "board.json") in told
    assert says in told


def test_more_episodes_than_anybody_plays_are_refused_at_once(run):
    def endless(entry):
        entry["suite"]["cells"][0]["episodes"] = 10**9
        entry["suite"]["digest"] = _digest({n: entry["suite"][n] for n in ("cells", "history", "decoding")})

    sign(run / "board.json", endless)
    assert "episodes=1000000000 is not possible" in problems(run, given=False)


@pytest.mark.parametrize("name", ["human", "Random", "solver ", "random\u200b", "the best", ":", "hf:"])
def test_a_name_is_that_of_a_player_or_of_a_model(run, name):
    def rename(entry):
        for place in ("settings", "turns"):
            entry[place] = {
                name if policy == MODEL else policy: each for policy, each in entry[place].items()
            }
        entry["policies"][3]["policy"] = name

    sign(run / "board.json", rename)
    try:
        told = problems(run, given=False)
    except ValueError as error:
        told = str(error)
    assert "neither a player nor the name of a model" in told or "policy is" in told or "rows of" in told


ROWS = {
    "an invented number": (_set("policies", 3, "overall", "numbers", "genius")([1.0, 1.0, 1.0]), "genius"),
    "an invented entry of a row": (_set("policies", 3, "rank")(1), "rank"),
    "an invented kind": (_set("policies", 3, "overall", "kinds", "brilliant")(5), "brilliant"),
    "an interval a little better": (
        lambda entry: entry["policies"][3]["overall"]["numbers"]["score"].__setitem__(
            1, entry["policies"][3]["overall"]["numbers"]["score"][1] * 1.0002
        ),
        "overall numbers score",
    ),
    "a count as a fraction": (_set("policies", 3, "overall", "episodes")(3.0), "overall episodes"),
    "a count as a truth value": (_set("policies", 3, "overall", "kinds", "fine")(True), "kinds fine"),
    "no number for a number": (_set("policies", 3, "overall", "numbers", "legal")("all"), "numbers legal"),
    "one more game": (_set("policies", 3, "games", "chess")({}), "chess"),
    "an invented comparison": (
        lambda entry: entry["comparisons"].append(
            {**entry["comparisons"][0], "difference": [9.0, 8.0, 10.0]}
        ),
        "comparisons",
    ),
    "a comparison without its difference": (
        lambda entry: entry["comparisons"][0].update(difference=[0.0, 0.0, 0.0]),
        "difference",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_the_turns_do_not_give_is_named(run, name):
    alter, says = ROWS[name]
    sign(run / "board.json", alter)
    assert says in problems(run)


def test_a_key_that_is_given_twice_is_refused(run):
    """One reader would take the first, another the last."""
    path = run / "board.json"
    text = path.read_text()
    path.write_text(text.replace('"intervals": {', '"intervals": {}, "intervals": {', 1))
    with pytest.raises(ValueError, match="the key 'intervals' is given twice"):
        check_leaderboard(path)


def test_two_files_of_one_policy_are_not_chosen_from(run, tmp_path):
    better = record(tmp_path / "turns.jsonl", Little("little"), SUITE.episodes())
    with pytest.raises(ValueError, match="both hold turns of hf:little; give one of them"):
        check_leaderboard(run / "board.json", [run, better])


def test_a_forged_file_of_verdicts_changes_no_submission(run):
    """Verdicts beside the turns are for speed; a changed one is made again, and `check` reads none."""
    before = read_json(run / "board.json")
    kept = run / FOLDER / "turns.verdicts.jsonl"
    kept.write_text(kept.read_text().replace('["misformatted",null,false', '["illegal",null,false'))
    submit(run, run / "again.json")
    assert read_json(run / "again.json")["policies"] == before["policies"]
    assert check_leaderboard(run / "board.json", [run]).problems == []


def test_a_submission_of_a_version_with_fewer_knobs_still_holds(run):
    """What came later with a default means what it meant: that knob was as its default is."""

    def older(entry):
        del entry["suite"]["cells"][0]["look"]["noise"]
        told = {name: entry["suite"][name] for name in ("cells", "history", "decoding")}
        entry["suite"]["digest"] = _digest(told)

    sign(run / "board.json", older)
    assert problems(run) == ""

    def forged(entry):
        del entry["suite"]["cells"][0]["look"]["size"]  # 96 here, and not the default
        told = {name: entry["suite"][name] for name in ("cells", "history", "decoding")}
        entry["suite"]["digest"] = _digest(told)

    sign(run / "board.json", forged)
    assert "is another level" in problems(run)


def test_turns_of_a_model_that_are_made_up_line_by_line_are_denied(run):
    """The rules give score, rewards and what comes next: better ones are named by line and field."""
    turns = list(read(run / FOLDER / "turns.jsonl"))
    forged = [*turns[:2], replace(turns[2], score=turns[2].score + 64), *turns[3:]]
    path = swap_turns(run, MODEL, [to_line(turn) for turn in forged])
    assert f"{path}, line 3: score" in problems(run)
