"""What a plan says is what a run has: the same parameters, tokens and limits, before anything is loaded."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from transformers import AutoModelForImageTextToText  # noqa: E402
from typer.testing import CliRunner  # noqa: E402
from vlm_gym.trainers.models import tiny  # noqa: E402
from vlm_gym.trainers.models.processors import load_processor  # noqa: E402
from vlm_gym.trainers.models.transformers_policy import encode_requests  # noqa: E402
from vlm_gym.trainers.optimizers import muon  # noqa: E402
from vlm_gym.trainers.planning import costs  # noqa: E402
from vlm_gym.trainers.planning.checks import warnings  # noqa: E402
from vlm_gym.trainers.planning.plan import SAMPLED_POSITIONS, RunPlan, plan  # noqa: E402
from vlm_gym.trainers.recipe import Recipe, Shares, Task, load_recipe  # noqa: E402

from vlm_gym.cli import app, main  # noqa: E402
from vlm_gym.prompt import solution  # noqa: E402
from vlm_gym.registry import find  # noqa: E402
from vlm_gym.rollouts.states import sample  # noqa: E402

ROOT = Path(__file__).parents[1]
G0, G1 = (ROOT / f"configs/{name}_qwen2_5_vl_7b.toml" for name in ("g0", "g1"))
DOCUMENT = (ROOT / "docs/scaling.md").read_text()

RECIPE = """
[model]
width = 64
depth = 2
[[task]]
game = "2048"
reasoning = "0"
perception = "size=128"
[[task]]
game = "swap"
reasoning = "1"
perception = "size=192"
weight = 3
[data]
rows = 100
[cold_start]
batch = 8
[grpo]
steps = 7
prompts_per_step = 4
[grpo.trl]
num_generations = 4
beta = 0.1
max_completion_length = 256
[evaluation]
episodes = 5
turns = 10
max_tokens = 256
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def planned(small: Path) -> RunPlan:
    return plan(load_recipe(small), card_name="cpu")


