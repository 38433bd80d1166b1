"""Training on Ray: a real cluster of two nodes learns what two local processes learn, though one dies."""

import json
import signal
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed")
if find_spec("ray") is None:  # to import it would settle how clusters know their own, before `ray_token`
    pytest.skip("the extra `ray` is not installed", allow_module_level=True)

from test_processes import ALL, TEXT, begin, curve, ended, metrics, reached, run, steps
from vlm_gym.trainers import launch, ray_launch, ray_servers, train
from vlm_gym.trainers.recipe import load_recipe

from vlm_gym.rollouts.cluster import Cluster

pytestmark = pytest.mark.xdist_group("ray")
slow, long = pytest.mark.slow, pytest.mark.long

SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

HTTPServer(("", int(sys.argv[sys.argv.index("--port") + 1])), Healthy).serve_forever()
"""
"""What stands where vLLM's server would: another program with the same signs of health."""


@pytest.fixture(scope="module")
def config(talker: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "small.toml").write_text(TEXT.replace("MODEL", str(talker)))
    return folder / "small.toml"


@pytest.fixture(scope="module")
def nodes(ray_token: None) -> Iterator[Any]:
    """Two nodes of one processor each."""
    from ray.cluster_utils import Cluster as Nodes

    two = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    two.add_node(num_cpus=1)
    yield two
    two.shutdown()


def options(nodes: Any) -> tuple[str, ...]:
    return "--ray", nodes.address, "--num-processes", "2"


@slow
@long
def test_a_run_on_two_nodes_has_the_curve_of_two_local_processes(config, nodes, tmp_path):
    here = run(config, tmp_path / "here", 2)
    there = run(config, tmp_path / "there", 2, "--ray", nodes.address)
    assert steps(there) == ALL
    assert {path.name for path in there.iterdir()} == {path.name for path in here.iterdir()}
    assert json.loads((there / "run.json").read_text())["processes"] == 2
    for stage, names in {
        "cold_start": ["loss", "grad_norm"],
        "grpo": ["reward", "entropy", "num_tokens"],
    }.items():
        for name in names:
            assert curve(there, stage, name) == pytest.approx(curve(here, stage, name), rel=1e-2, abs=1e-3)


@slow
@long
def test_a_node_that_dies_ends_in_a_restart_from_the_checkpoint(config, nodes, tmp_path):
    process = begin(config, tmp_path, *options(nodes))
    reached(process, tmp_path)
    written = metrics(tmp_path)[:3]
    checkpoint = tmp_path / "cold_start/checkpoint-3"
    before = checkpoint.stat()
    (other,) = nodes.worker_nodes
    nodes.remove_node(other, allow_graceful=False)
    nodes.add_node(num_cpus=1)
    words = ended(process)
    assert process.returncode == 0, words
    assert steps(tmp_path) == ALL
    assert metrics(tmp_path)[:3] == written
    after = checkpoint.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)  # it was not made anew


@slow
@long
def test_a_run_that_is_interrupted_ends_in_one_line_and_leaves_the_cluster(config, nodes, tmp_path):
    process = begin(config, tmp_path, *options(nodes))
    reached(process, tmp_path, 1)
    process.send_signal(signal.SIGINT)
    words = ended(process)
    assert process.returncode == 130, words
    assert words.splitlines()[-1] == f"stopped; with --resume the same command goes on in {tmp_path}"
    assert "Traceback" not in words
    with Cluster(nodes.address):
        import ray

        until = time.monotonic() + 20
        while ray.available_resources().get("CPU", 0) < 2:
            assert time.monotonic() < until, "its processes are still there"
            time.sleep(0.2)


@slow
@long
def test_what_would_go_wrong_again_is_told_once_in_one_line(config, nodes, tmp_path):
    asked = "--ray", nodes.address, "--set", f"model.path={tmp_path}"
    process = begin(config, tmp_path / "run", *asked)
    words = ended(process)
    assert process.returncode == 2
    assert f"no vision-language model can be read from '{tmp_path}'" in words
    assert words.count("vlm-gym:") == 1
    assert "Traceback" not in words


