"""Games that ask for all that the core offers, each in one file: they keep every rule and work everywhere."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from vlm_gym.trainers.recipe import Task
from worlds import fog, nim, throw

from vlm_gym import registry
from vlm_gym.actions import parse_for
from vlm_gym.check import RULES, problems
from vlm_gym.dice import Dice
from vlm_gym.envs.mixed import TextVectorEnv
from vlm_gym.envs.single import LOST, GameEnv
from vlm_gym.envs.text import TextEnv
from vlm_gym.envs.vector import GameVectorEnv
from vlm_gym.episode import Episode, deal
from vlm_gym.evaluation.judge import judge
from vlm_gym.game import Game
from vlm_gym.play.session import Session
from vlm_gym.recordings.record import Recorder
from vlm_gym.render import draw, look
from vlm_gym.replays.replay import plays
from vlm_gym.report.viewer import Judged, gather
from vlm_gym.rollouts.baselines import PLAYERS, greedy, play_baseline
from vlm_gym.rollouts.policy import REMEMBERED, Baseline, PastTurn, Request
from vlm_gym.rollouts.reward import fork
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.rollouts.states import Mixture, sample

GAMES = {game.name: game for game in (fog.GAME, throw.GAME, nim.GAME)}


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Offer the games as another package would."""
    sources = {**registry._sources(), **{name: f"worlds.{name}" for name in GAMES}}
    monkeypatch.setattr(registry, "_sources", lambda: sources)
    yield
    registry.find.cache_clear()


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        pytest.param(
            name,
            rule,
            id=f"{name}-{rule.__name__}",
            marks=[pytest.mark.slow] * ((name, rule.__name__) == ("throw", "pictures_can_be_read")),
        )
        for name in GAMES
        for rule in RULES
    ],
)
def test_they_keep_every_rule(name: str, rule) -> None:
    if (name, rule.__name__) == ("nim", "level_0_is_easy"):
        assert GAMES[name].solve(GAMES[name].start(0, GAMES[name].levels[0])) is None
    assert problems(rule, GAMES[name]) == []


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("policy", [name for name in PLAYERS if name not in ("solver", "middling")])
def test_everyone_can_play_them_record_them_and_be_judged(name: str, policy: str, tmp_path: Path) -> None:
    episodes = [Episode(name, "level=1,size=160", "level=0,turns=6", "test", index) for index in range(2)]
    turns = list(rollout(episodes, Baseline(policy)))
    assert turns
    path = tmp_path / "turns.jsonl"
    with Recorder(path) as recorder:
        recorder.write(*turns)
    read = list(plays(path))
    assert [turn for each in read for turn in each.turns] == turns
    assert [judge(turn) for turn in turns]
    seen = gather([Judged.of(each) for each in read])
    assert len(seen.data["plays"]) == 2


class RedrawsTheShown(fog.Fog):
    def imagine(self, state, dice):
        return replace(super().imagine(state, dice), last=(state.last + 1) % 4)


class ForgetsTheLevel(nim.Nim):
    def imagine(self, state, dice):
        return replace(state, knobs=replace(state.knobs, turns=3))


class ComesAndGoes(throw.Throw):
    def scene(self, state):
        scene = super().scene(state)
        return scene._replace(notes=scene.notes[: state.turn])


class FlysAway(throw.Throw):
    def scene(self, state):
        scene = super().scene(state)
        return scene._replace(objects=(scene.objects[0]._replace(row=state.knobs.side - 0.5),))


class ManyLines(throw.Throw):
    def scene(self, state):
        return super().scene(state)._replace(notes=("one\ntwo", "three"))


class AllowsAll(throw.Throw):
    def allows(self, state, action):
        return True


class RefusesItsExamples(throw.Throw):
    def allows(self, state, action):
        return action != "0 1" and super().allows(state, action)


class SpellsTwice(throw.Throw):
    def read(self, words, state):
        return f"{super().read(words, state)}0"


class Overrates(throw.Throw):
    def value(self, state, action):
        return 2.0


class LooksAlike(fog.Fog):
    key = Game.key


@pytest.mark.parametrize(
    ("game", "rule"),
    [
        (RedrawsTheShown, "nothing_hidden_shows"),
        (ForgetsTheLevel, "nothing_hidden_shows"),
        (ComesAndGoes, "scenes_tell_all"),
        (FlysAway, "scenes_tell_all"),
        (ManyLines, "scenes_tell_all"),
        (AllowsAll, "steps_are_pure"),
        (RefusesItsExamples, "steps_are_pure"),
        (SpellsTwice, "declares_itself"),
        (Overrates, "solver_advises"),
        (LooksAlike, "deals_by_seed"),
    ],
)
def test_a_game_that_breaks_a_rule_is_caught_by_that_rule(game: type[Game], rule: str) -> None:
    checks = {check.__name__: check for check in RULES}
    assert problems(checks[rule], game())


