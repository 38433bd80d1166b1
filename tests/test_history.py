"""Past turns in requests: the same in cold starts, GRPO, evaluation and endpoints, down to the tokens."""

import base64
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import pyarrow.parquet as pq
from endpoints import Endpoint, said
from PIL import Image
from talking import completed
from vlm_gym.trainers import settings
from vlm_gym.trainers.cold_start import ColdStartTrainer
from vlm_gym.trainers.data import exports, parquet
from vlm_gym.trainers.models.encoding import encode_prompt
from vlm_gym.trainers.models.engine import unexpanded
from vlm_gym.trainers.models.tiny import build_model
from vlm_gym.trainers.models.transformers_policy import encode_requests, load_model
from vlm_gym.trainers.planning import dry_run
from vlm_gym.trainers.plays import Plays
from vlm_gym.trainers.recipe import ColdStart, Data, Grpo, Measure, Model, Recipe, Shares, Task
from vlm_gym.trainers.start_states import Start, StartStates

from vlm_gym.actions import answer_alone
from vlm_gym.adapters.play import begin
from vlm_gym.config import build as build_from
from vlm_gym.envs.run import Run
from vlm_gym.episode import Episode
from vlm_gym.evaluation.suite import Suite, restore_suite, suite
from vlm_gym.prompt import solution
from vlm_gym.recordings.position import to_state
from vlm_gym.registry import find
from vlm_gym.rollouts.history import History
from vlm_gym.rollouts.policy import Request
from vlm_gym.rollouts.remote import OpenAI, with_pictures
from vlm_gym.rollouts.rollout import past_of, play_reply, rollout
from vlm_gym.rollouts.states import Mixture, sample

TASK = Task(game="2048", reasoning="0", perception="level=0,size=64", moves=4)
EPISODE = Episode("2048", "level=0,size=64", "level=0", "train", 3)
HISTORIES = [History(0), History(2), History(2, "answer"), History(5, "answer")]


def illegal(request: Request) -> str:
    """Write a reply whose answer is no legal move here, though it is one of the game's words."""
    legal = request.game.legal(request.state)
    words = [word for word in request.game.actions(request.state.knobs) if word not in legal]
    return f"<think>so</think><answer>{[*words, 'sideways'][0]}</answer>"


class Talker:
    """Replies as the teacher does, but for every other turn, which is lost; and keeps what it is asked."""

    name = "talker"
    sees = True
    portable = False

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def act(self, requests: Sequence[Request]) -> list[str]:
        self.asked += requests
        return [self.words(request) for request in requests]

    @staticmethod
    def words(request: Request) -> str:
        if request.number % 2:
            return illegal(request)
        reply = solution(request.game, request.state)
        assert reply is not None
        return reply


def evaluated(history: History) -> list[Request]:
    """Return what evaluation asks in an episode."""
    talker = Talker()
    list(rollout([EPISODE], talker, history=history))
    return talker.asked


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("model"))


def tiny(path: Path) -> Path:
    build_model(path / "tiny", [("2048", "0")], width=64, depth=1)
    return path / "tiny"


def asked_in_plays(history: History, first: Request, turns: int) -> Iterator[Request]:
    """Yield what GRPO asks in a play of the same replies."""
    plays = Plays(
        Grpo(turns=turns, prompts_per_step=turns), 1, history, [0], [Start(0, first)], lambda start, *_: start
    )
    for _ in range(turns):
        (start,) = plays.next_starts()
        yield start.request
        text = Talker.words(start.request)
        plays.take([completed(start.request, text)])


