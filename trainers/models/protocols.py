"""What is used of the objects of other libraries, as protocols; their own types are wider, or say less."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor
from transformers import GenerationConfig, PreTrainedConfig


class Tokenizer(Protocol):
    """The tokenizer of a processor."""

    pad_token_id: int

    def decode(self, ids: Sequence[int], /) -> str:
        """Return the text of some tokens, special ones included."""
        ...

    def __hash__(self) -> int:
        """Return a hash, so that texts of tokens can be kept by tokenizer."""
        ...


class Answer(Protocol):
    """What a model of transformers computes."""

    logits: Tensor
    """(B, L, V), perhaps of the last tokens alone."""


class GenerativeModel(Protocol):
    """A model of transformers that writes text."""

    config: PreTrainedConfig
    generation_config: GenerationConfig

    def __call__(self, **inputs: object) -> Answer:
        """Run the model."""
        ...

    def prepare_inputs_for_generation(self, input_ids: Tensor, **inputs: object) -> dict[str, object]:
        """Return the inputs of the first run in `generate`."""
        ...

    def generate(self, **options: object) -> Tensor:
        """Return prompts with their replies, (B, L + T)."""
        ...


class CompletionOutput(Protocol):
    """One reply of a vLLM engine."""

    token_ids: Sequence[int]
    finish_reason: str | None


class RequestOutput(Protocol):
    """The replies of a vLLM engine to one prompt."""

    prompt_token_ids: Sequence[int]
    outputs: Sequence[CompletionOutput]


class Sampling(Protocol):
    """The sampling parameters of a vLLM engine."""

    temperature: float
    max_tokens: int | None
    stop_token_ids: list[int] | None
    detokenize: bool
    seed: int | None

    def clone(self) -> "Sampling":
        """Return a copy."""
        ...


class Engine(Protocol):
    """A vLLM engine in this process."""

    def get_default_sampling_params(self) -> Sampling:
        """Return the sampling parameters that the model's authors recommend."""
        ...

    def generate(
        self, prompts: Sequence[dict[str, object]], params: Sequence[Sampling], *, use_tqdm: bool
    ) -> Sequence[RequestOutput]:
        """Reply to prompts, in their order."""
        ...