# --- hidden information


def test_an_opening_that_is_all_fog_has_training_and_test_deals_by_its_key() -> None:
    game, knobs = fog.GAME, fog.GAME.levels[3]
    states = [
        game.start(deal(game, knobs, split, index), knobs)
        for split in ("train", "test")
        for index in range(9)
    ]
    assert len({game.scene(state) for state in states}) == 1
    train, test = ({state.treasure for state in half} for half in (states[:9], states[9:]))
    assert train.isdisjoint(test)


def test_unique_positions_differ_by_key_though_they_look_the_same() -> None:
    drawn = sample(5, [Mixture(game="fog", reasoning="2", fresh=1.0)], seed=1, unique=True)
    assert len({fog.GAME.scene(position.state) for position in drawn}) == 1
    assert len({position.state.treasure for position in drawn}) == 5


def test_a_solver_that_sees_what_is_hidden_is_caught() -> None:
    class Peeks(fog.Fog):
        def solve(self, state):
            plan = super().solve(state)
            return plan and plan._replace(action=self.actions(state.knobs)[state.treasure])

    rule = next(rule for rule in RULES if rule.__name__ == "nothing_hidden_shows")
    assert problems(rule, fog.GAME) == []
    assert "knows what is hidden" in problems(rule, Peeks())[0]


def test_greedy_does_not_see_what_is_hidden() -> None:
    game, knobs = fog.GAME, fog.GAME.levels[4]
    seeds = range(40)
    hits = sum(
        greedy(game, state, Dice(seed)) == game.actions(knobs)[state.treasure]
        for seed in seeds
        for state in [game.start(seed, knobs)]
    )
    assert hits < 10  # of 40, where a peek would make it all


def test_a_game_that_needs_memory_shows_past_pictures_unless_told_otherwise() -> None:
    class Counts:
        name = "counts"
        sees = False
        portable = True

        def __init__(self) -> None:
            self.past = list[int]()

        def act(self, requests: list[Request]) -> list[str]:
            self.past += [len(request.past) for request in requests]
            assert all(len(request.pictures()) == len(request.past) + 1 for request in requests)
            return [f"<answer>{request.game.legal(request.state)[0]}</answer>" for request in requests]

    def asked(game: str, **options: int) -> list[int]:
        policy = Counts()
        list(rollout([Episode(game, "size=128", "level=1,turns=20", "free", 5)], policy, **options))
        return policy.past

    assert asked("fog") == [min(number, REMEMBERED) for number in range(len(asked("fog")))]
    assert len(asked("fog")) > 2
    assert set(asked("fog", history=1)) == {0, 1}
    assert set(asked("fog", history=0)) == {0}
    assert set(asked("throw")) == {0}
    told = (
        Path(__file__).parents[1] / "vlm_gym/cli/serving.py",
        Path(__file__).parents[1] / "docs/evaluation.md",
    )
    assert all(f"{REMEMBERED}" in path.read_text() for path in told)


def test_positions_to_learn_from_carry_the_turns_that_led_there_where_memory_is_needed() -> None:
    drawn = sample(12, [Mixture(game="fog", reasoning="2", solver=1.0, moves=3)], seed=1)
    assert {len(position.past) for position in drawn} == {position.state.turn for position in drawn}
    assert len({position.state.turn for position in drawn}) > 1
    for position in drawn:
        for turn, after in pairwise([*position.past, PastTurn(position.state, "", "")]):
            action = parse_for(fog.GAME, turn.state, turn.reply).action
            step = fog.GAME.step(turn.state, action)
            assert (step.state, step.event) == (after.state, turn.feedback)
            assert fog.GAME.scene(turn.state).describe() in turn.reply
    request = Task(game="fog", reasoning="2", perception="size=128").request(drawn[0].state, drawn[0].past)
    assert len(request.pictures()) == 1 + len(drawn[0].past)
    walks = sample(4, [Mixture(game="throw", reasoning="2", walk=1.0, moves=3)], seed=1)
    assert all(position.past == () for position in walks)


# --- open actions


def test_an_open_action_is_parsed_spelled_and_told_apart() -> None:
    game = throw.GAME
    state = game.start(1, game.levels[0])
    assert parse_for(game, state, "<answer>45.0 degrees, 2.5</answer>").action == "45 2.5"
    steep = parse_for(game, state, "<answer>95 2</answer>")
    assert (steep.action, steep.fault) == (None, "illegal")
    assert "legal, for example: 0 1, 30 2" in steep.error
    assert parse_for(game, state, "throw it").fault == "format"
    with pytest.raises(ValueError, match="'95 2' is not legal here; legal, for example: 0 1"):
        game.step(state, "95 2")