@pytest.mark.parametrize("history", HISTORIES)
def test_the_same_past_makes_the_same_messages_pictures_and_tokens_everywhere(
    history: History, folder: Path, tmp_path: Path
) -> None:
    wanted = evaluated(history)
    assert max(len(request.past) for request in wanted) == history.turns
    session = begin(
        {
            "game": "2048",
            "perception": EPISODE.perception,
            "reasoning": EPISODE.reasoning,
            "index": EPISODE.index,
            "history": history.turns,
            "history_replies": history.replies,
        }
    )
    _, processor = load_model(folder)
    config = settings.cold_start(Recipe(task=(TASK,), cold_start=ColdStart()), tmp_path)
    rows = parquet.make_rows(
        Recipe(task=(TASK,), data=Data(rows=2), cold_start=ColdStart()), tmp_path / "data"
    )
    collate = ColdStartTrainer(*load_model(folder), config, rows).data_collator
    for request, trained in zip(wanted, asked_in_plays(history, wanted[0], len(wanted)), strict=True):
        assert trained.messages() == request.messages()
        assert all(map(np.array_equal, trained.pictures(), request.pictures()))
        assert session.messages() == with_pictures(request)
        session.answer(Talker.words(request))
        ids = encode_requests(processor, [request])["input_ids"][0].tolist()
        assert encode_prompt(processor, trained).ids == ids
        pictures = [Image.fromarray(frame) for frame in request.pictures()]
        reply = {"role": "assistant", "content": [{"type": "text", "text": "yes"}]}
        row = {"prompt": trained.messages(), "completion": [reply], "images": pictures}
        assert collate([row])["input_ids"][0].tolist()[: len(ids)] == ids
        marks = unexpanded(processor, request.messages())
        assert marks.count(processor.image_token_id) == 1 + len(request.past)
    assert session.ended


@pytest.mark.parametrize("history", HISTORIES)
def test_rows_of_the_cold_start_are_what_evaluation_asks_after_the_same_turns(
    history: History, tmp_path: Path
) -> None:
    task = Task(game="2048", reasoning="1", perception="level=2,size=64", moves=6)
    recipe = Recipe(
        task=(task,),
        data=Data(rows=12),
        cold_start=ColdStart(),
        history=history.turns,
        history_replies=history.replies,
    )
    made = parquet.make_rows(recipe, tmp_path)
    lengths = set()
    for row, raw in zip(parquet.open_rows(made), pq.read_table(made).to_pylist(), strict=True):
        game = find("2048")
        past = json.loads(raw["past"])
        lengths.add(len(past))
        run = Run(game, task.knobs, task.look)
        turns = []
        for state, reply, feedback in past:
            run.state = to_state(game, state)
            turns.append(play_reply(run, EPISODE, "", reply, ""))
            assert feedback == (turns[-1].error or turns[-1].event)
        state = to_state(game, json.loads(raw["state"]))
        assert not turns or run.state == state
        request = task.request(state, history.shown(game, [past_of(turn) for turn in turns]))
        assert row["prompt"] == request.messages()
        assert all(np.array_equal(a, b) for a, b in zip(request.pictures(), row["images"], strict=True))
        assert len(past) == min(history.turns or 0, state.turn)
    assert max(lengths) == history.turns
    for (request, text), row in zip(parquet.read_replies(recipe, made), parquet.open_rows(made), strict=True):
        assert request.messages() == row["prompt"]
        assert text == row["completion"][0]["content"][0]["text"]


def test_an_endpoint_gets_the_words_and_pictures_of_training() -> None:
    history = History(3, "answer")
    server = Endpoint(lambda body: said("<answer>nowhere</answer>"))
    list(rollout([EPISODE], OpenAI("m", base_url=server.url), history=history))
    server.server.shutdown()
    task = Task(game="2048", reasoning="0", perception="level=0,size=64")
    first = task.request(find("2048").start(EPISODE.seed, task.knobs))
    plays = Plays(
        Grpo(turns=9, prompts_per_step=9), 1, history, [0], [Start(0, first)], lambda start, *_: start
    )
    for body in server.asked[:9]:
        (start,) = plays.next_starts()
        heard = body["messages"]
        wanted = start.request.messages()
        shown = []
        for message in heard:
            for block in message["content"]:
                if block["type"] == "image_url":
                    data = base64.b64decode(block["image_url"]["url"].partition(",")[2])
                    shown.append(np.asarray(Image.open(io.BytesIO(data))))
                    block.clear()
                    block["type"] = "image"
        assert heard == wanted
        assert all(map(np.array_equal, shown, start.request.pictures()))
        plays.take([completed(start.request, "<answer>nowhere</answer>")])


