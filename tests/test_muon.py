"""Muon and QK-clip, on small models of real architectures."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from torch import Tensor, distributed, multiprocessing, nn  # noqa: E402
from torch.distributed.fsdp import fully_shard  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402
from transformers import (  # noqa: E402
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Trainer,
    TrainingArguments,
)
from vlm_gym.trainers.optimizers.muon import Muon, make, split  # noqa: E402
from vlm_gym.trainers.optimizers.qk_clip import QkClip  # noqa: E402

NAMES = ("adamw", "muon", "muonclip")
TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EYES = {"depth": 1, "num_heads": 2, "patch_size": 4, "out_hidden_size": 32, "intermediate_size": 48}
ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 1, 2]}}


def llama(**changes: int) -> PreTrainedModel:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**TEXT | {"num_key_value_heads": 4} | changes))


def qwen2_5() -> PreTrainedModel:
    torch.manual_seed(0)
    eyes = EYES | {"hidden_size": 16, "fullatt_block_indexes": [0]}
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=TEXT | ROPE, vision_config=eyes))


def qwen3() -> PreTrainedModel:
    torch.manual_seed(0)
    eyes = EYES | {"hidden_size": 16, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]}
    text = TEXT | ROPE | {"head_dim": 8}
    return Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(text_config=text, vision_config=eyes, tie_word_embeddings=True)
    )


def gemma3() -> PreTrainedModel:
    torch.manual_seed(0)
    return Gemma3ForCausalLM(Gemma3TextConfig(**TEXT, head_dim=8, layer_types=["full_attention"]))


def tokens(rows: int = 4, length: int = 12) -> dict[str, Tensor]:
    """Random words; the first row is padded on the left."""
    words = torch.randint(3, 64, (rows, length), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(words)
    mask[0, :5] = 0
    return {"input_ids": words, "attention_mask": mask, "labels": words}


def train(model: PreTrainedModel, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(**tokens()).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("shape", [(48, 48), (64, 16), (16, 96)])
def test_an_update_has_equal_singular_values_and_the_root_mean_square_of_adamw(shape: tuple[int, int]):
    layer = nn.Linear(shape[1], shape[0], bias=False)
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    make(layer, "muon", 0.01, 0.0).step()
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
        make(ours, "muon", 0.01, 0.1),
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
    make(layer, "muon", 0.1, 0.5).step()
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
        make(model, "muon", 0.01, 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_learn_a_batch_by_heart(name):
    model = llama(num_hidden_layers=2)
    losses = train(model, make(model, name, 0.01, 0.01), 20)
    assert losses[-1] < losses[0] / 2


def test_an_unknown_name_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match=r"'sgd'.*adamw, muon, muonclip"):
        make(llama(), "sgd", 0.01, 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_saved_goes_on_as_if_it_had_never_stopped(name, tmp_path: Path):
    model, other = llama(), llama()
    optimizer = make(model, name, 0.01, 0.1)
    train(model, optimizer, 3)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "saved.pt")
    saved = torch.load(tmp_path / "saved.pt")
    other.load_state_dict(saved["model"])
    resumed = make(other, name, 1.0, 0.0)
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
        return Trainer(model, arguments, train_dataset=rows, optimizers=(make(model, name, 0.01, 0.1), None))

    model, other = llama(), llama()
    start = weights(model)
    straight = trainer(model)
    straight.train()
    assert not any(torch.equal(start[key], now) for key, now in weights(model).items())
    assert [group["lr"] for group in straight.optimizer.param_groups] == [0.0] * 3
    trainer(other).train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert same(weights(model), weights(other))


def explode(model: PreTrainedModel, factor: float = 100.0) -> None:
    """Make logits large: by the projections, and by the weights of norms where there are any."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in ("q_proj", "k_proj", "q_norm", "k_norm")):
                parameter.add_(0.1 if parameter.ndim == 1 else 0.0).mul_(factor)


def largest(model: PreTrainedModel, clip: QkClip) -> Tensor:
    """The largest logit over all heads, of one pass; what came before it is forgotten."""
    clip.attach()
    model(**tokens())
    return torch.cat(list(clip.largest().values())).max()


