"""The command `vlm-gym` in processes that cut a model up by FSDP2 without a GPU, which accelerate does not.

    accelerate launch --config_file configs/accelerate/ddp.yaml --num_processes 2 tests/fsdp_on_cpus.py ...

torch can. accelerate looks for it on GPUs alone, so that it is told here that these were some.
"""

import os
from typing import Any

from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from vlm_gym.trainers import launch

from vlm_gym.cli import main

_begin = AcceleratorState.__init__


def _begin_cut(self: Any, *args: Any, **options: Any) -> None:
    if PartialState().distributed_type == DistributedType.MULTI_CPU:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    _begin(self, *args, **options)


def cut_on_cpus() -> None:
    """Set this process up to cut models by FSDP2."""
    AcceleratorState.__init__ = _begin_cut
    os.environ.update(launch.accelerate_variables(int(os.environ["WORLD_SIZE"]), "fsdp2", gpus=True))
    os.environ.pop("ACCELERATE_USE_CPU", None)


if __name__ == "__main__":
    cut_on_cpus()
    main()
