"""Games under TRL's trainer: episodes by tool calls, two steps of GRPO over two games, known traps."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vlm_gym.adapters.play import begin
from vlm_gym.adapters.trl import TRIED, check, environment, environments, rolled_back, rows
from vlm_gym.registry import find

LEVELS = {"perception": 1, "reasoning": 1}


def test_an_episode_by_calls_is_that_of_the_core():
    env, session = environment("2048", **LEVELS)(), begin({"game": "2048", **LEVELS, "index": 3})
    shown = env.reset(index=3, prompt=[{"role": "user", "content": ""}], environment="2048")
    assert np.array_equal(np.asarray(shown[0]["image"]), session.frame())
    assert session.run.game.rules(session.run.knobs) in shown[1]["text"]
    for action in (session.run.legal[0], "nowhere", session.run.legal[-1]):
        shown = env.play(action)
        answered = session.answer(f"<answer>{action}</answer>")
        assert np.array_equal(np.asarray(shown[0]["image"]), session.frame())
        assert shown[1]["text"] == answered.feedback
    answered = session.answer("")
    assert env.get_reward() == env.get_reward() == sum(session.rewards)


def test_an_instance_is_used_again_and_equal_rows_begin_alike():
    env, other = environment("swap")(), environment("swap")()
    first = env.reset(index=1)[0]["image"]
    env.play("(1,1) (1,2)")
    env.reset(index=2)
    assert env.reset(index=1)[0]["image"] == first == other.reset(index=1)[0]["image"]
    assert env.reset(index=2)[0]["image"] != first


def test_a_rows_own_level_comes_before_that_of_the_class():
    env = environment("2048", reasoning=0, turns=4)()
    env.reset(reasoning=2, perception=None)
    assert env._session.run.knobs == find("2048").settle(2)
    assert env._session.row.turns == 4


def test_a_model_that_plays_nothing_earns_the_cost_of_a_lost_turn():
    env = environment("2048")()
    env.reset()
    assert env.get_reward() == find("2048").illegal(find("2048").settle(2)) < 0


def test_a_call_after_the_end_is_an_error_and_changes_nothing():
    env = environment("2048", turns=1)()
    env.reset()
    env.play(env._session.run.legal[0])
    earned = env.get_reward()
    with pytest.raises(ValueError, match="the episode has ended"):
        env.play("left")
    assert env.get_reward() == earned


@pytest.mark.parametrize("action", [3, None, ["left"], {"to": "left"}, "left</answer><answer>up", "fly"])
def test_what_names_no_action_is_a_turn_lost(action):
    env = environment("2048")()
    env.reset()
    before = env._session.run.state
    assert env.play(action)[1]["text"]
    assert env._session.run.state == before
    assert env._session.rewards[0] < 0


@pytest.mark.parametrize(
    ("do", "words"),
    [
        (lambda: environment("2049"), "did you mean '2048'"),
        (lambda: environment("2048", reasoning=9), "unknown reasoning level"),
        (lambda: environment("2048")().play("left"), "call reset"),
        (lambda: environment("2048")().reset(game="swap"), "plays '2048'"),
        (lambda: environment("2048")().reset(index=-1), "not a whole number"),
    ],
)
def test_a_mistake_is_one_line(do, words):
    with pytest.raises(ValueError, match=words) as caught:
        do()
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def caller(tmp_path_factory):
    pytest.importorskip("trl")
    from calling import build_caller

    return build_caller(tmp_path_factory.mktemp("caller"), 50)


def make_trainer(caller, out: Path, template: str | None = None, turns: int = 3, **options):
    from calling import LEVELS as SIZES
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    model, processor = caller
    processor.chat_template = template or processor.chat_template
    factories = {game: environment(game, perception=SIZES[game], reasoning=1, turns=turns) for game in SIZES}
    told = {
        "max_completion_length": 1000,
        "max_tool_calling_iterations": 3,
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        "max_steps": 2,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "reward_weights": [0.0],
        **options,
    }
    return GRPOTrainer(
        model=model,
        processing_class=processor,
        reward_funcs=[rolled_back],
        environment_factory=factories,
        train_dataset=Dataset.from_list(rows(list(SIZES), 8)),
        args=GRPOConfig(output_dir=str(out), use_cpu=True, bf16=False, report_to="none", **told),
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*experimental feature:UserWarning")
def test_two_games_train_in_one_run(caller, tmp_path, monkeypatch):
    import torch
    import trl

    assert trl.__version__ == TRIED
    trainer = make_trainer(caller, tmp_path)
    check(trainer)
    batches = []
    score = trainer._generate_and_score_completions

    def note(inputs):
        output = score(inputs)
        batches.append((inputs, [each._session for each in trainer.environments], output))
        return output

    monkeypatch.setattr(trainer, "_generate_and_score_completions", note)
    before = {name: weight.clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    same = [name for name, weight in trainer.model.named_parameters() if torch.equal(weight, before[name])]
    assert not [name for name in same if "deepstack" not in name], "all but what one layer leaves unused"
    logs = [line for line in trainer.state.log_history if "loss" in line]
    assert len(logs) == 2
    for line in logs:
        assert {"rewards/2048/mean", "rewards/swap/mean", "rewards/rolled_back/mean"} <= line.keys()
        assert line["tools/call_frequency"] > 0
        assert line["rewards/rolled_back/mean"] == 0
    assert max(len(session.turns) for _, played, _ in batches for session in played) > 1
    for inputs, played, output in batches:
        for row, session in zip(inputs, played, strict=True):
            assert (session.run.game.name, session.row.episode.index) == (row["environment"], row["index"])
        # One visual token stands in the sequence for each that a picture makes: the first and those of tools.
        shown = sum(1 + sum(turn.reply != "" for turn in session.turns) for session in played)
        assert len(output["image_grid_thw"]) == shown
        pad = trainer._tokenizer.convert_tokens_to_ids("<|image_pad|>")
        tokens = (output["prompt_ids"] == pad).sum() + (output["completion_ids"] == pad).sum()
        assert tokens == (output["image_grid_thw"].prod(dim=1) // 4).sum()
        # Loss is on what the model wrote alone.
        written = output["tool_mask"].bool() & output["completion_mask"].bool()
        assert not (output["completion_ids"][written] == pad).any()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*experimental feature:UserWarning")
def test_traps_are_one_line_before_training(caller, tmp_path):
    from trl.chat_template_utils import qwen3_vl_chat_template

    for options, words in (
        ({"max_tool_calling_iterations": None}, "max_tool_calling_iterations is None; .* 3 in 2048"),
        ({"max_tool_calling_iterations": 4}, "max_tool_calling_iterations is 4"),
        ({"max_completion_length": 100}, "max_completion_length is 100: turns would be removed"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            check(make_trainer(caller, tmp_path, **options))
        assert "\n" not in str(caught.value)
    _, tools = qwen3_vl_chat_template.split('message.role == "tool"')
    blind = qwen3_vl_chat_template.replace(
        tools, tools.replace("<|vision_start|><|image_pad|><|vision_end|>", "")
    )
    assert blind != qwen3_vl_chat_template
    trainer = make_trainer(caller, tmp_path)
    trainer.chat_template = blind
    with pytest.raises(ValueError, match="drops pictures from the messages of tools"):
        check(trainer)


def test_several_games_make_one_factory_and_the_games_take_turns():
    made = environments(["2048", "swap"], reasoning=0)
    assert {name: kind.__name__ for name, kind in made.items()} == {"2048": "2048", "swap": "swap"}
    told = rows(["2048", "swap"], 4, split="test")
    assert [(row["environment"], row["index"]) for row in told] == [
        ("2048", 0),
        ("swap", 0),
        ("2048", 1),
        ("swap", 1),
    ]
    assert {row["split"] for row in told} == {"test"}
    for row in told:
        made[row["environment"]]().reset(**{key: row[key] for key in row if key != "environment"})


def test_a_turn_that_trl_removed_is_counted():
    env = environment("2048")()
    env.reset()
    for _ in range(2):
        env.play(env._session.run.legal[0])
    env.get_reward()
    kept = [{"role": "assistant", "content": ""}, {"role": "tool", "content": []}]
    assert rolled_back([kept, kept * 2], [env, env]) == [1.0, 0.0]


@pytest.mark.slow
def test_the_example_trains(tmp_path):
    pytest.importorskip("trl")
    import trl.chat_template_utils
    from vlm_gym.trainers.models.tiny import build_model
    from vlm_gym.trainers.models.transformers_policy import load_model

    build_model(tmp_path / "tiny", [("2048", "0"), ("swap", "0")], width=64, depth=1)
    _, processor = load_model(tmp_path / "tiny")
    processor.chat_template = trl.chat_template_utils.qwen3_vl_chat_template
    processor.save_pretrained(tmp_path / "tiny")
    command = [sys.executable, "-W", "ignore", str(Path(__file__).parents[1] / "examples" / "trl_games.py")]
    options = ["--model", str(tmp_path / "tiny"), "--size", "96", "--steps", "2", "-o", str(tmp_path / "out")]
    options += ["--turns", "2", "--length", "200"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("'rewards/swap/mean'") == 2
