"""Scores of replies: every prompt and every different reply is run once. Sampling, and its cache."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

import torch
from talking import TASKS, asked
from transformers import DynamicCache, GenerationConfig
from trl.trainer.utils import add_fused_lm_head
from vlm_gym.trainers.learners.shared_prompts import prefill, sample_replies
from vlm_gym.trainers.learners.shared_scorer import score
from vlm_gym.trainers.models import token_loop
from vlm_gym.trainers.models.encoding import Prompt, collate, encode_prompt
from vlm_gym.trainers.models.growing_cache import ROOM, grow_in_place
from vlm_gym.trainers.models.token_loop import draw
from vlm_gym.trainers.models.transformers_policy import load_model

from vlm_gym.rollouts.policy import PastTurn, make


@pytest.fixture
def loaded(talker: Path) -> tuple[Any, Any]:
    model, processor = load_model(talker)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    return model.eval(), processor


@pytest.fixture
def prompts(loaded) -> list[Prompt]:
    """Make two short prompts and one that is three times as long, with two pictures of turns before."""
    short = [asked(task) for task in TASKS]
    turn = PastTurn(short[0].state, "<answer>left</answer>" * 8, "")
    return [encode_prompt(loaded[1], request) for request in (*short, short[0]._replace(past=(turn, turn)))]


REPLIES = ([305, 306, 307], [305, 306, 307], [308], [305, 306, 307], [309] * 5, [308], [304, 304])
PROMPT_OF = (0, 0, 0, 1, 2, 0, 2)


def alone(model: Any, processor: Any, prompt: Prompt, reply: list[int]) -> torch.Tensor:
    """Score one reply by a plain forward pass."""
    inputs = collate([prompt], processor.tokenizer.pad_token_id)
    ids = torch.tensor([reply])
    inputs["input_ids"] = torch.cat([inputs["input_ids"], ids], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    inputs["mm_token_type_ids"] = torch.nn.functional.pad(inputs["mm_token_type_ids"], (0, len(reply)))
    logits = model(**inputs, logits_to_keep=len(reply) + 1).logits[0, :-1]
    return logits.log_softmax(-1).gather(1, ids.T)[:, 0]


def test_equal_replies_and_prompts_of_any_length_are_scored_and_teach_as_each_alone(loaded, prompts):
    model, processor = loaded
    lengths = [len(prompt.ids) for prompt in prompts]
    assert lengths[2] > 2 * max(lengths[:2])
    weights = torch.linspace(0.5, 2, len(REPLIES))

    def gradients(summed: torch.Tensor) -> torch.Tensor:
        model.zero_grad()
        summed.backward()
        # (parameters,), in which parameters that no reply depends on have zeros
        parts = [torch.zeros_like(part) if part.grad is None else part.grad for part in model.parameters()]
        return torch.cat([part.flatten() for part in parts])

    asked_of = [prompts[index] for index in PROMPT_OF]
    scores = score(model, asked_of, REPLIES, processor.tokenizer.pad_token_id)
    each = [alone(model, processor, prompts[at], reply) for at, reply in zip(PROMPT_OF, REPLIES, strict=True)]
    for row, wanted in enumerate(each):
        torch.testing.assert_close(scores.log_probs[row, : len(wanted)], wanted, rtol=1e-4, atol=1e-5)
        assert not scores.log_probs[row, len(wanted) :].any()
    together = gradients((scores.log_probs.sum(dim=1) * weights).sum())
    one_by_one = gradients(sum(weights[row] * wanted.sum() for row, wanted in enumerate(each)))
    torch.testing.assert_close(together, one_by_one, rtol=1e-3, atol=1e-4)


def test_every_different_reply_is_run_once(loaded, prompts):
    model, processor = loaded
    rows = []
    model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].shape))
    sizes = []
    layer = model.model.language_model.layers[0]
    layer.register_forward_pre_hook(
        lambda _, inputs, named: sizes.append((inputs or (named["hidden_states"],))[0].shape[:2]),
        with_kwargs=True,
    )
    asked_of = [prompts[index] for index in PROMPT_OF]
    score(model, asked_of, REPLIES, processor.tokenizer.pad_token_id)
    replies = [size[0] for size in sizes[1::2]]  # after a run of the prompts of each batch
    assert [size[0] for size in sizes[::2]] == [2, 1]  # two short prompts, then the long one
    assert replies == [3, 2]


@pytest.mark.parametrize("prompt", [torch.float32, torch.bfloat16])
def test_a_growing_cache_holds_what_transformers_cache_holds(prompt: torch.dtype):
    chance = torch.Generator().manual_seed(0)
    first = torch.randn(2, 3, 2, 7, 4, generator=chance).to(prompt)
    plain = DynamicCache()
    plain.update(*first, 0)
    grown = DynamicCache()
    grown.update(*first, 0)
    grow_in_place(grown)
    rows = torch.tensor([2, 0, 0])
    for step in range(ROOM + 5):
        if step == ROOM // 2:  # as in a beam search
            plain.batch_select_indices(rows)
            grown.batch_select_indices(rows)
        keys, values = torch.randn(2, 3, 2, 1, 4, generator=chance)
        for one, other in zip(plain.update(keys, values, 0), grown.update(keys, values, 0), strict=True):
            assert torch.equal(one, other)
    assert grown.get_seq_length() == plain.get_seq_length() == 7 + ROOM + 5


def test_greedy_replies_are_those_of_generate_also_when_some_end_sooner(loaded, prompts):
    model, processor = loaded
    pad = processor.tokenizer.pad_token_id
    shown = collate(prompts[:2], pad)
    length = shown["input_ids"].shape[1]
    plain = GenerationConfig(max_new_tokens=ROOM + 8, pad_token_id=pad)
    with torch.no_grad():
        whole = model.generate(**shown, generation_config=plain)[:, length:]
        # A token that one reply has, and the other only later or not at all, ends replies.
        end = next(token for token in whole[0].tolist() if token not in whole[1, :8])
        decoding = GenerationConfig(max_new_tokens=ROOM + 8, pad_token_id=pad, eos_token_id=end)
        wanted = model.generate(**shown, generation_config=decoding)[:, length:]
        replies = sample_replies(model, prefill(model, shown, torch.arange(2)), decoding)
    assert (wanted[0] == pad).any()
    assert torch.equal(replies, wanted)


def test_a_sampled_reply_does_not_depend_on_when_others_leave_the_batch(loaded, prompts, monkeypatch):
    model, processor = loaded
    pad = processor.tokenizer.pad_token_id
    shown = collate(prompts[:2], pad)
    vocabulary = model.config.text_config.vocab_size
    ends = list(range(0, vocabulary, 8))  # so that replies have different lengths
    decoding = GenerationConfig(do_sample=True, max_new_tokens=24, pad_token_id=pad, eos_token_id=ends)
    sizes = []
    model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    sampled = []
    for kept in (0.0, 0.8, 1.0):
        monkeypatch.setattr(token_loop, "KEPT", kept)
        torch.manual_seed(0)
        with torch.no_grad():
            prefilled = prefill(model, shown, torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]))
            sizes.clear()
            sampled.append(sample_replies(model, prefilled, decoding))
        assert len(sizes) == sampled[-1].shape[1]
        assert sizes[-1] == 8 if kept == 0 else sizes[-1] < 8
    assert torch.equal(sampled[0], sampled[1])
    assert torch.equal(sampled[0], sampled[2])


def test_tokens_are_drawn_by_their_probabilities():
    probabilities = torch.tensor([0.5, 0.0, 0.3, 0.2, 0.0])
    scores = probabilities.log()  # minus infinity for tokens that are masked
    chance = (torch.arange(1000) + 0.5) / 1000
    counts = draw(scores.expand(1000, -1), chance).bincount(minlength=5)
    assert counts.tolist() == [500, 0, 300, 200, 0]
    ends = torch.tensor([1 - 2**-24, 0.0])  # the largest and the least that torch.rand returns
    masked_first = torch.tensor([0.0, 0.7, 0.3, 0.0]).log()
    assert draw(masked_first.expand(2, -1), ends).tolist() == [1, 2]


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_broken_probabilities_are_not_drawn_from(broken: float):
    with pytest.raises(RuntimeError, match="probability tensor has NaN or infinite"):
        draw(torch.tensor([[0.0, broken, 1.0]]), torch.tensor([0.5]))


@pytest.mark.parametrize("setting", [{"use_cache": False}, {"cache_implementation": "static"}, {}])
def test_a_model_whose_settings_ask_for_another_cache_says_the_same(talker: Path, tmp_path: Path, setting):
    model, processor = load_model(talker)
    model.generation_config.update(**setting)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    requests = [asked(task) for task in TASKS]
    wanted = make(f"hf:{talker}", max_tokens=12, device="cpu").act(requests)
    assert make(f"hf:{tmp_path}", max_tokens=12, device="cpu").act(requests) == wanted
