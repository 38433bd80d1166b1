"""Numbers: counted by hand, computed a second way, and compared episode by episode."""

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from recordings import Pupil

from vlm_gym.envs.run import Run
from vlm_gym.episode import Episode
from vlm_gym.evaluation.judge import KINDS, judge, judge_all
from vlm_gym.evaluation.metrics import BASELINES, NORMALISED, NUMBERS, summarise, tallies, tally
from vlm_gym.evaluation.suite import Cell
from vlm_gym.registry import find
from vlm_gym.render import look
from vlm_gym.rollouts.baselines import PLAYERS, play_baseline
from vlm_gym.rollouts.policy import Baseline, RawReply
from vlm_gym.rollouts.rollout import play_reply, rollout


def count(policy, episodes):
    turns = list(rollout(episodes, policy, parallel_episodes=1))
    return tallies(turns, judge_all(turns))


def episodes(game="2048", level="0", number=6, perception="0"):
    return [Episode(game, perception, level, "test", index) for index in range(number)]


def counts(**given: float) -> Mapping[str, float]:
    """Counts of an episode of one turn."""
    names = {name for pair in NUMBERS.values() for name in pair} | {"told", "thought"}
    return dict.fromkeys(names, 0.0) | {"episodes": 1.0, "turns": 1.0} | given


def scores(game, level, *values, perception="0", name="return"):
    return {
        episode: counts(**{name: value})
        for episode, value in zip(episodes(game, level, len(values), perception), values, strict=True)
    }


def overall(summary, policy):
    (row,) = [row for row in summary.rows if row.policy == policy]
    return {name: estimate.mean for name, estimate in row.overall.estimates.items()}


def test_an_episode_is_counted_as_it_went():
    """Six replies to one board, 8 8 above 4 4: left and right win, down does not, up is not legal."""
    episode = Episode("2048", "0", "0", "test", 3)
    game = find("2048")
    run = Run(game, game.settle("level=0,reward=progress"), look("0"))
    run.start(episode.seed)
    state = replace(run.state, cells=bytes([3, 3, 0, 0, 2, 2, 0, 0, *[0] * 8]), score=8.0)
    right = f"<perception>{game.scene(state).describe()}</perception>"
    wrong = right.replace("8", "16")
    replies = {
        RawReply("I see a board.", {"tokens": 10, "seconds": 2.0}): "misformatted",
        f"{wrong}<answer>up</answer>": "illegal",
        f"{wrong}<think>so</think><answer>down</answer>": "misread",
        f"{right}<think>so</think><answer>down</answer>": "misplanned",
        RawReply(f"{right}<think>so</think><answer>left</answer>", {"tokens": 30, "seconds": 1.0}): "fine",
        "<answer>right</answer>": "fine",
    }
    turns = []
    for reply in replies:
        run.state = state
        turns.append(play_reply(run, episode, "script", reply, ""))
    verdicts = [judge(turn) for turn in turns]
    assert [verdict.kind for verdict in verdicts] == list(replies.values())
    assert tally(turns, verdicts) == {
        "episodes": 1,
        "turns": 6,
        "score": 8 + 16 + 8,
        "success": 1,
        "return": -1 - 1 + 0 + 0 + 1 + 1,
        "legal": 4,
        "format": 3,
        "characters": sum(map(len, replies)),
        "told": 4,
        "cells": pytest.approx(2 * 14 / 16 + 2),
        "exact": 2,
        "thought": 0,
        "true": 0,
        "fine_seen": 1,
        **{"misformatted": 1, "illegal": 1, "misread": 1, "misthought": 0, "misplanned": 1, "fine": 2},
        **{"tokens": 40, "seconds": 3.0, "tokens_in": 0, "dollars": 0, "late": 0, "cut": 0, "refused": 0},
    }


@pytest.mark.parametrize("player", ["random", "greedy", "solver"])
def test_means_are_those_of_the_game_played_without_any_of_this(player):
    game = find("swap")
    knobs = game.settle("1")
    outcomes = [
        play_baseline(game, knobs, episode.seed, PLAYERS[player]) for episode in episodes("swap", "1")
    ]
    means = overall(summarise({player: count(Baseline(player), episodes("swap", "1"))}), player)
    assert means["score"] == pytest.approx(np.mean([outcome.score for outcome in outcomes]))
    assert means["success"] == pytest.approx(np.mean([outcome.success for outcome in outcomes]))
    assert means["return"] == pytest.approx(np.mean([outcome.total for outcome in outcomes]))
    assert means["turns"] == pytest.approx(np.mean([outcome.turns for outcome in outcomes]))


def test_rates_are_shares_of_all_turns_of_a_square():
    turns = list(rollout(episodes(level="1"), Pupil()))
    verdicts = [judge(turn) for turn in turns]
    means = overall(summarise({"pupil": tallies(turns, verdicts)}), "pupil")
    exact = [verdict for verdict in verdicts if verdict.exact]
    assert means["legal"] == pytest.approx(np.mean([turn.action is not None for turn in turns]))
    assert means["format"] == pytest.approx(np.mean([turn.rewards["format"] for turn in turns]))
    assert means["perception"] == pytest.approx(np.mean([turn.rewards["perception"] for turn in turns]))
    assert means["exact"] == pytest.approx(len(exact) / len(turns))
    assert means["reasoning"] == pytest.approx(np.mean([verdict.good for verdict in verdicts]))
    assert means["reasoning_seen"] == pytest.approx(np.mean([verdict.good for verdict in exact]))
    assert means["characters"] == pytest.approx(np.mean([len(turn.reply) for turn in turns]))
    assert sum(means[kind] for kind in KINDS) == pytest.approx(1)


