"""Processors of the Qwen-VL family where torchvision is not installed.

Their video half needs torchvision. Games have no videos, so here are the same processors without that half;
they read and write the same directories. Load by `load_processor`: transformers' `AutoProcessor` fails on
them there, or silently returns a bare tokenizer.
"""

from pathlib import Path
from typing import Any

from transformers import (
    AutoConfig,
    AutoProcessor,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2VLConfig,
    Qwen3VLConfig,
)
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.utils.import_utils import is_torchvision_available


def without_videos(processor: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """Derive a processor of the same name that takes pictures and text alone."""

    class Pictures(processor):  # type: ignore[misc, valid-type]
        def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None):
            super().__init__(image_processor, tokenizer, None, chat_template=chat_template)

    # The name is written into saved directories, which the full processor is to read as well.
    Pictures.__name__ = processor.__name__
    return Pictures


_FULL = {
    Qwen2VLConfig: Qwen2VLProcessor,
    Qwen2_5_VLConfig: Qwen2_5_VLProcessor,
    Qwen3VLConfig: Qwen3VLProcessor,
}

PROCESSORS: dict[str, type[ProcessorMixin]] = {
    config.model_type: processor if is_torchvision_available() else without_videos(processor)
    for config, processor in _FULL.items()
}
"""The processor to make, by model type."""


def load_processor(path: str | Path) -> ProcessorMixin:
    """Load the processor of a directory, or of a model of the hub.

    Raises `ValueError` where there is a tokenizer alone: such a model cannot see.
    """
    model_type = AutoConfig.from_pretrained(path).model_type
    if model_type in PROCESSORS:
        processor = PROCESSORS[model_type].from_pretrained(path)
    else:
        processor = AutoProcessor.from_pretrained(path)
    if not isinstance(processor, ProcessorMixin):
        raise ValueError(f"{path} comes with a tokenizer alone; a model without eyes cannot play")
    return processor
