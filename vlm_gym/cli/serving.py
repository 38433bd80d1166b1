"""The command that puts a model behind a server."""

import shlex
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from vlm_gym.cli.options import parse_options
from vlm_gym.cli.training import load_trainer


def serve(
    model: Annotated[
        str,
        typer.Argument(metavar="hf:PATH", help="A directory, or a model of the hub.", show_default=False),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 admits other machines.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the server.", min=1, max=65535)] = 8000,
    history: Annotated[
        int,
        typer.Option(
            help="Largest number of past turns in a request; games that need memory show 16.",
            min=0,
        ),
    ] = 0,
    engine: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="vLLM's options by its names: max_model_len=8192."),
    ] = None,
) -> None:
    """Serve a model by vLLM with the settings that the games need. Print the `eval` command for it.

    Ctrl-C ends the server.

    vlm-gym serve hf:Qwen/Qwen3-VL-2B-Instruct --engine gpu_memory_utilization=0.8
    """
    provider, _, path = model.partition(":")
    if provider != "hf" or not path:
        raise ValueError(f"{model} cannot be served; write hf:PATH, with a directory or a model of the hub")
    if find_spec("vllm") is None:
        raise ValueError(
            f'to serve {path} needs vllm, an extra: pip install "vlm-gym[vllm]"; without a server: '
            f"vlm-gym eval --policy {model}"
        )
    server = load_trainer("models.vllm_server")
    from vlm_gym.storage import from_home

    path = from_home(path)
    server.runnable(path)
    settings = {
        "limit_mm_per_prompt": {"image": history + 1, "video": 0},
        "disable_uvicorn_access_log": True,
        "served_model_name": path,
        "host": host,
        "port": port,
        **parse_options(engine or [], "--engine", "max_model_len=8192"),
    }
    for number in (signal.SIGTERM, signal.SIGHUP):  # the server ends with this command in every case
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        with server.serve_model(path, settings) as process:
            address = server.address(settings["host"], settings["port"])
            line = ["vlm-gym", "eval", "--policy", f"openai:{settings['served_model_name']}"]
            line += ["--base-url", f"{address}/v1", "--suite", "core", "-o", f"runs/{Path(path).name}"]
            line += ["--history", str(history)] if history else []
            typer.echo(shlex.join(line))
            status = process.wait()
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise RuntimeError(f"vLLM ended with status {status}; its own words are above")
