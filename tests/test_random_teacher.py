"""The teacher of random actions, and the order of rows in which each micro-batch is of one task."""

from collections import Counter

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

from talking import TASKS
from vlm_gym.trainers import settings
from vlm_gym.trainers.cold_start import ColdStartTrainer
from vlm_gym.trainers.data import teachers
from vlm_gym.trainers.data.parquet import make_rows, read_replies
from vlm_gym.trainers.data.sampling import TaskBatches
from vlm_gym.trainers.models.transformers_policy import load_model
from vlm_gym.trainers.recipe import ColdStart, Data, Recipe, Task

from vlm_gym.actions import parse_for
from vlm_gym.registry import find, names
from vlm_gym.thought import parse_sentence


@pytest.mark.parametrize("name", names())
def test_a_random_reply_is_well_formed_and_says_nothing_of_the_move(name):
    task = Task(game=name, reasoning="0", perception="level=0,size=64")
    game = find(name)
    teacher = teachers.RandomTeacher()
    for seed in range(3):
        request = task.request(game.start(seed, task.knobs))
        (taught,) = teacher.teach([request])
        reply = parse_for(game, request.state, taught.reply)
        assert reply.fault == ""
        assert reply.action in game.legal(request.state)
        assert reply.perception == game.scene(request.state).describe()
        assert parse_sentence(reply.thought, game.grammar) is None, (
            "an empty thought is no sentence of the game"
        )
        assert (taught,) == tuple(teacher.teach([request])), "equal for equal positions"


def test_random_replies_play_every_legal_action_about_alike():
    task = Task(game="2048", reasoning="0", perception="level=0,size=64")
    game = find("2048")
    played, legal = Counter[str](), Counter[str]()
    for seed in range(300):
        request = task.request(game.start(seed, task.knobs))
        (taught,) = teachers.RandomTeacher().teach([request])
        reply = parse_for(game, request.state, taught.reply)
        played[reply.action] += 1
        for action in game.legal(request.state):
            legal[action] += 1
    for action, count in played.items():
        assert 0.5 < count / legal[action] * 4 < 1.6


def test_rows_of_random_replies_are_made_and_read_again(tmp_path):
    recipe = Recipe(task=TASKS, data=Data(rows=8, teacher="random", good=False), cold_start=ColdStart())
    for request, reply in read_replies(recipe, make_rows(recipe, tmp_path)):
        assert parse_for(request.game, request.state, reply).fault == ""


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"good": True}, r'data\.teacher="random" takes data\.good=false'),
        ({"good": False, "options": {"seed": 1}}, r"the teacher random takes none of \['seed'\]"),
    ],
)
def test_what_the_random_teacher_does_not_take_is_refused(given, error):
    with pytest.raises(ValueError, match=error):
        Data(teacher="random", **given)


def test_every_row_comes_once_in_runs_of_one_task_and_in_another_order_each_epoch():
    tasks = [("a", "b", "c")[row % 3] for row in range(50)]
    order = TaskBatches(tasks, 4, seed=1)
    assert len(order) == 50
    first = list(order)
    assert sorted(first) == list(range(50))
    assert first == list(order) == list(TaskBatches(tasks, 4, seed=1)), "by seed and epoch alone"
    runs = [first[at : at + 4] for at in range(0, 48, 4)]
    assert [len({tasks[row] for row in run}) for run in runs[:12]] == [1] * 12
    assert len({tasks[run[0]] for run in runs[:6]}) > 1, "runs of tasks are mixed"
    order.set_epoch(1)
    assert list(order) != first
    assert sorted(order) == list(range(50))
    assert list(TaskBatches(tasks, 4, seed=2)) != first


def test_micro_batches_of_a_cold_start_are_of_one_task_if_asked(talker, tmp_path):
    asked = ColdStart(batch=4, steps=2, save=2, by_task=True, trl={"per_device_train_batch_size": 2})
    recipe = Recipe(task=TASKS, data=Data(rows=12), cold_start=asked)
    rows = make_rows(recipe, tmp_path / "data")
    trainer = ColdStartTrainer(*load_model(talker), settings.cold_start(recipe, tmp_path / "out"), rows)
    trainer.by_task = asked.by_task
    games = trainer.train_dataset["game"]
    taken = list(trainer._get_train_sampler())
    whole = sum(count - count % 2 for count in Counter(games).values())
    assert all(games[taken[at]] == games[taken[at + 1]] for at in range(0, whole, 2))
    trainer.go_on(None)
    assert trainer.state.global_step == 2
