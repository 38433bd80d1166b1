"""The same work on a Ray cluster: a real one of two nodes, of which one is killed in the middle."""

import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from vlm_gym.episode import Episode
from vlm_gym.recordings.record import read, to_line
from vlm_gym.rollouts.cluster import Cluster
from vlm_gym.rollouts.policy import Baseline, make, reply_to_all
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.worker_process import Lost

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason='needs Ray: pip install "vlm-gym[ray]"')
pytestmark = pytest.mark.xdist_group("ray")
BIN = Path(sys.executable).parent
EPISODES = [Episode(game, "0", "1", "train", index) for index in range(30) for game in ("2048", "swap")]


class Two:
    """A cluster of two nodes of one processor each, on this machine."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self.head = start_node("--head", "--port", str(port), "--include-dashboard", "false")
        self.other = start_node("--address", self.address)


def start_node(*arguments):
    common = "--block", "--num-cpus", "1", "--object-store-memory", "100000000", "--disable-usage-stats"
    command = [BIN / "ray", "start", *common, *arguments]
    node = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert any("Ray runtime started" in line for line in node.stdout)
    return node


def kill(node):
    """End a node and all its processes, as a cut cable would."""
    if node.poll() is not None:
        return
    os.killpg(node.pid, signal.SIGKILL)
    node.wait()


@pytest.fixture(scope="module")
def two(ray_token):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where nodes find the functions below
        cluster = Two()
        yield cluster
        kill(cluster.other)
        kill(cluster.head)


def node(number):
    import ray

    time.sleep(0.5)
    return ray.get_runtime_context().get_node_id()


def die_on(victim, number):
    if number == victim:
        os._exit(1)
    return 6 / number


@needs_ray
@pytest.mark.slow
def test_a_cluster_gives_back_errors_and_gives_up_what_ends_its_processes(two):
    with Cluster(two.address) as cluster:
        with pytest.raises(ZeroDivisionError, match="return 6 / number"):
            list(cluster.map(partial(die_on, 5), [1, 0]))
        results = cluster.map(partial(die_on, 5), range(1, 9))
        assert [next(results) for _ in range(4)] == [6, 3, 2, 1.5]
        with pytest.raises(Lost, match="3 processes ended over the same task, 5"):
            next(results)
        with pytest.raises(ValueError, match="make it policy actors"):
            list(cluster.map(die_on, [1], answer=partial(reply_to_all, Baseline("legal"))))


@needs_ray
@pytest.mark.slow
@pytest.mark.long
def test_a_node_that_is_killed_in_the_middle_changes_nothing(two):
    here = [to_line(turn) for turn in rollout(EPISODES, Baseline("middling"))]
    with Cluster(two.address) as cluster:
        assert len(set(cluster.map(node, range(8)))) == 2
        assert [to_line(turn) for turn in rollout(EPISODES, Baseline("middling"), workers=cluster)] == here
        actors = cluster.policy(partial(make, "middling"), 2)
        turns = rollout(EPISODES, actors, workers=cluster, parallel_episodes=8)
        there = [to_line(next(turns)) for _ in range(len(here) // 5)]
        kill(two.other)
        assert there + [to_line(turn) for turn in turns] == here


@needs_ray
@pytest.mark.slow
def test_the_command_plays_on_a_cluster_of_its_own_and_goes_on_without_one(tmp_path):
    out = tmp_path / "turns.jsonl"
    command = [BIN / "vlm-gym", "rollout", "--games", "2048", "--policy", "middling", "-r", "1", "-o", out]
    on_ray = ["--episodes", "6", "--ray", "local", "--policy-actors", "1"]
    subprocess.run([*command, *on_ray], check=True, timeout=80)
    assert len({turn.episode for turn in read(out)}) == 6
    subprocess.run([*command, "--episodes", "12"], check=True, timeout=60)
    episodes = [Episode("2048", "0", "1", "train", index) for index in range(12)]
    assert list(read(out)) == list(rollout(episodes, Baseline("middling")))


def test_without_ray_the_flag_says_how_to_install_it(tmp_path):
    (tmp_path / "ray.py").write_text("raise ImportError('hidden, as if it were not there')")
    done = subprocess.run(
        [BIN / "vlm-gym", "rollout", "--games", "2048", "--ray", "local", "-o", tmp_path / "turns.jsonl"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert 'pip install "vlm-gym[ray]"' in done.stderr


@needs_ray
@pytest.mark.parametrize(
    ("address", "error", "told"),
    [
        ("anywhere", ValueError, "it takes auto, local, or HOST:PORT"),
        ("127.0.0.1:1", ConnectionError, "no Ray cluster answers at 127.0.0.1:1"),
    ],
)
def test_a_cluster_that_is_not_there_is_told_at_once(address, error, told):
    with pytest.raises(error, match=told):
        Cluster(address)