def test_what_a_policy_does_not_tell_is_not_a_number():
    blind = overall(summarise({"greedy": count(Baseline("greedy"), episodes())}), "greedy")
    assert not {"perception", "exact", "reasoning_seen", "tokens", "seconds", "dollars", "late"} & set(blind)
    assert {"legal", "reasoning", "characters"} <= set(blind)


def test_random_is_0_and_the_solver_100_in_every_place():
    suite = [*episodes("2048", "0", 8), *episodes("swap", "1", 4), *episodes("swap", "1", 4, "3")]
    summary = summarise({name: count(Baseline(name), suite) for name in BASELINES})
    for row in summary.rows:
        for numbers in (row.overall, *row.games.values(), *row.cells.values()):
            estimate = numbers.estimates[NORMALISED]
            if row.policy != "greedy":
                assert estimate == (pytest.approx([100 * (row.policy == "solver")] * 3))


def test_scores_are_normalised_by_square_and_games_count_alike():
    played = {
        name: {
            **scores("swap", "3", *swap),
            **scores("shisen_sho", "0", *first),
            **scores("shisen_sho", "4", *second),
        }
        for name, swap, first, second in (
            ("random", [0, 2], [0], [10]),
            ("solver", [10, 12], [8], [50]),
            ("model", [3, 4], [8], [30]),
        )
    }
    summary = summarise(played)
    (model,) = [row for row in summary.rows if row.policy == "model"]
    cells = {cell.reasoning: numbers.estimates[NORMALISED].mean for cell, numbers in model.cells.items()}
    assert cells == pytest.approx({"3": 25, "0": 100, "4": 50})
    games = {game: numbers.estimates[NORMALISED].mean for game, numbers in model.games.items()}
    assert games == pytest.approx({"swap": 25, "shisen_sho": 75})
    assert overall(summary, "model")[NORMALISED] == pytest.approx(50)
    assert "score" not in model.overall.estimates  # tiles and pairs have no mean


def test_scores_are_normalised_where_the_paper_rewards_are_paid():
    played = {
        name: {
            episode: counts(score=score, **{"return": total})
            for episode, score, total in zip(episodes("2048", "paper", 2), *told, strict=True)
        }
        for name, told in (
            ("random", ([700, 710], [90, 94])),
            ("solver", ([1000, 1010], [50, 50])),
            ("model", ([850, 860], [80, 94])),
        )
    }
    assert overall(summarise(played), "model")[NORMALISED] == pytest.approx(50)


def test_nothing_is_normalised_without_both_ends_on_the_same_episodes():
    played = {"solver": scores("swap", "3", 10, 12), "model": scores("swap", "3", 3, 4)}
    assert NORMALISED not in overall(summarise(played), "model")
    played["random"] = scores("swap", "3", 1)
    assert NORMALISED not in overall(summarise(played), "model")
    played["random"] = scores("swap", "3", 20, 20)  # an end that is no lower than the other
    assert NORMALISED not in overall(summarise(played), "model")


def test_differences_are_between_the_same_episodes():
    """Both ways of playing share their luck, so the difference is far surer than either score."""
    luck = np.random.default_rng(5).normal(50, 20, 30)
    played = {
        "one": scores("swap", "4", *(luck + 2), name="score"),
        "other": scores("swap", "4", *luck, name="score"),
    }
    summary = summarise(played)
    (ahead,) = [each for each in summary.comparisons if (each.place, each.number) == ("overall", "score")]
    assert (ahead.one, ahead.other, ahead.episodes) == ("other", "one", 30)
    assert ahead.difference == pytest.approx((-2, -2, -2))
    score = summary.rows[0].overall.estimates["score"]
    assert score.high - score.low > 10


def test_policies_are_compared_on_what_both_have_played():
    played = {
        "one": scores("swap", "4", 5, 5, 100, name="score"),
        "other": scores("swap", "4", 3, 3, name="score"),
    }
    summary = summarise(played)
    found = {(each.place, each.number): each for each in summary.comparisons}
    assert found["overall", "score"].difference.mean == -2
    assert found["overall", "score"].episodes == 2
    assert found["swap p0 r4", "score"] == found["overall", "score"]._replace(place="swap p0 r4")
    strangers = {"one": scores("swap", "4", 5), "other": scores("swap", "3", 3)}
    assert not summarise(strangers).comparisons


def test_the_order_of_episodes_changes_nothing():
    counted = count(Pupil(), [*episodes("2048", "0"), *episodes("swap", "0")])
    backwards = dict(reversed(counted.items()))
    assert summarise({"pupil": counted}) == summarise({"pupil": backwards})


def test_numbers_stand_where_they_belong_and_can_be_written_down():
    counted = count(Pupil(), [*episodes("2048", "0"), *episodes("swap", "0", 1, "4")])
    plain = json.loads(json.dumps(summarise({"pupil": counted, "nobody": {}}).plain(), allow_nan=False))
    pupil, nobody = plain["policies"]
    assert [(cell["game"], cell["perception"], cell["episodes"]) for cell in pupil["cells"]] == [
        ("2048", "0", 6),
        ("swap", "4", 1),
    ]
    assert pupil["overall"]["episodes"] == 7
    assert pupil["overall"]["turns"] == sum(pupil["overall"]["kinds"].values())
    score = pupil["cells"][1]["numbers"]["score"]
    assert score[0] is not None
    assert score[1:] == [None, None]  # one episode tells nothing about the spread
    assert nobody == {"policy": "nobody", "cells": [], "games": {}, "overall": nobody["overall"]}
    assert nobody["overall"]["episodes"] == 0
    assert summarise({"pupil": counted}).rows[0].cells[Cell("swap", "4", "0")].episodes == 1
