"""Sampling by vLLM during training, with the current weights and without stale caches.

TRL sends weights to vLLM after each update and empties its cache of prompts. vLLM also caches the vision
tower's encoding of each picture. It is stale once the tower has learned, and TRL 1.16 does not empty this
cache (huggingface/trl#7198). On the CPU vLLM packs its weights, and TRL cannot send new ones.
In the same process TRL gives vLLM all tokens of a picture, where vLLM 0.32 takes one placeholder and inserts
these tokens: they would be in the prompt twice, and replies would answer another prompt.
"""

import json
import shlex
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from torch import Tensor
from transformers import ProcessorMixin
from trl import GRPOConfig
from trl.import_utils import is_vllm_available
from trl.scripts.vllm_serve import ScriptArguments, build_command

from vlm_gym.rollouts.policy import Request

from ..models.engine import unexpanded

if TYPE_CHECKING:
    from trl.generation.vllm_generation import VLLMGeneration

SERVER_KEYS = ("vllm_server_base_url", "vllm_server_host", "vllm_server_port", "vllm_group_port")
"""TRL's options that name the server."""
NEEDED = (
    "/v1/chat/completions/render",
    "/inference/v1/generate",
    "/init_weight_transfer_engine",
    "/update_weights",
    "/reset_prefix_cache",
    "/reset_encoder_cache",
)
"""The paths that training asks a server for: replies to pictures, new weights, and emptied caches."""
_PATIENCE = 5.0
"""Seconds in which a healthy server responds."""
_SLOW = 60.0
"""Seconds in which a server reports its configuration."""


def keep_fresh(generation: "VLLMGeneration") -> None:
    """Empty the cache of encoded pictures in TRL's `VLLMGeneration`, whenever it gets other weights."""
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

    generation.sync_weights = sync_weights  # type: ignore[method-assign]


def vllm_tokens(processor: ProcessorMixin, request: Request) -> list[int]:
    """Return the tokens for vLLM in the same process, as ``vllm:`` asks: one placeholder a picture.

    What families put around visual tokens differs, so these are made of the messages, not of the long prompt.
    """
    return unexpanded(processor, request.messages())


def _reloader(generation: "VLLMGeneration") -> Callable[[], None]:
    """Return a function that loads weights as if from a checkpoint, so that vLLM packs them anew.

    An output head that is tied to the embeddings has no weights of its own: nothing is loaded for it, and
    vLLM would keep the pack of the earlier weights. So it is packed again here.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    def reload() -> None:
        weights = list[tuple[str, Tensor]]()
        for name, parameter in generation._iter_named_params():
            weights.append((name, parameter.detach()))
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