def test_past_replies_are_shown_whole_or_by_their_answer_alone() -> None:
    (_, first, second, *_) = evaluated(History(2))
    (_, _, short, *_) = evaluated(History(2, "answer"))
    assert [turn.reply for turn in second.past] == [first.past[0].reply, illegal(first)]
    assert [turn.feedback for turn in short.past] == [turn.feedback for turn in second.past]
    for turn, whole in zip(short.past, second.past, strict=True):
        assert turn.reply.startswith("<answer>")
        assert whole.reply.endswith(turn.reply)
    wrong = answer_alone(illegal(first)).removeprefix("<answer>").removesuffix("</answer>")
    assert f"{wrong!r} is not a legal action here; legal: " in short.past[1].feedback


@pytest.mark.parametrize(
    ("reply", "alone"),
    [
        ("<think>a</think><answer> left</answer> then", "<answer> left</answer>"),
        ("left", ""),
        ("<answer>a</answer><answer>b</answer>", ""),
        (f"<answer>{'x' * 999}</answer>", f"<answer>{'x' * 200}</answer>"),
    ],
)
def test_an_answer_alone_is_that_of_the_reply(reply: str, alone: str) -> None:
    assert answer_alone(reply) == alone == answer_alone(alone)


def test_positions_have_the_past_that_is_asked_for_and_do_not_depend_on_it() -> None:
    mixtures = [Mixture(game="2048", reasoning="1", walk=1.0, moves=5)]
    plain = sample(8, mixtures, 3)
    for history in HISTORIES:
        drawn = sample(8, mixtures, 3, history=history)
        assert [position.state for position in drawn] == [position.state for position in plain]
        for position in drawn:
            assert len(position.past) == min(history.turns or 0, position.state.turn)
    assert all(position.past == () for position in plain)


def test_own_games_remember_their_turns_and_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    grpo = Grpo(prompts_per_step=6, episodes=6, shares=Shares(walk=0.0, on_policy=1.0), reward="goal")
    recipe = Recipe(task=(TASK,), grpo=grpo, history=3, history_replies="answer")
    starts = StartStates(recipe, grpo)
    for step in range(5):
        dealt = starts.deal(step)
        replies = [[illegal(each.request) if step % 2 else Talker.words(each.request)] for each in dealt]
        starts.follow(list(zip(dealt, replies, strict=True)))
    requests = [start.request for start in starts.deal(5)]
    assert max(len(request.past) for request in requests) == 3
    for request in requests:
        for turn, after in zip(request.past, [*request.past[1:], request], strict=True):
            assert turn.reply.startswith("<answer>")
            lost = "not a legal action" in turn.feedback
            assert (turn.state == after.state) == lost
    starts.save(tmp_path)
    again = StartStates(recipe, grpo)
    again.load(tmp_path)
    assert again.deal(5) == starts.deal(5)


def test_own_games_of_earlier_versions_go_on(tmp_path: Path) -> None:
    grpo = Grpo(prompts_per_step=2, episodes=2, shares=Shares(walk=0.0, on_policy=1.0))
    starts = StartStates(Recipe(task=(TASK,), grpo=grpo), grpo)
    starts.save(tmp_path)
    told = json.loads((tmp_path / "own.json").read_text())
    told["lanes"] = [[lane[:3] for lane in lanes] for lanes in told["lanes"]]
    (tmp_path / "own.json").write_text(json.dumps(told))
    starts.load(tmp_path)
    assert len(starts.deal(0)) == 2


def recipe_of(history: int, replies: str = "whole", **more: Any) -> Recipe:
    return build_from(
        Recipe,
        {
            "task": [{"game": "2048", "reasoning": "0", "perception": "level=0,size=128"}],
            "history": history,
            "history_replies": replies,
            "grpo": {"steps": 1, "prompts_per_step": 2, "trl": {"max_completion_length": 100}},
            **more,
        },
    )