def test_an_open_game_is_played_by_words_in_gymnasium() -> None:
    env = GameEnv(throw.GAME, {"size": 160}, 0)
    assert isinstance(env.action_space, gym.spaces.Text)
    _, info = env.reset(seed=3)
    assert "action_mask" not in info
    assert info["legal"][0] == "0 1"
    env.step(" 30,2 ")
    assert env.state.turn == 1
    _, reward, *_, info = env.step("99 99")
    assert reward == throw.GAME.illegal(env.knobs) < 0
    assert info["error"].startswith("'99 99' is not legal here; legal, for example")
    assert env.step(LOST)[1] == reward
    with pytest.raises(ValueError, match="actions are words: an angle in degrees"):
        env.step(0)
    with pytest.raises(ValueError, match="actions are 0 to 8, each the place of a word"):
        GameEnv(fog.GAME, 0, 0).step("(1,1)")


def test_an_open_game_is_played_by_replies_alone_and_side_by_side() -> None:
    text = TextEnv(GameEnv(throw.GAME, {"size": 160}, 0))
    text.reset(seed=3)
    *_, info = text.step("<answer>30°, 2.0</answer>")
    assert info["reply"].action == "30 2"
    assert text.unwrapped.state.turn == 1
    for workers in (0, 1):
        many = TextVectorEnv(["throw", "fog"], 2, workers, {"size": 160}, 0)
        many.reset(seed=1)
        _, rewards, *_, infos = many.step(["<answer>30,2</answer>", "<answer>nowhere</answer>"])
        assert infos["reply"][0].action == "30 2"
        assert rewards[1] == fog.GAME.illegal(fog.GAME.levels[0])
        many.close()
    vector = GameVectorEnv(3, throw.GAME, {"size": 160}, 0)
    _, infos = vector.reset(seed=1)
    assert "action_mask" not in infos
    _, rewards, *_, infos = vector.step(["30 , 2", "99 99", LOST])
    assert rewards[1:].tolist() == [throw.GAME.illegal(vector.knobs)] * 2
    assert infos["error"][0] == ""
    assert vector.action_space.contains(tuple(vector.action_space.sample()))


def test_an_open_game_is_forked_and_played_by_people() -> None:
    game = throw.GAME
    state = game.start(1, game.levels[0])
    good, bad = fork(game, state, ["<answer>30 2</answer>", "<answer>30 99</answer>"])
    assert (good.state.turn, bad.state.turn) == (1, 0)
    session = Session("throw", {"size": 160}, 0)
    assert not session.clickable
    session.play("30, 2")
    assert session.run.state.turn == 1
    session.hint()
    assert game.allows(session.run.state, session.note.text)


# --- objects, notes, players


def test_a_painter_keeps_objects_and_notes_up_to_date() -> None:
    from vlm_gym.render import Painter

    game = throw.GAME
    for level in (0, 2, 4):
        painter = Painter(look({"level": level, "size": 224}))
        for seed in range(3):
            state = game.start(seed, game.levels[2])
            for action in ("45 1", "30 2.5", "0 4", "10 0"):
                scene = game.scene(state)
                drawn = painter.paint(scene, state.seed, state.turn)
                assert np.array_equal(drawn, draw(scene, painter.look, state.seed, state.turn))
                state = game.step(state, action).state if not state.over else state


def test_two_players_share_a_state_and_the_built_in_one_moves_inside_of_a_step() -> None:
    game = nim.GAME
    both = game.start(5, game.presets["both"])
    assert both.player == 0
    after = game.step(both, "1").state
    assert (after.player, after.discs) == (1, both.discs - 1)
    assert game.scene(after).notes == ("player 2 to move",)
    alone = game.start(5, game.levels[0])
    assert game.step(alone, "1").state.player == 0
    assert game.step(alone, "1").state.discs < alone.discs - 1
    assert fog.GAME.start(0, fog.GAME.levels[0]).player == 0
    others = {game.step(replace(alone, seed=seed), "1").state.discs for seed in range(20)}
    assert len(others) > 1


def test_a_state_of_another_game_is_refused_with_what_is_taken() -> None:
    env = GameEnv(nim.GAME)
    with pytest.raises(ValueError, match="Field is not a state of nim"):
        env.reset(options={"state": fog.GAME.start(0, fog.GAME.levels[0])})


def test_a_picture_that_is_too_small_is_refused_with_the_sizes_there_are() -> None:
    with pytest.raises(
        ValueError, match=r"size=64 is too small for 9 x 9 cells and 0 notes; size takes 72 or more"
    ):
        GameEnv(fog.GAME, {"size": 64}, {"side": 9}).reset(seed=0)


@pytest.mark.parametrize("name", GAMES)
def test_players_without_eyes_can_play_them_by_the_rules(name: str) -> None:
    game: Game = GAMES[name]
    for player in ("random", "constant", "legal", "greedy"):
        assert play_baseline(game, game.levels[0], 3, PLAYERS[player]).turns
