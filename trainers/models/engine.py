"""Policies with a model in vLLM's engine: the same text, pictures and precision as ``hf:``."""

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Annotated

import torch
from PIL import Image
from transformers import AutoConfig, ProcessorMixin

from vlm_gym.config import Within
from vlm_gym.dice import mix
from vlm_gym.prompt import Message
from vlm_gym.rollouts.policy import RawReply, Request
from vlm_gym.storage import from_home

from .processors import apply_template, load_processor
from .protocols import Engine, Sampling


class VLLM:
    """A policy that runs a model in vLLM's engine, which batches requests by itself."""

    sees = True
    portable = False
    on_reply: Callable[[Request, RawReply], None] | None = None

    def __init__(
        self,
        path: str,
        temperature: float = 0.0,
        max_tokens: Annotated[int, Within(1)] = 1024,
        seed: int = 0,
        engine: Mapping[str, object] | None = None,
    ) -> None:
        """Load a directory or a model of the hub. Raises `ValueError` if it fails or takes no pictures.

        `temperature` 0 is greedy. `engine` goes to vLLM by its names: ``gpu_memory_utilization``,
        ``tensor_parallel_size``, ``max_model_len``, ``dtype``, ... By default, weights keep the precision
        that they were saved in, as transformers loads them; vLLM alone would halve float32.
        """
        self.name = f"vllm:{path}"
        location = from_home(path)
        self.processor, precision = load_processor_and_dtype(location)
        self._engine = _start(location, {"dtype": precision, "seed": seed, **(engine or {})})
        # The other sampling defaults of the model's authors apply, as they do in transformers.
        self._decoding = self._engine.get_default_sampling_params()
        self._decoding.temperature = temperature
        self._decoding.max_tokens = max_tokens
        self._decoding.stop_token_ids = [self.processor.tokenizer.eos_token_id]
        self._decoding.detokenize = False
        self._seed = seed

    def act(self, requests: Sequence[Request]) -> list[str]:
        """Reply to requests, as many at a time as vLLM has room for."""
        start = monotonic()
        prompts = [vllm_prompt(self.processor, request) for request in requests]
        answers = self._engine.generate(prompts, list(map(self._sampling, requests)), use_tqdm=False)
        seconds = round((monotonic() - start) / max(1, len(requests)), 4)
        replies: list[str] = []
        for request, answer in zip(requests, answers, strict=True):
            tokens = answer.outputs[0].token_ids
            usage = {"tokens_in": len(answer.prompt_token_ids), "tokens": len(tokens), "seconds": seconds}
            if answer.outputs[0].finish_reason == "length":
                usage["cut"] = 1.0
            reply = RawReply(self.processor.decode(tokens, skip_special_tokens=True), usage)
            if self.on_reply is not None:
                self.on_reply(request, reply)
            replies.append(reply)
        return replies

    def _sampling(self, request: Request) -> Sampling:
        """Return sampling parameters with the request's own seed, so replies do not depend on the batch."""
        sampling = self._decoding.clone()
        sampling.seed = mix(self._seed ^ request.state.seed + request.number) >> 1
        return sampling


def vllm_prompt(processor: ProcessorMixin, request: Request) -> dict[str, object]:
    """Write what vLLM takes for a request: tokens with a placeholder a picture, and the pictures."""
    return {
        "prompt_token_ids": unexpanded(processor, request.messages()),
        "multi_modal_data": {"image": [Image.fromarray(frame) for frame in request.pictures()]},
    }


def unexpanded(processor: ProcessorMixin, messages: Sequence[Message], **template: bool) -> list[int]:
    """Turn messages into tokens with one placeholder a picture, which vLLM expands to the visual tokens.

    `template` goes to `apply_chat_template`.
    """
    text = apply_template(processor, messages, **template)
    tokens: list[int] = processor.tokenizer(text)["input_ids"]
    return tokens


def load_processor_and_dtype(path: str) -> tuple[ProcessorMixin, str]:
    """Load a model's processor, and name the precision that the model was saved in, as vLLM spells it.

    Raises `ValueError` if there is no model, or one that takes no pictures.
    """
    try:
        processor = load_processor(path)
        saved = AutoConfig.from_pretrained(path).dtype or torch.float32
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"no vision-language model can be loaded from {path!r}: {error}") from error
    return processor, str(saved).removeprefix("torch.")


def _start(path: str, settings: dict[str, object]) -> Engine:
    """Start vLLM's engine. Raises `ValueError` that says what to do where it is missing or cannot run."""
    try:
        from vllm import LLM
    except ModuleNotFoundError as error:
        raise ValueError(
            f'vllm:{path} needs {error.name}, an extra: pip install "vlm-gym[vllm]"; hf:{path} needs no vLLM'
        ) from error
    except ImportError as error:  # a library of another CUDA than the driver's or torch's
        raise ValueError(
            f"vLLM cannot be imported: {_line(error)}; install the build for this machine's CUDA (see "
            f"docs.vllm.ai), or play with hf:{path}"
        ) from error
    try:
        engine: Engine = LLM(path, **settings)
    except (ValueError, RuntimeError, TypeError, NotImplementedError) as error:
        raise ValueError(
            f"vLLM cannot start with {path}: {_line(error)}; its own words are above; hf:{path} needs no vLLM"
        ) from error
    return engine


def _line(error: Exception) -> str:
    """Fold an error that goes over several lines into one."""
    return " ".join(str(error).split())