def refused(recipe: Recipe, folder: Path) -> str:
    with pytest.raises(ValueError, match=r".+") as told:
        dry_run.check_loadable(recipe, folder, 100)
    assert "\n" not in str(told.value)
    return str(told.value)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_history_longer_than_the_context_is_told_at_the_dry_run_with_the_numbers(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    dry_run.check_loadable(recipe_of(8), folder, 100)
    change(folder / "config.json", '"max_position_embeddings": 4096', '"max_position_embeddings": 900')
    dry_run.check_loadable(recipe_of(2), folder, 100)
    words = refused(recipe_of(8), folder)
    assert "2048 with history=8 takes a prompt of" in words
    assert "up to 100 for each of 8 replies before and grpo.trl.max_completion_length=100 for" in words
    assert "more than the 900 positions of" in words
    assert 'lower history, set history_replies="answer",' in words
    words = refused(recipe_of(8, cold_start={}, grpo=None), folder)
    assert "tokens with a reply, more than the 900 positions" in words


def test_a_family_that_takes_one_picture_alone_is_refused_at_the_dry_run(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    template = folder / "chat_template.jinja"
    picture = "<|image_pad|>"
    text = template.read_text()
    assert picture in text
    # The template of such a family writes a picture into the first message alone.
    template.write_text(
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
        "{% for block in message['content'] %}"
        "{% if block['type'] == 'image' %}{% if loop.index0 == 0 and message is sameas messages[0] %}"
        f"<|vision_start|>{picture}<|vision_end|>"
        "{% endif %}{% else %}{{ block['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    dry_run.check_loadable(recipe_of(0), folder, 100)
    words = refused(recipe_of(2), folder)
    assert "cannot be shown the 3 pictures of history=2" in words
    assert "set history=0" in words


def test_how_replies_are_shown_is_a_part_of_a_suite_that_is_spelled_out_only_where_chosen() -> None:
    whole = suite("quick")
    short = whole.with_limits(None, None, None, "answer")
    assert "history_replies" not in whole.resolved()
    assert short.resolved()["history_replies"] == "answer"
    assert short.digest != whole.digest
    assert restore_suite(short.resolved()).context == History(short.history, "answer")
    measured = Recipe(
        task=(TASK,), grpo=Grpo(), evaluation=Measure(), history=2, history_replies="answer", model=Model()
    )
    assert measured.evaluation is not None
    assert measured.suite(measured.evaluation, 0.0).context == measured.context == History(2, "answer")


@pytest.mark.parametrize("made", [lambda: Suite, lambda: Recipe])
def test_unknown_ways_to_show_replies_are_refused_with_the_choices(made: Any) -> None:
    kind = made()
    data = {"part": [{}]} if kind is Suite else {"task": [{"game": "2048"}], "grpo": {}}
    with pytest.raises(ValueError, match=r"history_replies='answers' is not possible .did you mean 'answer'"):
        build_from(kind, {**data, "history_replies": "answers"})
    with pytest.raises(ValueError, match="history_replies is 'answers'; it takes whole, answer"):
        begin({"game": "2048", "history_replies": "answers"})


def test_rows_with_turns_before_are_no_problems_of_easyr1(tmp_path: Path) -> None:
    recipe = Recipe(task=(TASK,), data=Data(rows=4), cold_start=ColdStart(), history=2)
    made = parquet.make_rows(recipe, tmp_path)
    with pytest.raises(
        ValueError, match="easyr1 has no place for turns before; make the data with history=0"
    ):
        exports.export(made, "easyr1")
    exports.export(made, "llamafactory")


def test_data_of_another_history_are_of_other_settings(tmp_path: Path) -> None:
    recipe = Recipe(task=(TASK,), data=Data(rows=4), cold_start=ColdStart())
    parquet.make_rows(recipe, tmp_path)
    with pytest.raises(ValueError, match="history"):
        parquet.make_rows(
            Recipe(task=(TASK,), data=Data(rows=4), cold_start=ColdStart(), history=2), tmp_path
        )
