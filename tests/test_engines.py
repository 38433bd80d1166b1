"""Where vLLM cannot be had, that is told at once and in one line; `test_vllm.py` runs it for real."""

from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

from trl import GRPOConfig
from vlm_gym.trainers.models.tiny import build
from vlm_gym.trainers.stages.engines import folded, reachable

from vlm_gym.rollouts.policy import make


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_its_policy_names_the_extra(tmp_path: Path) -> None:
    build(tmp_path, [("2048", "0")])
    with pytest.raises(ValueError, match=r"needs vllm, an extra: pip install \"vlm-gym\[vllm\]\"") as caught:
        make(f"vllm:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_a_server_that_is_down_is_noticed_before_training(tmp_path: Path) -> None:
    asked = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False, "vllm_server_port": 9}
    down = GRPOConfig(**asked, use_vllm=True, vllm_mode="server")
    with pytest.raises(ValueError, match=r"no vLLM server answers at \S+:9; start one by") as caught:
        reachable(down)
    assert "\n" not in str(caught.value)
    reachable(GRPOConfig(**asked, use_vllm=True, vllm_mode="colocate"))


def test_the_visual_tokens_of_each_picture_become_one_placeholder() -> None:
    assert folded([1, 9, 9, 9, 2, 2, 9, 9, 3], mark=9) == [1, 9, 2, 2, 9, 3]
