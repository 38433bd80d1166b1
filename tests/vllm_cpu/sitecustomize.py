"""Lets a CUDA build of torchvision be imported beside a torch for the CPU, as `make test-vllm` needs it.

The package index has no other build, vLLM's Qwen models ask for the package, and its import fails since two
operators of its compiled half are not there. Nobody calls them: here they get names, just before that import.
Python runs this file at its start where the folder is in PYTHONPATH, so that servers have it, too.
"""

import sys
from importlib.abc import MetaPathFinder


class _Before(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for name in ("nms", "qnms"):
                library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            torch.library._torchvision_for_the_cpu = library  # kept: the names go with it


sys.meta_path.insert(0, _Before())
