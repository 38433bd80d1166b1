"""QK-clip, on small models of real architectures."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from little_models import gemma3, llama, qwen2_5, qwen3, same, tokens, train, weights  # noqa: E402
from torch import Tensor, distributed, multiprocessing, nn  # noqa: E402
from torch.distributed.fsdp import fully_shard  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402
from transformers import (  # noqa: E402
    PreTrainedModel,
)
from vlm_gym.trainers.optimizers.muon import Muon, make_optimizer  # noqa: E402
from vlm_gym.trainers.optimizers.qk_clip import QkClip  # noqa: E402


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
    optimizer = make_optimizer(model, "muonclip", 0.0, 0.0, threshold=10.0)  # nothing moves but by the clip
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
    optimizer = make_optimizer(model, "muon", 0.01, 0.1)
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
    optimizer = make_optimizer(replicated, "muonclip", 0.01, 0.1, threshold=10.0)
    parallel = DistributedDataParallel(replicated)
    parallel(input_ids=words, labels=words).loss.backward()
    (seen,) = optimizer.clip.largest().values()
    optimizer.step()
    found = {"replicated": weights(replicated), "seen": seen}
    for name, family in SHARDED.items():
        model = family()
        explode(model)
        fully_shard(model)
        train(model, make_optimizer(model, "muonclip", 0.0, 0.0, threshold=10.0), 1)
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
        train(whole, make_optimizer(whole, "muonclip", 0.0, 0.0, threshold=10.0), 1)
        assert same(one[name], weights(whole))