def test_a_node_that_does_not_share_the_folder_says_so(config, tmp_path):
    work = ray_launch.ProcessTask(load_recipe(config), tmp_path, "", Path.cwd(), tmp_path / "unseen", {})
    with pytest.raises(
        ray_launch.ReportedError, match=rf"{tmp_path} on \S+ is not .* all nodes share: choose it with -o"
    ):
        ray_launch._work({"work": work})


@pytest.mark.parametrize(
    ("address", "error", "told"),
    [
        ("127.0.0.1:1", ConnectionError, "no Ray cluster answers at 127.0.0.1:1"),
        ("anywhere", ValueError, "it takes auto, local, or HOST:PORT"),
    ],
)
def test_a_cluster_that_is_not_there_is_told_at_once(config, tmp_path, address, error, told):
    with pytest.raises(error, match=told):
        ray_launch.train_on(address, load_recipe(config), tmp_path, 2)


def test_without_ray_the_flag_says_how_to_install_it(config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r'pip install "vlm-gym\[ray\]"'):
        ray_launch.train_on("local", load_recipe(config), tmp_path, 2)


def test_a_run_that_does_not_divide_never_meets_the_cluster(config, tmp_path):
    with pytest.raises(ValueError, match=r"grpo\.prompts_per_step=4 do not go into 8 processes"):
        ray_launch.train_on("127.0.0.1:1", load_recipe(config, ["cold_start.batch=8"]), tmp_path, 8)


def test_processes_of_ray_hear_from_accelerate_what_its_own_hear():
    told = launch.accelerate_variables(2, "fsdp2", gpus=True)
    assert told["ACCELERATE_USE_FSDP"] == "true"
    assert told["FSDP_VERSION"] == "2"
    assert "RANK" not in told
    with pytest.raises(ValueError, match="is FSDP, which takes GPUs"):
        launch.accelerate_variables(2, "fsdp2", gpus=False)


SERVED = ["grpo.trl.use_vllm=true", "grpo.trl.vllm_mode=server"]


@pytest.mark.parametrize(
    ("changes", "gpus"),
    [
        ([], 0),
        (SERVED[:1], 0),
        (SERVED, 1),
        ([*SERVED, "grpo.trl.vllm_tensor_parallel_size=4"], 4),
        ([*SERVED, "grpo.trl.vllm_server_host=there"], 0),
    ],
)
def test_a_server_is_started_where_a_recipe_wants_one_and_names_none(config, changes, gpus):
    assert ray_servers.wanted(load_recipe(config, changes)) == gpus


def test_where_the_server_is_may_change_between_the_commands_of_a_run(config):
    plain = [
        load_recipe(config, [*SERVED, f"grpo.trl.vllm_server_port={port}"]).resolved() for port in (1, 2)
    ]
    assert train._kept(plain[0]) == train._kept(plain[1])
    assert train._kept(plain[0]) != train._kept(load_recipe(config).resolved())


@slow
def test_a_cluster_that_is_too_small_says_what_it_has(config, nodes, tmp_path):
    with pytest.raises(
        ValueError, match=r"--num-processes 4 .* cluster of 2 CPUs and 0 GPUs: it takes 4 CPUs"
    ):
        ray_launch.train_on(nodes.address, load_recipe(config), tmp_path, 4)


@slow
@long
def test_a_server_has_its_place_as_long_as_it_is_needed(nodes, tmp_path):
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    nodes.add_node(num_cpus=1, num_gpus=1)
    with Cluster(nodes.address) as cluster:
        import ray

        assert cluster.gpus == 1
        with ray_servers.placed([sys.executable, str(script)], 1) as address:
            assert urlopen(f"{address}/health").status == 200
            assert ray.available_resources().get("GPU", 0) == 0
        with pytest.raises(URLError):
            urlopen(f"{address}/health")
        with (
            pytest.raises(RuntimeError, match="ended with status 3"),
            ray_servers.placed([sys.executable, "-c", "raise SystemExit(3)"], 1),
        ):
            pass
    (*_, third) = nodes.worker_nodes
    nodes.remove_node(third)
