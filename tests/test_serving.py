"""What cannot be served is told in one line, before anything is started; `test_vllm.py` serves for real."""

import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="the extra `train` is not installed")

from vlm_gym.trainers.models.tiny import build_model
from vlm_gym.trainers.models.vllm_server import address, flags, serve_model

without = pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")


def serve(*words: str) -> str:
    """Run `vlm-gym serve`, which is to fail, and give what it says."""
    command = [sys.executable, "-m", "vlm_gym.cli", "serve", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    return done.stderr.strip()


@pytest.mark.parametrize("words", ["runs/model", "openai:name", "hf:"])
def test_what_is_no_model_of_transformers_is_refused(words: str) -> None:
    assert serve(words).startswith(f"vlm-gym: {words} cannot be served; write hf:PATH")


@without
def test_without_vllm_the_extra_is_named_and_what_does_without() -> None:
    said = serve("hf:some/model")
    assert 'pip install "vlm-gym[vllm]"' in said
    assert said.endswith("without a server: vlm-gym eval --policy hf:some/model")
    assert "\n" not in said


def test_settings_become_the_flags_of_vllm() -> None:
    settings = {"max_model_len": 2048, "enforce_eager": True, "enable_prefix_caching": False}
    assert flags(settings) == ["--max-model-len", "2048", "--enforce-eager", "--no-enable-prefix-caching"]
    assert flags({"limit_mm_per_prompt": {"image": 3}}) == ["--limit-mm-per-prompt", '{"image": 3}']


def test_a_server_for_all_machines_is_found_from_this_one() -> None:
    assert address("0.0.0.0", 8000) == "http://localhost:8000"
    assert address("10.0.0.7", 8000) == "http://10.0.0.7:8000"


def test_a_port_that_is_taken_is_refused_since_another_would_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {"host": "127.0.0.1", "port": taken.getsockname()[1]}
        with (
            pytest.raises(ValueError, match=r"127.0.0.1:\d+ cannot be had: .*; choose another --port"),
            serve_model(str(tmp_path), settings),
        ):
            pass


def free() -> dict[str, object]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return {"host": "127.0.0.1", "port": server.getsockname()[1]}


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="no vision-language model can be loaded"),
        serve_model(str(tmp_path), free()),
    ):
        pass


@without
def test_a_server_that_ends_before_it_answers_is_an_error_and_not_waited_for(tmp_path: Path) -> None:
    build_model(tmp_path, [("2048", "0")])
    with (
        pytest.raises(RuntimeError, match="ended with status 1 before it answered"),
        serve_model(str(tmp_path), free()),
    ):
        pass
