"""The size of a model and its token counts of text and pictures, without loading weights.

Parameters are counted on torch's ``meta`` device, where tensors have a shape and no storage. Tokens are
counted by the model's own processor; the shipped models come without a tokenizer, and theirs are estimates.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    BaseImageProcessor,
    PreTrainedConfig,
    ProcessorMixin,
)

from vlm_gym.rollouts.policy import Request

from ..models import tiny
from ..models.families import PictureTokens, picture_tokens
from ..models.prepare import freeze, lora_config
from ..models.processors import load_processor, prepare_templates
from ..models.transformers_policy import encode_requests
from ..optimizers.muon import split
from ..recipe import Model, Task

_WORDS = re.compile(r" ?[^\W\d_]+|\d| ?[^\w\s]+|_|\s+")
_FRAME = 21
"""Tokens of Qwen's chat format around one question with a picture."""


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """A model's size; that of layers, vocabulary and cache is of its language half."""

    name: str
    source: str
    """The source of the numbers."""
    parameters: int
    vision: int
    """Parameters of the vision tower, counted in `parameters`."""
    learning: int
    """Trained parameters: of the model, or of its adapters, which are not counted in `parameters`."""
    matrices: int
    """Those of `learning` that Muon takes."""
    adapted: bool
    """Whether adapters learn; without them, the model is its own reference."""
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    positions: int
    cached: int
    """Keys and values that a token leaves in the cache, over all layers."""


class TokenCounter:
    """Counts the tokens of prompts and replies: by the processor, or by rule of thumb without a tokenizer."""

    def __init__(
        self, config: PreTrainedConfig, pictures: BaseImageProcessor, processor: ProcessorMixin | None = None
    ) -> None:
        """Read with the picture half of a processor, and with all of it where there is one."""
        self._config = config
        self._pictures = pictures
        self._processor: ProcessorMixin | None = processor
        self.exact = processor is not None

    def look(self, request: Request) -> PictureTokens:
        """Show the picture of a request. What is not of a known family is asked for its placeholders."""
        inputs = self._pictures([Image.fromarray(request.picture())], return_tensors="pt")
        if (known := picture_tokens(self._config, inputs)) is not None:
            return known
        assert self._processor is not None  # shipped models are of known families
        encoded = encode_requests(self._processor, [request])
        tokens = torch.isin(encoded["input_ids"], torch.tensor(self._processor.image_token_ids)).sum()
        height, width = encoded["pixel_values"].shape[-2:]
        return PictureTokens(int(tokens), height, width, None)

    def prompt(self, request: Request) -> int:
        """Count all that is asked with, the visual tokens among it."""
        if self._processor is None:
            # The question, then a past turn each, have a picture and a frame of the chat format.
            tokens = (1 + len(request.past)) * (self.look(request).tokens + _FRAME)
            tokens += _words(request.text)
            for turn in request.past:
                tokens += _words(f"{turn.reply}{turn.feedback}")
            return tokens
        return int(encode_requests(self._processor, [request])["input_ids"].shape[1])

    def reply(self, text: str) -> int:
        """Count a reply and the token that ends it."""
        if self._processor is None:
            return _words(text) + 1
        return len(self._processor.tokenizer(text, add_special_tokens=False)["input_ids"]) + 1


def read_shape(model: Model, tasks: Sequence[Task]) -> tuple[ModelShape, TokenCounter]:
    """Return the shape of a recipe's model and its reader. No weights are loaded or made.

    Raises `ValueError` if the model is neither built for the run, nor shipped, nor a folder, nor on the hub.
    """
    shipped = files("vlm_gym.configs") / "models" / model.path
    if model.path == "tiny":
        asked = [(task.game, task.reasoning) for task in tasks]
        side = max(task.look.size for task in tasks)
        config, processor = tiny.configure_model(
            asked, model.width, model.depth, family=model.family, side=side, positions=model.positions
        )
        prepare_templates(processor, model.family)
        return _shape(model, "built for the run", config), _reader(config, processor)
    if not Path(model.path).exists() and (shipped / "config.json").is_file():
        with as_file(shipped) as folder:
            config = AutoConfig.from_pretrained(folder)
            pictures = AutoImageProcessor.from_pretrained(folder, **model.pictures)
        return _shape(model, "shipped configuration", config), TokenCounter(config, pictures)
    try:
        config = AutoConfig.from_pretrained(model.location)
        processor = load_processor(model.location, **model.pictures)
        return _shape(model, "its own configuration", config), _reader(config, processor)
    except (OSError, ValueError, KeyError) as error:
        cause = str(error).strip().splitlines()[0]
        raise ValueError(f"no vision-language model can be read from {model.path!r}: {cause}") from error


def _reader(config: PreTrainedConfig, processor: ProcessorMixin) -> TokenCounter:
    return TokenCounter(config, processor.image_processor, processor)


def _shape(asked: Model, source: str, config: PreTrainedConfig) -> ModelShape:
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
        count = 0
        vision = 0
        for name, weights in model.named_parameters():
            count += weights.numel()
            if "visual" in name or "vision" in name:
                vision += weights.numel()
        freeze(model, asked)
        if (adapting := lora_config(asked, config.model_type)) is not None:
            model.add_adapter(adapting)
        learning = 0
        for weights in model.parameters():
            if weights.requires_grad:
                learning += weights.numel()
    text = config.get_text_config()
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    key_heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    is_opt = text.model_type == "opt"  # which has names of its own
    return ModelShape(
        name=asked.path,
        source=source,
        parameters=count,
        vision=vision,
        learning=learning,
        matrices=sum(weights.numel() for weights in split(model.named_parameters()).matrices),
        adapted=adapting is not None,
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=text.ffn_dim if is_opt else text.intermediate_size,
        vocabulary=text.vocab_size,
        positions=text.max_position_embeddings,
        cached=2 * text.num_hidden_layers * key_heads * head,
    )


def _words(text: str) -> int:
    """Count words, digits and signs, into which Qwen's tokenizer splits a text first."""
    return len(_WORDS.findall(text))
