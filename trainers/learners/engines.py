"""Sampling by vLLM during training, with the current weights and without stale caches.

TRL sends weights to vLLM after each update and empties its cache of prompts. vLLM also keeps what the vision
tower made of each picture; a tower that learns makes that stale, and TRL 1.16 leaves it there
(huggingface/trl#7198). On the CPU, where vLLM packs its weights, TRL's way of sending them fails, too.
In the same process TRL gives vLLM all tokens that stand for a picture, where vLLM 0.32 takes one placeholder
and puts these there: they would be there twice, and replies be to another prompt.
"""

import json
import shlex
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from transformers import ProcessorMixin
from trl import GRPOConfig
from trl.import_utils import is_vllm_available
from trl.scripts.vllm_serve import ScriptArguments, build_command

from vlm_gym.rollouts.policy import Request

from ..models.engine import unexpanded

SERVER_KEYS = ("vllm_server_base_url", "vllm_server_host", "vllm_server_port", "vllm_group_port")
"""TRL's names of where such a server is."""
NEEDED = (
    "/v1/chat/completions/render",
    "/inference/v1/generate",
    "/init_weight_transfer_engine",
    "/update_weights",
    "/reset_prefix_cache",
    "/reset_encoder_cache",
)
"""What a server is asked for in training: replies to pictures, new weights, and to forget what was before."""
_PATIENCE = 5.0
"""Seconds in which a healthy server responds."""
_SLOW = 60.0
"""Seconds in which a server reports its configuration."""


def keep_fresh(generation: Any) -> None:
    """Make TRL's `VLLMGeneration` forget what pictures looked like, whenever it gets other weights."""
    send: Callable[[], None] = generation.sync_weights
    if generation.mode == "colocate" and generation.accelerator.device.type == "cpu":
        send = _reloader(generation)

    def sync_weights() -> None:
        send()
        if generation.mode == "colocate":
            generation.llm.llm_engine.reset_encoder_cache()
        elif generation.accelerator.is_main_process:
            client = generation.vllm_client
            client.session.post(f"{client.base_url}/reset_encoder_cache").raise_for_status()

    generation.sync_weights = sync_weights


def vllm_tokens(processor: ProcessorMixin, request: Request) -> list[int]:
    """Return the tokens for vLLM in the same process, as ``vllm:`` asks: one placeholder a picture.

    What families put around visual tokens differs, so these are made of the messages, not of the long prompt.
    """
    return unexpanded(processor, request.messages())


def _reloader(generation: Any) -> Callable[[], None]:
    """Load weights as if from a checkpoint, which packs them anew, but for an output head tied to the words.

    It has no weights of its own, so that nothing is loaded and the pack of the weights before is kept.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    def reload() -> None:
        weights = [(name, each.detach()) for name, each in generation._iter_named_params()]
        generation.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(weights)})
        model = generation.llm.llm_engine.model_executor.driver_worker.model_runner.model
        for part in model.modules():
            if isinstance(part, ParallelLMHead):
                part.quant_method.process_weights_after_loading(part)
        generation.llm.reset_prefix_cache()

    return reload


def check_server(args: GRPOConfig) -> None:
    """Check that the vLLM server is up and has the endpoints that we and TRL need.

    Raises `ValueError` that says how to start it.
    """
    if not args.use_vllm or args.vllm_mode != "server":
        return
    address = args.vllm_server_base_url or f"http://{args.vllm_server_host}:{args.vllm_server_port}"
    advice = f"start one by {_command(urlsplit(address).port or 80)}, or set grpo.trl.vllm_mode=colocate"
    try:
        urlopen(f"{address}/health", timeout=_PATIENCE).close()
        lacking = [path for path in NEEDED if not _serves(address + path)]
        if not lacking:
            with urlopen(f"{address}/server_info?config_format=json", timeout=_SLOW) as response:
                transfer = json.load(response)["vllm_config"]["weight_transfer_config"]
            lacking = [] if transfer else ["weight-transfer engine"]
    except (OSError, ValueError, HTTPException) as error:
        raise ValueError(f"no vLLM server answers at {address}; {advice}") from error
    if lacking:
        raise ValueError(f"the vLLM server at {address} has no {', '.join(lacking)}; {advice}")


def _serves(url: str) -> bool:
    """Return whether a path is served. A GET has no effect on it: a path for POST refuses a GET."""
    try:
        urlopen(url, timeout=_PATIENCE).close()
    except HTTPError as error:
        return error.code != HTTPStatus.NOT_FOUND
    return True


def _command(port: int) -> str:
    """Write the command of a server that TRL can send weights and pictures to, as TRL itself starts one."""
    newest = [] if is_vllm_available() else ["--enable-scale-out"]  # TRL asks the vLLM that is installed
    command = build_command(ScriptArguments("MODEL", port=port), newest)
    return f"VLLM_SERVER_DEV_MODE=1 vllm {shlex.join(command[command.index('serve') :])}"
