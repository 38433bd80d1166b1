"""Language models of real architectures with a few thousand weights, and short training of them."""

import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from torch import Tensor, nn  # noqa: E402
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
)

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
