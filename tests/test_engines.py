"""Where vLLM cannot be had, that is told at once and in one line; `test_vllm.py` runs it for real."""

import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")

from endpoints import Paths
from talking import TASKS, asked, grouped, write
from trl import GRPOConfig
from vlm_gym.trainers.learners.engines import check_server
from vlm_gym.trainers.models.engine import vllm_prompt
from vlm_gym.trainers.models.tiny import build_model
from vlm_gym.trainers.models.tiny_families import TINY_PARTS
from vlm_gym.trainers.models.transformers_policy import encode_requests

from vlm_gym.rollouts.policy import PastTurn, make


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_its_policy_names_the_extra(tmp_path: Path) -> None:
    build_model(tmp_path, [("2048", "0")])
    with pytest.raises(ValueError, match=r"needs vllm, an extra: pip install \"vlm-gym\[vllm\]\"") as caught:
        make(f"vllm:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_a_server_that_is_down_is_noticed_before_training(tmp_path: Path) -> None:
    asked = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False, "vllm_server_port": 9}
    down = GRPOConfig(**asked, use_vllm=True, vllm_mode="server")
    with pytest.raises(ValueError, match=r"no vLLM server answers at \S+:9; start one by") as caught:
        check_server(down)
    assert "\n" not in str(caught.value)
    check_server(GRPOConfig(**asked, use_vllm=True, vllm_mode="colocate"))


SCALE_OUT = {"/v1/chat/completions/render", "/inference/v1/generate"}
DEVELOPMENT = {
    "/init_weight_transfer_engine",
    "/update_weights",
    "/reset_prefix_cache",
    "/reset_encoder_cache",
}


@pytest.mark.parametrize(
    ("paths", "engine", "lacking"),
    [
        (SCALE_OUT | DEVELOPMENT, {"backend": "nccl"}, None),
        (DEVELOPMENT, {"backend": "nccl"}, "/v1/chat/completions/render, /inference/v1/generate"),
        (SCALE_OUT, {"backend": "nccl"}, "/init_weight_transfer_engine, .*, /reset_encoder_cache"),
        (SCALE_OUT | DEVELOPMENT, None, "weight-transfer engine"),
    ],
)
def test_a_server_that_lacks_what_training_asks_of_it_is_noticed_before(
    paths: set[str], engine: Any, lacking: str | None, tmp_path: Path
) -> None:
    info = {"vllm_config": {"weight_transfer_config": engine}}
    there = Paths({"/health": None, "/server_info": info}, paths)
    args = GRPOConfig(
        output_dir=str(tmp_path),
        use_cpu=True,
        bf16=False,
        use_vllm=True,
        vllm_mode="server",
        vllm_server_base_url=there.url,
    )
    if lacking is None:
        check_server(args)
    else:
        with pytest.raises(ValueError, match=f"{there.url} has no {lacking}; start one by") as caught:
            check_server(args)
        words = shlex.split(str(caught.value))
        assert words[words.index("--port") + 1] == str(there.server.server_port)
        assert words[words.index("--weight-transfer-config") + 1] == '{"backend": "nccl"}'
        assert any(word.startswith("--enable-scale-out") for word in words)
    assert not there.posts  # it is asked, and told to do nothing
    there.server.shutdown()
    there.server.server_close()


class Deaf:
    """Stands where TRL has vLLM in the same process: it keeps what it is asked, and says nothing."""

    mode = "colocate"

    def __init__(self) -> None:
        self.asked: list[tuple[list[int], list[Any]]] = []

    def generate(self, prompts: list[list[int]], images: list[list[Any]], **_: Any) -> tuple[Any, ...]:
        self.asked = list(zip(prompts, images, strict=True))
        nothing: list[list[int]] = [[] for _ in prompts]
        return prompts, nothing, nothing, None


@pytest.mark.parametrize("family", TINY_PARTS)
def test_vllm_is_asked_in_training_as_it_is_asked_in_evaluation(family: str, tmp_path: Path) -> None:
    build_model(tmp_path, [(task.game, task.reasoning) for task in TASKS], width=64, depth=1, family=family)
    made, deaf = grouped(tmp_path, tmp_path / "run"), Deaf()
    made.use_vllm, made.vllm_generation, made._last_loaded_step = True, deaf, 0
    past = (PastTurn(asked(TASKS[0], 9).state, "<answer>up</answer>", "nothing moved"),)
    requests = [*(asked(task) for task in TASKS), asked(TASKS[0])._replace(past=past), asked(TASKS[0])]
    write(made, requests)
    for request, (ids, pictures) in zip(requests, deaf.asked, strict=True):
        wanted = vllm_prompt(made.processing_class, request)
        assert ids == wanted["prompt_token_ids"]
        assert pictures == wanted["multi_modal_data"]["image"]
        assert len(ids) < encode_requests(made.processing_class, [request])["input_ids"].shape[1]
