"""Muon and QK-clip, on small models of real architectures."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from little_models import gemma3, llama, qwen2_5, qwen3, same, tokens, train, weights  # noqa: E402
from torch import nn  # noqa: E402
from transformers import (  # noqa: E402
    PreTrainedModel,
    Trainer,
    TrainingArguments,
)
from vlm_gym.trainers.optimizers.muon import make_optimizer, split  # noqa: E402

NAMES = ("adamw", "muon", "muonclip")


@pytest.mark.parametrize("shape", [(48, 48), (64, 16), (16, 96)])
def test_an_update_has_equal_singular_values_and_the_root_mean_square_of_adamw(shape: tuple[int, int]):
    layer = nn.Linear(shape[1], shape[0], bias=False)
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    make_optimizer(layer, "muon", 0.01, 0.0).step()
    update = (before - layer.weight.detach()) / 0.01
    assert update.square().mean().sqrt() == pytest.approx(0.2, rel=0.2)
    values = torch.linalg.svdvals(update / (0.2 * max(shape) ** 0.5))
    assert values.max() < 1.3
    assert values.median() > 0.65  # the smallest of a square matrix is near 0, and five steps do not lift it
    assert torch.sum(update * layer.weight.grad) > 0


@pytest.mark.parametrize("shape", [(48, 48), (64, 16), (16, 96)])
def test_some_steps_end_where_those_of_torch_do(shape: tuple[int, int]):
    chance = torch.Generator().manual_seed(0)
    ours = nn.Linear(shape[1], shape[0], bias=False)
    theirs = nn.Linear(shape[1], shape[0], bias=False)
    theirs.load_state_dict(ours.state_dict())
    before = ours.weight.detach().clone()
    optimizers = (
        make_optimizer(ours, "muon", 0.01, 0.1),
        torch.optim.Muon(theirs.parameters(), 0.01, 0.1, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(5):
        ours.weight.grad = torch.randn(shape, generator=chance)
        theirs.weight.grad = ours.weight.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    apart = (ours.weight - theirs.weight).norm() / (theirs.weight - before).norm()
    assert apart < 0.02  # they compute in bfloat16


def test_decay_is_decoupled_and_spares_vectors():
    layer = nn.Linear(8, 8)
    before = weights(layer)
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    make_optimizer(layer, "muon", 0.1, 0.5).step()
    assert torch.allclose(layer.weight, before["weight"] * 0.95)
    assert torch.equal(layer.bias, before["bias"])


@pytest.mark.parametrize("family", [llama, qwen2_5, qwen3, gemma3])
def test_every_parameter_is_in_one_part_and_matrices_are_those_of_hidden_linear_layers(family):
    model = family()
    parts = split(model.named_parameters())
    there = [id(parameter) for part in parts for parameter in part]
    assert sorted(there) == sorted(id(parameter) for parameter in model.parameters())
    head = model.get_output_embeddings()
    linear = {id(each.weight) for each in model.modules() if isinstance(each, nn.Linear) and each is not head}
    assert {id(parameter) for parameter in parts.matrices} == linear
    assert any(parameter is model.get_input_embeddings().weight for parameter in parts.tables)
    assert all(parameter.ndim == 1 for parameter in parts.vectors)


def test_frozen_parameters_are_left_out():
    model = qwen3()
    model.model.visual.requires_grad_(False)
    there = [parameter for part in split(model.named_parameters()) for parameter in part]
    assert len(there) == len(list(model.model.language_model.parameters()))
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="no matrix"):
        make_optimizer(model, "muon", 0.01, 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_learn_a_batch_by_heart(name):
    model = llama(num_hidden_layers=2)
    losses = train(model, make_optimizer(model, name, 0.01, 0.01), 20)
    assert losses[-1] < losses[0] / 2


def test_an_unknown_name_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match=r"'sgd'.*adamw, muon, muonclip"):
        make_optimizer(llama(), "sgd", 0.01, 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_saved_goes_on_as_if_it_had_never_stopped(name, tmp_path: Path):
    model, other = llama(), llama()
    optimizer = make_optimizer(model, name, 0.01, 0.1)
    train(model, optimizer, 3)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "saved.pt")
    saved = torch.load(tmp_path / "saved.pt")
    other.load_state_dict(saved["model"])
    resumed = make_optimizer(other, name, 1.0, 0.0)
    resumed.load_state_dict(saved["optimizer"])
    train(model, optimizer, 2)
    train(other, resumed, 2)
    assert same(weights(model), weights(other))


@pytest.mark.parametrize("name", ["muon", "muonclip"])
def test_transformers_trainer_takes_it_with_a_schedule_and_resumes(name, tmp_path: Path):
    rows = [{key: value[index] for key, value in tokens(8).items()} for index in range(8)]

    def trainer(model: PreTrainedModel) -> Trainer:
        arguments = TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=4,
            save_steps=2,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=2,
            lr_scheduler_type="linear",
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
        )
        return Trainer(
            model, arguments, train_dataset=rows, optimizers=(make_optimizer(model, name, 0.01, 0.1), None)
        )

    model, other = llama(), llama()
    start = weights(model)
    straight = trainer(model)
    straight.train()
    assert not any(torch.equal(start[key], now) for key, now in weights(model).items())
    assert [group["lr"] for group in straight.optimizer.param_groups] == [0.0] * 3
    trainer(other).train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert same(weights(model), weights(other))
