"""Processors that make the same tokens however they are called, with and without torchvision.

The video half of some processors needs torchvision. Games have no videos, so here are the same processors
without that half; they read and write the same directories. Load by `load_processor`: without torchvision,
transformers' `AutoProcessor` fails on them, or silently returns a bare tokenizer.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from transformers import AutoConfig, AutoProcessor, ProcessorMixin
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as SEEING
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.utils.import_utils import is_torchvision_available

from vlm_gym.knobs import suggest
from vlm_gym.prompt import Message

from .families import FAMILIES

VIDEOS = "video_preprocessor_config.json"
FULL: dict[str, type[ProcessorMixin]] = {
    "qwen2_vl": Qwen2VLProcessor,
    "qwen2_5_vl": Qwen2_5_VLProcessor,
    "qwen3_vl": Qwen3VLProcessor,
}
"""Those with a video half, by model type."""


def without_videos(processor: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """Derive a processor of the same name that takes pictures and text alone."""

    class Pictures(processor):  # type: ignore[misc, valid-type]
        def __init__(
            self, image_processor: object = None, tokenizer: object = None, chat_template: str | None = None
        ):
            super().__init__(image_processor, tokenizer, None, chat_template=chat_template)

        def save_pretrained(self, save_directory: str | Path, **options: object) -> list[str] | None:
            saved: list[str] | None = super().save_pretrained(save_directory, **options)
            _describe_videos(Path(save_directory), self)
            return saved

    # The name is written into saved directories, which the full processor is to read as well.
    Pictures.__name__ = processor.__name__
    return Pictures


def _describe_videos(folder: Path, processor: ProcessorMixin) -> None:
    """Write the configuration of a video processor, which vLLM needs since it loads the full processor."""
    processor_type = (
        "Qwen3VLVideoProcessor" if isinstance(processor, Qwen3VLProcessor) else "Qwen2VLVideoProcessor"
    )
    names = ("patch_size", "temporal_patch_size", "merge_size", "image_mean", "image_std")
    shared = {name: getattr(processor.image_processor, name) for name in names}
    settings = {"video_processor_type": processor_type, **shared}
    (folder / VIDEOS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


PROCESSORS: dict[str, type[ProcessorMixin]] = {}
"""The processor to make, by model type, where it has a video half."""
for _model_type, _processor in FULL.items():
    PROCESSORS[_model_type] = _processor if is_torchvision_available() else without_videos(_processor)
# What SmolVLM's does beyond its predecessor's is videos, for which it takes one more package.
PROCESSORS["smolvlm"] = type("SmolVLMProcessor", (Idefics3Processor,), {})


def load_processor(path: str | Path, **options: object) -> ProcessorMixin:
    """Load the processor of a directory, or of a model of the hub; `options` go to its picture half.

    Raises `ValueError` for a model that takes no pictures or comes with a tokenizer alone, for one without a
    chat template, and for options that the picture half does not have.
    """
    model_type = AutoConfig.from_pretrained(path).model_type
    if model_type not in SEEING:
        raise ValueError(f"{path} is a {model_type}, a model without eyes; choose a vision-language model")
    load: Callable[..., object] = PROCESSORS.get(model_type, AutoProcessor).from_pretrained
    processor = load(path, **options)
    if not isinstance(processor, ProcessorMixin):
        raise ValueError(f"{path} comes with a tokenizer alone; add the processor that it was trained with")
    names = list(processor.image_processor.valid_kwargs.__annotations__)
    for name in options:  # transformers accepts any name, and ignores unknown ones
        if name not in names:
            raise ValueError(
                f"unknown option {name!r} of pictures{suggest(name, names)}; names: {', '.join(names)}"
            )
    prepare_templates(processor, model_type)
    if processor.chat_template is None:
        raise ValueError(f"{path} comes without a chat template; choose a model that is tuned to be asked")
    return processor


def prepare_templates(processor: ProcessorMixin, model_type: str) -> None:
    """Leave every special token to the chat template, and set the token that ends a reply.

    A tokenizer that adds a start token by itself does so once, twice or not at all, depending on the caller:
    TRL's cold start, TRL's GRPO or evaluation.
    """
    tokenizer = processor.tokenizer
    family = FAMILIES.get(model_type)
    if family is not None:
        if tokenizer.convert_tokens_to_ids(family.end) != tokenizer.unk_token_id:
            tokenizer.eos_token = family.end
        if family.template and not _ends_replies(processor):
            processor.chat_template = family.template
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    if tokenizer("")["input_ids"]:
        template = processor.chat_template
        start = tokenizer.bos_token
        if isinstance(template, str) and start and not written(processor).startswith(start):
            processor.chat_template = "{{ bos_token }}" + template
        tokenizer.add_bos_token = tokenizer.add_eos_token = False


def apply_template(
    processor: ProcessorMixin,
    messages: Sequence[Message],
    add_generation_prompt: bool = True,
    **template: object,
) -> str:
    """Render messages as text, by default with the start of a reply; `template` goes to the chat template."""
    render: Callable[..., str] = processor.apply_chat_template  # its own types lack messages of blocks
    return render(messages, tokenize=False, add_generation_prompt=add_generation_prompt, **template)


_WORD = "word"
_TALK: list[Message] = [
    {"role": "user", "content": [{"type": "text", "text": _WORD}]},
    {"role": "assistant", "content": [{"type": "text", "text": _WORD}]},
]


def _ends_replies(processor: ProcessorMixin) -> bool:
    return processor.chat_template is not None and processor.tokenizer.eos_token in written(processor)


def written(processor: ProcessorMixin) -> str:
    """Render a question and a reply by the chat template, as in training."""
    return apply_template(processor, _TALK, add_generation_prompt=False)


def opening(processor: ProcessorMixin) -> str:
    """Return what the chat template puts before the text of a reply: a space after LLaVA's ``ASSISTANT:``."""
    prompt = apply_template(processor, _TALK[:1])
    _, matched, reply = written(processor).partition(prompt)
    return reply.partition(_WORD)[0] if matched else ""
