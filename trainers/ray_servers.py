"""vLLM's server for GRPO on a Ray cluster: a placement group of its own, an actor in it, and its child.

For recipes with ``grpo.trl`` of ``use_vllm = true`` and ``vllm_mode = "server"`` that name no server.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib import import_module
from socket import create_server
from typing import Any

from vlm_gym.rollouts.cluster import Cluster

from .learners.engines import SERVER_KEYS
from .models.vllm_server import run_server
from .recipe import Recipe


def wanted(recipe: Recipe) -> int:
    """Return the number of GPUs of the server that a recipe needs started; 0 without one."""
    trl = recipe.grpo.trl if recipe.grpo else {}
    if (
        not trl.get("use_vllm")
        or trl.get("vllm_mode") != "server"
        or any(name in trl for name in SERVER_KEYS)
    ):
        return 0
    return int(trl.get("vllm_tensor_parallel_size", 1))


def check_cluster(cluster: Cluster, recipe: Recipe, processes: int) -> None:
    """Check that the cluster is large enough, busy or not. Raises `ValueError` with what it has."""
    server = wanted(recipe)
    resource, available = ("GPUs", cluster.gpus) if cluster.gpus or server else ("CPUs", cluster.size)
    if available < processes + server:
        takes = f"a process takes one, and vLLM's server {server}" if server else "a process takes one"
        raise ValueError(
            f"--num-processes {processes} is not possible on a cluster of {cluster.size} CPUs and "
            f"{cluster.gpus} GPUs: it takes {processes + server} {resource}; {takes}"
        )


@contextmanager
def serve_recipe(recipe: Recipe) -> Iterator[Recipe]:
    """Start the server that a recipe needs, and yield the recipe with its address. It ends with the block."""
    gpus = wanted(recipe)
    if not gpus:
        yield recipe
        return
    if recipe.model.path == "tiny":
        raise ValueError("no server can be started for a model that is not there yet; set model.path")
    assert recipe.grpo is not None
    trl = recipe.grpo.trl
    command = [sys.executable, "-m", "trl.cli.main", "vllm-serve", "--model", recipe.model.location]
    command += ["--tensor_parallel_size", str(gpus)]
    if "vllm_max_model_length" in trl:
        command += ["--max_model_len", str(trl["vllm_max_model_length"])]
    with placed(command, gpus) as address:
        yield replace(recipe, grpo=replace(recipe.grpo, trl={**trl, "vllm_server_base_url": address}))


@contextmanager
def placed(command: Sequence[str], gpus: int) -> Iterator[str]:
    """Run a server with this number of GPUs, and yield its address once it is healthy.

    The command gets ``--port PORT`` besides. Raises `RuntimeError` if it ends before it answers.
    """
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    ray: Any = import_module("ray")
    group = placement_group([{"CPU": 1, "GPU": gpus}])
    try:
        actor = ray.remote(num_cpus=1, num_gpus=gpus)(_Server)
        server = actor.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group)).remote()
        try:
            yield ray.get(server.start.remote(list(command)))
        finally:
            ray.get(server.stop.remote())
    finally:
        remove_placement_group(group)


class _Server:
    """The actor beside the server: starts it, waits until it answers, ends it."""

    def __init__(self) -> None:
        self._held = ExitStack()

    def start(self, command: list[str]) -> str:
        with create_server(("", 0)) as free:
            port = free.getsockname()[1]
        address = f"http://{import_module('ray').util.get_node_ip_address()}:{port}"
        self._held.enter_context(run_server([*command, "--port", str(port)], address))
        return address

    def stop(self) -> None:
        self._held.close()