@pytest.fixture(scope="module")
def folder(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that the recipe would train, really built."""
    recipe, path = load_recipe(small), tmp_path_factory.mktemp("tiny")
    tasks = [(task.game, task.reasoning) for task in recipe.task]
    tiny.build_model(path, tasks, width=recipe.model.width, depth=recipe.model.depth)
    return path


def states(recipe: Recipe, task: Task) -> list:
    return [each.state for each in sample(SAMPLED_POSITIONS, [task.mixture(Shares())], recipe.seed)]


def test_a_tiny_model_has_the_parameters_that_were_planned(planned: RunPlan, folder: Path):
    model = AutoModelForImageTextToText.from_pretrained(folder)
    assert planned.model.parameters == sum(each.numel() for each in model.parameters())
    assert planned.model.vision == sum(each.numel() for each in model.model.visual.parameters())
    text = model.config.text_config
    assert planned.model.positions == text.max_position_embeddings
    assert planned.model.vocabulary == text.vocab_size


def test_a_cache_takes_what_was_planned(planned: RunPlan, folder: Path, small: Path):
    model, recipe = AutoModelForImageTextToText.from_pretrained(folder), load_recipe(small)
    request = recipe.task[0].request(states(recipe, recipe.task[0])[0])
    with torch.inference_mode():
        inputs = encode_requests(load_processor(folder), [request])
        layers = model(**inputs, use_cache=True).past_key_values.layers
    kept = sum(layer.keys.numel() + layer.values.numel() for layer in layers)
    assert kept == planned.model.cached * planned.tasks[0].prompt


def test_tokens_are_those_of_the_processor(planned: RunPlan, folder: Path, small: Path):
    processor, recipe = load_processor(folder), load_recipe(small)
    image = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert planned.exact
    for shown, task in zip(planned.tasks, recipe.task, strict=True):
        game, positions = find(task.game), states(recipe, task)
        for state in positions[:3]:
            ids = encode_requests(processor, [task.request(state)])["input_ids"][0]
            assert shown.prompt == len(ids)
            assert shown.picture.tokens == (ids == image).sum()
        replies = [solution(game, state) for state in positions]
        lengths = [len(processor.tokenizer(reply + "<|im_end|>")["input_ids"]) for reply in replies]
        assert shown.longest == max(lengths)
        assert shown.reply == pytest.approx(sum(lengths) / len(lengths))


def test_a_model_in_a_folder_is_planned_as_the_one_built_for_the_run(
    planned: RunPlan, folder: Path, small: Path
):
    found = plan(load_recipe(small, [f"model.path={folder}"]), card_name="cpu")
    assert found.tasks == planned.tasks
    assert found.stages == planned.stages
    assert found.model.parameters == planned.model.parameters


def test_stages_follow_the_recipe(planned: RunPlan):
    data, cold, grpo, measure = planned.stages
    assert (data.name, data.rows) == ("data", 100)
    assert (cold.steps, cold.rows, cold.replies) == (13, 8, 1)  # the last step is not full
    assert (grpo.steps, grpo.rows, grpo.replies) == (7, 4, 4)
    first, second = planned.tasks
    mean = (first.prompt + first.reply + 3 * (second.prompt + second.reply)) / 4
    assert grpo.trained == pytest.approx(16 * mean)
    assert grpo.generated == pytest.approx(16 * (first.reply + 3 * second.reply) / 4)
    # 5 episodes of 10 turns of 2 tasks, after 2 stages, at 2 temperatures, 64 at a time
    assert measure.steps == -(-5 * 10 * 2 * 2 * 2 // 64)


def test_a_step_costs_eight_operations_to_learn_with_a_reference_and_two_to_write(planned: RunPlan):
    grpo, size = planned.stages[2], planned.model.parameters
    asked = 16 * grpo.prompt
    assert grpo.flops(planned.model) == pytest.approx(
        size * (8 * grpo.trained + 2 * (asked + grpo.generated))
    )
    (cost,) = (each for each in planned.costs if each.stage is grpo)
    assert cost.time.updating == pytest.approx(
        8 * size * grpo.trained / (0.4 * planned.card.teraflops * 1e12)
    )


@pytest.fixture(scope="module")
def large() -> RunPlan:
    return plan(load_recipe(G1), gpus=(4, 8, 32))


def test_the_paper_s_model_is_counted_without_its_weights(large: RunPlan):
    assert large.model.parameters == pytest.approx(8.29e9, abs=5e6)
    assert not large.exact


def test_pictures_of_the_paper_s_recipe_show_whole_cells(large: RunPlan):
    assert [shown.picture.tokens for shown in large.tasks] == [16**2, 18**2, 18**2, 16**2]
    assert all(shown.aligned for shown in large.tasks)
    assert all(shown.cell % 28 == 0 for shown in large.tasks)


def test_parts_take_a_share_and_the_rest_is_on_every_gpu(large: RunPlan):
    size = large.model.parameters
    for cost in large.costs:
        if cost.stage.name != "GRPO":
            continue
        whole, parts = cost.memory["all"], cost.memory["parts"]
        kept = whole.weights + whole.gradients + whole.optimizer + whole.reference
        assert kept == 20 * size  # float32, as TRL loads
        assert parts.weights + parts.gradients + parts.optimizer + parts.reference == kept / cost.gpus
        assert (parts.activations, parts.cache) == (whole.activations, whole.cache)
        assert (whole.copy, parts.copy) == (0, 2 * size)


def of_stage(name: str, *changes: str, gpus: int = 4) -> dict[str, costs.Memory]:
    """Plan the memory of a stage of the paper's recipe."""
    (cost,) = (each for each in plan(load_recipe(G1, changes), gpus=[gpus]).costs if each.stage.name == name)
    return dict(cost.memory)


@pytest.mark.parametrize("optimizer", ["muon", "muonclip"])
def test_muon_has_one_moment_of_what_it_takes_and_adamw_two_of_the_rest(
    small: Path, folder: Path, optimizer: str
):
    model = AutoModelForImageTextToText.from_pretrained(folder)
    learns = muon.make_optimizer(model, "muon", 1e-3, 0.0)
    for weights in model.parameters():
        weights.grad = torch.ones_like(weights)
    learns.step()
    held = [
        moment.numel() for state in learns.state.values() for name, moment in state.items() if name != "step"
    ]
    found = plan(
        load_recipe(small, [f"grpo.optimizer={optimizer}", "grpo.trl.optim=adamw_8bit"]), card_name="cpu"
    )
    taken = {cost.stage.name: cost.memory["all"].optimizer for cost in found.costs}
    assert taken["GRPO"] == 4 * sum(held)
    assert taken["cold start"] == 8 * found.model.parameters > taken["GRPO"]


def test_vllm_beside_the_training_keeps_weights_of_its_own_unless_it_sleeps(large: RunPlan):
    size, changes = large.model.parameters, ["grpo.trl.use_vllm=true"]
    without = of_stage("GRPO")
    for name, beside in of_stage("GRPO", *changes).items():
        learning = without[name].gradients + without[name].activations
        assert beside.copy == 2 * size
        kept = beside.weights + beside.optimizer + beside.reference
        assert beside.peak == kept + learning + beside.copy + beside.cache
    spread = of_stage("GRPO", *changes, "grpo.trl.vllm_tensor_parallel_size=2")
    assert spread["all"].copy == size
    asleep = of_stage("GRPO", *changes, "grpo.trl.vllm_enable_sleep_mode=true")
    assert asleep["all"].copy == 2 * size
    assert asleep["all"].peak == without["all"].peak
    elsewhere = of_stage("GRPO", *changes, "grpo.trl.vllm_mode=server")
    assert (elsewhere["parts"].copy, elsewhere["parts"].cache) == (0, 0)


def test_both_recipes_of_the_paper_load_and_differ_by_the_cold_start():
    g0, g1 = load_recipe(G0), load_recipe(G1)
    assert g0.cold_start is None
    assert g1.cold_start is not None
    assert g0.grpo == g1.grpo
    assert g0.task == g1.task
    assert {task.game for task in g1.task} == {"2048", "shisen_sho", "shisen_sho_photos", "swap"}
    assert all(task.knobs.reward == "paper" for task in g1.task)
    assert [stage.name for stage in plan(g0).stages] == ["GRPO", "evaluation"]
    assert plan(g0).stages[-1].steps == plan(g1).stages[-1].steps  # of a model before GRPO, and of one after


@pytest.mark.parametrize(
    ("change", "gpus", "warning"),
    [
        ("grpo.prompts_per_step=126", 4, "GRPO on 4: 126 states do not divide; groups would be split"),
        ("grpo.trl.per_device_train_batch_size=3", 4, "640 rows a step do not divide"),
        ("grpo.trl.steps_per_generation=1", 4, "8 replies drawn at a time do not divide into groups of 5"),
        ("grpo.trl.max_completion_length=200", 4, "max_completion_length=200 cuts replies"),
        ("evaluation.max_tokens=100", 4, "evaluation.max_tokens=100 cuts replies"),
        ("grpo.trl.max_completion_length=127900", 4, "more than the 128000 positions"),
        ("task.0.perception=size=450", 4, "the processor makes 448x448 of 450x450 pixels"),
        ("task.1.perception=size=448", 4, "shisen_sho: cells of 74 pixels do not align"),
        ("grpo.steps=3", 1, "GRPO on 1: 180 GB on each do not fit into 80 GB"),
        ("grpo.steps=3", 4, "if all had 8192, it would take"),
        ("grpo.trl.optim=adamw_bnb_8bit", 4, "bitsandbytes is not installed"),
    ],
)
def test_what_would_go_wrong_is_told(change: str, gpus: int, warning: str, large: RunPlan):
    told = [each for each in warnings(plan(load_recipe(G1, [change]), gpus=[gpus])) if warning in each]
    assert len(told) == 1
    assert change == "grpo.steps=3" or not any(warning in each for each in warnings(large))


def test_the_paper_s_recipe_plans_clean_where_it_fits(large: RunPlan):
    assert [each for each in warnings(large) if "GRPO on 4:" not in each] == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--set", "grpo.trl.num_generation=3"], "unknown key .*did you mean 'num_generations'"),
        (["--set", "cold_start.trl.max_length=9"], "trl.max_length is not possible; a run always sets it"),
        (["--set", "model.path=/nowhere"], "no vision-language model can be read from '/nowhere'"),
        (["--gpu", "h10"], "unknown card 'h10' .did you mean 'h100'.*; cards: h100, h200"),
        (["--gpus", "many"], "--gpus many is not possible"),
        (["--gpus", "0"], r"gpus=\[0\] is not possible"),
        (["--utilisation", "0"], "utilisation=0.0 is not possible"),
    ],
)
def test_a_mistake_ends_in_one_line(
    arguments: list[str], error: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["vlm-gym", "plan", str(G1), *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert re.search(error, said)
    assert said.count("\n") == 1


def test_help_names_every_option():
    said = CliRunner().invoke(app, ["plan", "--help"], env={"COLUMNS": "200"}).stdout
    for option in ("--gpus", "--gpu ", "--memory", "--utilisation", "--dollars-per-gpu-hour", "--set"):
        assert option in said


def test_a_price_is_that_of_all_gpus(small: Path):
    said = CliRunner().invoke(app, ["plan", str(G1), "--gpus", "8", "--dollars-per-gpu-hour", "2"]).stdout
    (row,) = re.findall(r"^ +GRPO +8 +\d\S* +\d\S* +\d\S* +(\S+) +(\S+) +(\S+)", said, re.M)
    hours, held, dollars = map(float, row)
    assert held == pytest.approx(8 * hours, rel=0.01)
    assert dollars == pytest.approx(2 * held, rel=0.01)


def test_planning_needs_no_training_library_until_it_plans():
    code = "import sys, vlm_gym.cli.planning; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_an_unknown_card_is_an_error():
    with pytest.raises(ValueError, match="cards: "):
        costs.card("abacus")


@pytest.mark.parametrize("block", re.findall(r"```console\n\$ vlm-gym (.*?)```", DOCUMENT, re.S))
def test_the_document_says_what_the_command_says(block: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    command, _, told = block.partition("\n")
    said = CliRunner().invoke(app, command.split(), env={"COLUMNS": "110"}).stdout
    assert told.splitlines() == [line.rstrip() for line in said.splitlines()]
