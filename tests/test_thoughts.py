"""Thoughts of every game that thinks: graded, judged, and rewarded without a way to cheat."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import Pupil
from third_party.lamps import Lamps

from vlm_gym.actions import parse_for as read_reply
from vlm_gym.check import nothing_hidden_shows, problems, thoughts_can_be_checked
from vlm_gym.envs.run import Run
from vlm_gym.episode import Episode
from vlm_gym.evaluation.judge import judge, verdicts, weigh
from vlm_gym.evaluation.metrics import tally
from vlm_gym.game import State
from vlm_gym.prompt import hint, solution, target
from vlm_gym.recordings.record import Recorder, read, to_line
from vlm_gym.registry import find, names
from vlm_gym.render import look
from vlm_gym.replays.replay import verify
from vlm_gym.rollouts.policy import Baseline
from vlm_gym.rollouts.reward import following, thinking
from vlm_gym.rollouts.rollout import play_reply, rollout
from vlm_gym.rollouts.states import Mixture, sample
from vlm_gym.thought import Thought, accuracy, agreement, fold, grade_sentences, parse_sentence, sentences

THINKERS = [name for name in names() if find(name).grammar]
GRAMMAR = ("{line} holds {tile} twice, not {cell}", "{move} is worth {n}", "none")
FACTS = frozenset({"row 1 holds red heart twice, not (1,2)", "up is worth 4", "none"})


def states(name: str, level: str = "1", count: int = 12) -> list[State]:
    return [
        state
        for _, state, _ in sample(count, [Mixture(game=name, reasoning=level, fresh=1, walk=2, moves=8)], 5)
    ]


def reply(state: State, thought: str, action: str, name: str) -> str:
    return target(find(name).scene(state), thought, action)


def graded(name: str, state: State, thought: str, action: str | None = None) -> float:
    game = find(name)
    said = reply(state, thought, action or game.think(state).action, name)
    score = following(game, state, read_reply(game, state, said))
    assert score is not None
    return score


# ---- grading


def test_sentences_are_lines_or_end_with_a_full_stop() -> None:
    text = " Up is  worth 4. none.\nrow 1 holds red heart twice, not (1,2)\n\n . "
    assert sentences(text) == ["Up is worth 4", "none", "row 1 holds red heart twice, not (1,2)"]
    assert sentences("") == []


def test_a_sentence_is_true_false_repeated_or_foreign() -> None:
    text = (
        "ROW 1  HOLDS RED HEART TWICE, NOT (1,2)\nup is worth 5\nnone\nNone.\nup is worth 5\n"
        "up is worth\nI wonder"
    )
    marks = grade_sentences(text, GRAMMAR, FACTS)
    kinds = [mark.kind for mark in marks]
    assert kinds == ["true", "false", "true", "repeated", "repeated", "foreign", "foreign"]
    assert accuracy(marks) == 2 / 3
    assert accuracy(grade_sentences("I wonder", GRAMMAR, FACTS)) is None


def test_a_template_gives_its_slots_back() -> None:
    assert parse_sentence("Row 12 holds  dark red big heart twice, not (3,10)", GRAMMAR) == (
        GRAMMAR[0],
        ("row 12", "dark red big heart", "(3,10)"),
    )
    assert parse_sentence("row 1 holds a b c d e twice, not (1,2)", GRAMMAR) is None
    assert parse_sentence("up is worth 4 ", GRAMMAR) == (GRAMMAR[1], ("up", "4"))
    with pytest.raises(ValueError, match=r"slot \{card\}"):
        parse_sentence("x", ("{card} wins",))


@given(st.text())
def test_no_text_raises(text: str) -> None:
    marks = grade_sentences(text, GRAMMAR, FACTS)
    assert len(marks) == len(sentences(text))
    assert 0 <= agreement(tuple(FACTS), text, False) < 1
    for name in THINKERS:
        game = find(name)
        game.conclude([text])
        game.conclude(sentences(text))


HARD = ("row 1 holds ", "a ", "(1,", "\n", ". ", " ", "up is worth 4\n", "9", "a b c d e f ", "row 1 row 1 ")


@pytest.mark.parametrize("part", HARD)
def test_grading_takes_linear_time(part: str) -> None:
    def seconds(length: int) -> float:
        text = part * (length // len(part))
        began = time.process_time()
        grade_sentences(text, GRAMMAR, FACTS)
        agreement(tuple(FACTS), text, True)
        return time.process_time() - began

    short = min(seconds(20_000) for _ in range(3))
    assert min(seconds(200_000) for _ in range(3)) < 40 * short + 0.05


# ---- the thoughts of games


@pytest.mark.parametrize("name", THINKERS)
def test_a_thought_is_true_ends_in_its_action_and_earns_all_there_is(name: str) -> None:
    game = find(name)
    for state in states(name):
        thought = game.think(state)
        words = solution(game, state)
        assert words == reply(state, thought.words, thought.action, name)
        parsed = read_reply(game, state, words)
        assert {mark.kind for mark in thinking(game, state, parsed)} == {"true"}
        assert following(game, state, parsed) == 1.0
        verdict = weigh(game, state, parsed)
        assert (verdict.kind, verdict.thought, verdict.best) == ("fine", 1.0, thought.action)
        assert hint(game, state).split("\n") == [thought.action, *thought.steps]
        spoken = ". ".join(thought.steps).upper() + "."
        assert graded(name, state, spoken) == 1.0, "sentences in one line count as lines do"


SAY = """
import json, sys
from vlm_gym.registry import find
from vlm_gym.rollouts.states import Mixture, sample
game = find(sys.argv[1])
found = [s for _, s, _ in sample(8, [Mixture(game=sys.argv[1], reasoning="1", walk=1, moves=8)], 5)]
print(json.dumps([[game.think(s), sorted(game.facts(s))] for s in found]))
"""


@pytest.mark.parametrize("name", THINKERS)
def test_every_process_thinks_the_same(name: str) -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", SAY, name],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert json.loads(said.pop())


@pytest.mark.parametrize("name", THINKERS)
def test_no_trick_pays_more_than_the_thought(name: str) -> None:
    game = find(name)
    for state in states(name):
        thought, facts = game.think(state), sorted(game.facts(state))
        tricks = {
            "left out": "",
            "nothing but spaces": " \n ",
            "repeated": "\n".join([*thought.steps, *thought.steps]),
            "each twice": "\n".join(step for step in thought.steps for _ in range(2)),
            "one true sentence": thought.steps[-1],
            "one true sentence again and again": "\n".join([thought.steps[0]] * 9),
            "all facts": "\n".join(facts),
            "the thought, then all facts": "\n".join([*thought.steps, *facts]),
            "padded": thought.words + "\nso it is",
            "backwards": "\n".join(thought.steps[::-1]) if thought.steps[1:] else "",
            "the answer alone": f"play {thought.action}",
        }
        for trick, words in tricks.items():
            if words.split("\n") != list(thought.steps):
                assert graded(name, state, words) < 1.0, trick
        for other in game.legal(state):
            if other != thought.action:
                assert graded(name, state, thought.words, other) < 1.0, "an answer that does not follow"


@pytest.mark.parametrize("name", THINKERS)
def test_each_trick_costs_and_each_right_step_pays(name: str) -> None:
    game = find(name)
    for state in states(name):
        steps = game.think(state).steps
        scores = [graded(name, state, "\n".join(steps[:count])) for count in range(len(steps) + 1)]
        assert scores == sorted(scores)
        assert scores[0] == 0.0
        assert len(set(scores)) == len(scores)
        junk = [graded(name, state, "\n".join([*steps, *["and so on"] * count])) for count in range(6)]
        assert junk == sorted(junk, reverse=True)
        assert len(set(junk)) == len(junk)


def test_the_score_of_a_thought_by_hand() -> None:
    steps = ("a", "b", "c")
    assert agreement(steps, "a\nb\nc", True) == 1.0
    assert agreement(steps, "a\nb\nc", False) == 3 / 4
    assert agreement(steps, "a\nc", False) == 2 / 4
    assert agreement(steps, "c\na\nb", True) == 3 / 4
    assert agreement(steps, "a\nb\nb\nc", True) == 4 / 5
    assert agreement(steps, "", False) == 0.0


# ---- judging


def test_a_bad_move_after_a_false_sentence_is_misthought() -> None:
    game = find("2048")
    run = Run(game, game.settle("0"), look("0"))
    run.start(3)
    state = replace(run.state, cells=bytes([3, 3, 0, 0, 2, 2, 0, 0, *[0] * 8]))
    scene, facts = game.scene(state).describe(), sorted(game.facts(state))
    true, false = facts[0], "row 1 scores 4"
    wrong = scene.replace("8", "16")
    for seen, thought, kind, share in (
        (scene, false, "misthought", 0.0),
        (scene, f"{true}\n{false}", "misthought", 0.5),
        (scene, true, "misplanned", 1.0),
        (scene, "who knows", "misplanned", None),
        (wrong, false, "misread", 0.0),
    ):
        words = f"<perception>{seen}</perception><think>{thought}</think><answer>down</answer>"
        verdict = weigh(game, state, read_reply(game, state, words))
        assert (verdict.kind, verdict.thought) == (kind, share)
    unseen = f"<think>{false}</think><answer>down</answer>"
    assert weigh(game, state, read_reply(game, state, unseen)).kind == "misthought"


def test_thought_accuracy_is_counted_over_turns() -> None:
    episode = Episode("2048", "0", "0", "test", 3)
    game = find("2048")
    run = Run(game, game.settle("0"), look("0"))
    run.start(episode.seed)
    state = run.state
    fact = sorted(game.facts(state))[0]
    turns = []
    for thought in (fact, f"{fact}\nup scores 2 then 999", "why"):
        run.state = state
        words = reply(state, thought, game.legal(state)[0], "2048")
        turns.append(play_reply(run, episode, "script", words, ""))
    counted = tally(turns, [judge(turn) for turn in turns])
    assert (counted["thought"], counted["true"], counted["turns"]) == (2, 1.5, 3)


# ---- old recordings, and games that do not think


def old(path: Any) -> None:
    """Take out of a recording what it lacked before thoughts were graded."""
    lines = []
    for turn in list(read(path)):
        rewards = {name: value for name, value in turn.rewards.items() if name != "thought"}
        lines.append(to_line(replace(turn, rewards=rewards)))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_old_recordings_open_verify_and_are_judged(tmp_path) -> None:
    path = tmp_path / "turns.jsonl"
    with Recorder(path) as recorder:
        recorder.write(*rollout([Episode("2048", "0", "0", "train", 1)], Pupil()))
        recorder.write(*rollout([Episode("2048", "0", "0", "train", 1)], Baseline("solver")))
    old(path)
    assert all("thought" not in turn.rewards for turn in read(path))
    assert verify(path).problems == []
    assert [*verdicts(path)] == [judge(turn) for turn in read(path)]
    tampered = path.read_text(encoding="utf-8").replace('"format":1.0', '"format":0.5', 1)
    path.write_text(tampered, encoding="utf-8")
    assert [problem.field for problem in verify(path).problems] == ["rewards"]


def test_verdicts_kept_before_thoughts_were_graded_are_made_again(tmp_path) -> None:
    path = tmp_path / "turns.jsonl"
    with Recorder(path) as recorder:
        recorder.write(*rollout([Episode("2048", "0", "0", "train", 1)], Baseline("solver")))
    fresh = list(verdicts(path))
    kept = tmp_path / "turns.verdicts.jsonl"
    heading, *lines = kept.read_text().split("\n")
    earlier = json.loads(heading)
    del earlier["version"]
    text = "\n".join([json.dumps(earlier, separators=(",", ":")), *lines])
    kept.write_text(text.replace('"fine"', '"misread"'))
    assert list(verdicts(path)) == fresh


class Thinks(Lamps):
    """Switches off the first lit window, and says so."""

    grammar = ("window {n} is lit", "the first window is {n}")

    def think(self, state):
        if state.over:
            return None
        return Thought((f"the first window is {state.lit[0]}",), str(state.lit[0]), 1.0)

    def facts(self, state):
        lit = frozenset(f"window {window} is lit" for window in state.lit)
        return lit | {f"the first window is {state.lit[0]}"} if state.lit else lit

    def conclude(self, steps):
        for step in steps:
            match parse_sentence(step, self.grammar):
                case ("the first window is {n}", (number,)):
                    return number
        return None


class Untrue(Thinks):
    def facts(self, state):
        return frozenset([f"window {window} is lit" for window in state.lit])


class Hasty(Thinks):
    def think(self, state):
        thought = super().think(state)
        return thought and thought._replace(steps=(*thought.steps, f"window {state.lit[0]} is lit"))


class Vague(Thinks):
    def facts(self, state):
        return super().facts(state) | {"all is well"}


class Mute(Thinks):
    def conclude(self, steps):
        return None


class Shy(Thinks):
    def think(self, state):
        return None


class Peeks(Thinks):
    def facts(self, state):
        return super().facts(state) | {f"window {state.seed} is lit"}


class Wordy(Thinks):
    def think(self, state):
        thought = super().think(state)
        return thought and thought._replace(steps=(f"window {'1' * 401} is lit", *thought.steps))


class Stubborn(Thinks):
    def values(self, state):
        return {action: float(at > 0) for at, action in enumerate(self.legal(state))}


def test_a_game_whose_thoughts_hold_passes_and_one_without_any_does() -> None:
    assert problems(thoughts_can_be_checked, Thinks()) == []
    assert problems(thoughts_can_be_checked, Lamps()) == []


@pytest.mark.parametrize("game", [Untrue, Hasty, Vague, Mute, Shy, Wordy, Stubborn])
def test_a_game_whose_thoughts_break_the_contract_is_caught(game: type[Lamps]) -> None:
    assert problems(thoughts_can_be_checked, game())


def test_facts_that_no_player_has_been_shown_are_caught() -> None:
    assert problems(nothing_hidden_shows, Thinks()) == []
    assert any("facts()" in problem for problem in problems(nothing_hidden_shows, Peeks()))


def test_a_game_without_thoughts_is_still_graded() -> None:
    game = Lamps()
    state = game.start(0, game.levels[0])
    said = read_reply(game, state, f"<think>so</think><answer>{state.lit[0]}</answer>")
    assert thinking(game, state, said) == ()
    assert following(game, state, said) is None
    assert weigh(game, state, said).thought is None
    assert hint(game, state) == ""
    assert solution(game, state) is None


def test_folding_forgets_case_and_spaces() -> None:
    assert fold("  Row\t1 \u00a0 IS lit ") == "row 1 is lit"
