"""A tiny model that has learnt to call the tool `play`, with the chat template of Qwen3-VL."""

from pathlib import Path
from typing import Any

import torch
import trl.chat_template_utils
from tokenizers import AddedToken
from transformers.utils import get_json_schema
from vlm_gym.trainers.models.tiny import build_model
from vlm_gym.trainers.models.transformers_policy import load_model

from vlm_gym.adapters.trl import environment
from vlm_gym.dice import Dice

LEVELS = {"2048": {"size": 64}, "swap": {"size": 96}}
"""Perception of each game: few visual tokens."""
CALL = ('<tool_call>\n{"name": "play", "arguments": {"action": "', '"}}\n</tool_call>')
"""What stands before and behind the action in a call."""


def build_caller(folder: Path, steps: int = 60) -> tuple[Any, Any]:
    """Teach a model to call `play` with legal actions, turn after turn. Returns it and its processor."""
    torch.set_num_threads(1)
    build_model(folder, [(game, "0") for game in LEVELS], width=64, depth=1)
    model, processor = load_model(folder)
    processor.chat_template = trl.chat_template_utils.qwen3_vl_chat_template
    # The ends of a call are one token each, so that little is to be learnt.
    processor.tokenizer.add_tokens([AddedToken(text, normalized=False) for text in CALL])
    model.resize_token_embeddings(len(processor.tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    dice = Dice(0)
    for step in range(steps):
        encoded, labels = _example(processor, list(LEVELS)[step % 2], dice)
        optimizer.zero_grad()
        model(**encoded, labels=labels).loss.backward()
        optimizer.step()
    return model, processor


def _example(processor: Any, game: str, dice: Dice) -> tuple[Any, torch.Tensor]:
    """Make a conversation of two calls; the labels are the tokens that the model writes."""
    played = environment(game, perception=LEVELS[game], reasoning=0)()
    messages = [{"role": "user", "content": played.reset(index=dice.below(1000))}]
    for _ in range(2):
        if played._session.ended:
            break
        action = dice.choice(played._session.run.legal)
        call = {"type": "function", "function": {"name": "play", "arguments": {"action": action}}}
        messages.append({"role": "assistant", "content": [], "tool_calls": [call]})
        messages.append({"role": "tool", "name": "play", "content": played.play(action)})
    encoded = processor.apply_chat_template(
        messages, tools=[get_json_schema(played.play)], tokenize=True, return_dict=True, return_tensors="pt"
    )
    ids = encoded["input_ids"][0].tolist()
    start = processor.tokenizer("<|im_start|>assistant\n")["input_ids"]
    end = processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
    labels = torch.full_like(encoded["input_ids"], -100)
    for at in range(len(ids)):
        if ids[at : at + len(start)] == start:
            first = at + len(start)
            last = ids.index(end, first)
            labels[0, first : last + 1] = encoded["input_ids"][0, first : last + 1]
    return encoded, labels
