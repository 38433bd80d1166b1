"""Policies with a model in this process: any vision-language model that transformers can load."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from itertools import repeat
from pathlib import Path
from time import monotonic
from typing import Annotated, TypeGuard

import torch
from jinja2 import TemplateError
from PIL import Image
from safetensors import SafetensorError
from transformers import (
    AutoModelForImageTextToText,
    BatchFeature,
    GenerationMixin,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from vlm_gym.config import Within
from vlm_gym.dice import mix
from vlm_gym.knobs import suggest
from vlm_gym.render import Frame
from vlm_gym.rollouts.policy import RawReply, Request
from vlm_gym.storage import from_home

from .batching import of_similar_length
from .families import FAMILIES
from .processors import apply_template, load_processor
from .protocols import GenerativeModel
from .restoring import check_places, load_with_report
from .token_loop import sample_tokens, samples_tokens


class Transformers:
    """A policy that runs a model by transformers' `generate`, in batches padded on the left."""

    sees = True
    portable = False
    on_reply: Callable[[Request, RawReply], None] | None = None

    def __init__(
        self,
        path: str,
        temperature: float = 0.0,
        max_tokens: Annotated[int, Within(1)] = 1024,
        seed: int = 0,
        batch: Annotated[int, Within(1)] = 32,
        device: str | None = None,
        pictures: Mapping[str, object] | None = None,
    ) -> None:
        """Load a directory or a model of the hub. Raises `ValueError` if it fails or takes no pictures.

        `temperature` 0 is greedy. `device` is the GPU where there is one. `pictures` changes the picture half
        of the processor, by its own names.
        """
        self.name = f"hf:{path}"
        self.device = usable(device) if device else "cuda" if torch.cuda.is_available() else "cpu"
        model, self.processor = load_model(from_home(path), pictures)
        _move(model, self.device)
        assert _writes(model)
        self.model: GenerativeModel = model
        self._batch = batch
        self._seed = seed
        self._decoding: dict[str, object] = {"max_new_tokens": max_tokens, "do_sample": temperature > 0}
        if temperature > 0:
            self._decoding["temperature"] = temperature
        decoding = deepcopy(self.model.generation_config)
        decoding.update(**self._decoding)
        # Other models may need more inputs for a token than the loop gives.
        if self.model.config.model_type in FAMILIES and samples_tokens(decoding):
            self._decoding["custom_generate"] = sample_tokens

    def act(self, requests: Sequence[Request]) -> list[str]:
        """Reply to requests, at most `batch` at a time, and those of similar length together."""
        replies = [""] * len(requests)
        for indices in of_similar_length(list(map(_pixels, requests)), self._batch):
            batch = [requests[index] for index in indices]
            for index, reply in zip(indices, self._reply(batch), strict=True):
                if self.on_reply is not None:
                    self.on_reply(requests[index], reply)
                replies[index] = reply
        return replies

    @torch.inference_mode()
    def _reply(self, requests: Sequence[Request]) -> list[RawReply]:
        start = monotonic()
        inputs = encode_requests(self.processor, requests).to(self.device)
        with torch.random.fork_rng():
            # Greedy replies depend on their request alone; sampled ones also on the batch they came in.
            torch.manual_seed(mix(self._seed ^ requests[0].state.seed + requests[0].number) >> 1)
            output = self.model.generate(**inputs, **self._decoding)
        tokens = output[:, inputs["input_ids"].shape[1] :]  # (replies, T), padded on the right
        texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
        pad = self.processor.tokenizer.pad_token_id
        # (replies,): a reply without a token that ends it was cut at the limit.
        ends = torch.tensor(self.model.generation_config.eos_token_id, device=tokens.device)
        cut = ~torch.isin(tokens, ends).any(dim=1)
        seconds = (monotonic() - start) / len(requests)
        prompt = inputs["attention_mask"].sum(dim=1)  # (replies,), without padding
        replies = list[RawReply]()
        for row, text in enumerate(texts):
            usage = {
                "tokens_in": int(prompt[row]),
                "tokens": int((tokens[row] != pad).sum()),
                "seconds": round(seconds, 4),
            }
            if cut[row]:
                usage["cut"] = 1.0
            replies.append(RawReply(text, usage))
        return replies


def _pixels(request: Request) -> int:
    """Count the pixels that a request shows: an estimate of how long its prompt is."""
    return (1 + len(request.past)) * request.look.size**2


def _move(model: torch.nn.Module, device: str) -> None:
    """Move a model to a device, for inference."""
    model.to(device).eval()


def _writes(model: PreTrainedModel) -> TypeGuard[GenerativeModel]:
    return isinstance(model, GenerationMixin)


def usable(device: str) -> str:
    """Return a device of torch that this machine has. Raises `ValueError` for any other."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    known = ["cpu", *(f"cuda:{number}" for number in range(gpus))]
    if torch.backends.mps.is_available():
        known.append("mps")
    try:
        asked = torch.device(device)
        torch.empty(1, device=asked).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here{suggest(device, known)}; devices: {', '.join(known)}"
        ) from error
    return device


_BROKEN = (
    *(AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError),
    *(SafetensorError, TemplateError),
)
"""What libraries raise on files of a model that are truncated or hold something else."""


def load_model(
    path: str | Path, pictures: Mapping[str, object] | None = None, **options: object
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Load a model and its processor: `pictures` go to the picture half of that, `options` to the model.

    Replies end where the processor's tokenizer says, too. Raises `ValueError` where there is no such model or
    weights of it are missing: transformers would draw them by chance.
    """
    try:
        processor = load_processor(path, **pictures or {})
        model, report = load_with_report(
            AutoModelForImageTextToText.from_pretrained, path, **{"dtype": "auto", **options}
        )
    except _BROKEN as error:
        message = " ".join(str(error).split())
        raise ValueError(f"no vision-language model can be loaded from {str(path)!r}: {message}") from error
    check_places(path, report["missing_keys"])
    if is_deepspeed_zero3_enabled():  # saving would undo renamings that were not made
        model._weight_conversions = None  # type: ignore[assignment]  # which its types do not list
    # For CLIP, transformers also lists layers of the text half; accelerate's FSDP2 fails on missing layers.
    layer_types = {type(module).__name__ for module in model.modules()}
    model._no_split_modules = sorted(layer_types.intersection(model._no_split_modules or ()))
    tokenizer = processor.tokenizer
    tokenizer.padding_side = "left"
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = []
    elif not isinstance(ends, list):
        ends = [ends]
    if tokenizer.eos_token_id not in ends:
        model.generation_config.eos_token_id = [*ends, tokenizer.eos_token_id]
    if model.generation_config.pad_token_id is None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model, processor


def encode_requests(
    processor: ProcessorMixin,
    requests: Sequence[Request],
    begun: Sequence[str] | None = None,
    frames: Sequence[Sequence[Frame]] | None = None,
) -> BatchFeature:
    """Turn requests into a model's inputs, with exactly the pictures that they show.

    `begun` are beginnings of replies, which stand after the prompts. `frames` are the pictures of each
    request, where they are drawn already.
    """
    texts = list[str]()
    # `repeat` has no end, so the lengths are not compared.
    for request, beginning in zip(requests, begun or repeat(""), strict=False):
        texts.append(apply_template(processor, request.messages()) + beginning)
    drawn = [request.pictures() for request in requests] if frames is None else frames
    pictures = list[list[Image.Image]]()  # of each request
    for each in drawn:
        pictures.append([Image.fromarray(frame) for frame in each])
    inputs: BatchFeature = processor(text=texts, images=pictures, padding=True, return_tensors="pt")
    return inputs