@pytest.mark.parametrize("groups", [1, 2])
def test_the_largest_logit_is_that_of_the_pairs_that_attention_sees(groups, monkeypatch):
    model = llama(num_key_value_heads=4 // groups)
    explode(model)
    calls = []
    function = nn.functional.scaled_dot_product_attention

    def spy(query, key, value, attn_mask=None, **options):
        calls.append((query, key, attn_mask))
        return function(query, key, value, attn_mask=attn_mask, **options)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", spy)
    clip = QkClip(model)
    with clip:
        model(**tokens())
        (found,) = clip.largest().values()
    ((query, key, mask),) = calls
    assert mask is not None
    logits = (query @ key.repeat_interleave(query.shape[1] // key.shape[1], 1).mT) / 8**0.5
    wanted = torch.stack([logits[:, head][mask[:, 0]].max() for head in range(4)])
    assert torch.allclose(found, wanted, rtol=1e-5)
    assert not torch.allclose(found, logits.amax((0, 2, 3)))  # pairs that are hidden would have counted more


def test_without_a_mask_a_query_sees_no_later_key():
    model = llama()
    explode(model)
    words = tokens()["input_ids"]
    clip = QkClip(model)
    found = []
    with clip:
        for mask in (None, torch.ones_like(words)[:, None, None].expand(-1, 1, 12, -1).tril().bool()):
            clip.attach()
            model(input_ids=words, attention_mask=mask)
            found += clip.largest().values()
    assert torch.allclose(found[0], found[1])


@pytest.mark.parametrize("family", [llama, lambda: llama(num_key_value_heads=2), qwen2_5, qwen3, gemma3])
def test_logits_that_explode_are_clipped_at_the_threshold(family):
    model = family()
    explode(model)
    clip = QkClip(model, threshold=10.0)
    with clip:
        before = largest(model, clip)
        assert before > 20
        clip.step()
        assert largest(model, clip) == pytest.approx(10.0, rel=1e-4)


def test_deep_models_come_below_the_threshold_within_a_few_steps():
    model = llama(num_hidden_layers=3)
    explode(model)
    optimizer = make(model, "muonclip", 0.0, 0.0, threshold=10.0)  # nothing moves but by the clip
    assert largest(model, optimizer.clip) > 20
    train(model, optimizer, 6)
    assert largest(model, optimizer.clip) <= 10.0 * (1 + 1e-4)


@pytest.mark.parametrize("family", [llama, lambda: llama(num_key_value_heads=2), qwen2_5, qwen3, gemma3])
def test_below_the_threshold_not_a_bit_changes(family):
    model = family()
    before = weights(model)
    with QkClip(model) as clip:
        assert 0 < largest(model, clip) < 100
        clip.step()
    assert same(before, weights(model))


@pytest.mark.parametrize("groups", [1, 2])
def test_heads_below_the_threshold_are_left_alone(groups):
    model = llama(num_key_value_heads=4 // groups)
    attention = model.model.layers[0].self_attn
    with torch.no_grad():
        attention.q_proj.weight[:8] *= 1e4
    before = weights(attention)
    with QkClip(model, threshold=10.0) as clip:
        assert largest(model, clip) > 20
        clip.step()
    after = weights(attention)
    assert torch.equal(before["q_proj.weight"][8:], after["q_proj.weight"][8:])
    assert torch.equal(before["k_proj.weight"][8:], after["k_proj.weight"][8:])
    assert torch.equal(before["k_proj.weight"], after["k_proj.weight"]) == (groups > 1)
    assert not torch.equal(before["q_proj.weight"][:8], after["q_proj.weight"][:8])


def test_norms_make_logits_independent_of_the_projections():
    model = qwen3()
    with QkClip(model) as clip:
        before = largest(model, clip)
        with torch.no_grad():
            for projection in ("q_proj", "k_proj"):
                getattr(model.model.language_model.layers[0].self_attn, projection).weight.mul_(1e3)
        after = largest(model, clip)
    assert max(before, after) <= 8**0.5  # √d, as the weights of the norms are 1


def test_only_passes_with_gradients_of_attached_models_are_measured():
    model, other = llama(), llama()
    clip = QkClip(model)
    with clip:
        with torch.no_grad():
            model(**tokens())
        other(**tokens())
        with pytest.raises(RuntimeError, match="forward pass"):
            clip.step()
    model(**tokens())
    with pytest.raises(KeyError):
        clip.largest()


def test_what_cannot_be_clipped_is_an_error():
    model = llama()
    with pytest.raises(ValueError, match="threshold of 0"):
        QkClip(model, 0)
    model.set_attn_implementation("eager")
    with pytest.raises(ValueError, match="eager"):
        QkClip(model)
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="q_proj and k_proj"):
        QkClip(model)


def test_one_object_holds_the_groups_and_states_of_both_rules():
    model = llama()
    optimizer = make(model, "muon", 0.01, 0.1)
    assert isinstance(optimizer, Muon)
    train(model, optimizer, 1)
    assert set(optimizer.state) == set(model.parameters())
    assert {frozenset(state) for state in optimizer.state.values()} == {
        frozenset({"momentum_buffer"}),
        frozenset({"step", "exp_avg", "exp_avg_sq"}),
    }


SHARDED = {"own keys": llama, "shared keys": qwen2_5, "norms": qwen3}


def process(rank: int, folder: Path) -> None:
    """Train in one of two processes, each on rows of its own; save what comes of it."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    words = tokens()["input_ids"][2 * rank : 2 * rank + 2]
    replicated = llama()
    explode(replicated)
    optimizer = make(replicated, "muonclip", 0.01, 0.1, threshold=10.0)
    parallel = DistributedDataParallel(replicated)
    parallel(input_ids=words, labels=words).loss.backward()
    (seen,) = optimizer.clip.largest().values()
    optimizer.step()
    found = {"replicated": weights(replicated), "seen": seen}
    for name, family in SHARDED.items():
        model = family()
        explode(model)
        fully_shard(model)
        train(model, make(model, "muonclip", 0.0, 0.0, threshold=10.0), 1)
        found[name] = {key: value.full_tensor() for key, value in weights(model).items()}
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_clip_alike_whether_weights_are_replicated_or_sharded(tmp_path: Path):
    multiprocessing.spawn(process, (tmp_path,), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert not torch.equal(one["seen"], two["seen"])
    assert same(one["replicated"], two["replicated"])
    for name, family in SHARDED.items():
        whole = family()
        explode(whole)
        train(whole, make(whole, "muonclip", 0.0, 0.0, threshold=10.0), 1)
        assert same(one[name], weights(whole))
