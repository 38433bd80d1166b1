"""The server: ``python -m vlm_gym.adapters.openenv.server --game 2048``, on this machine alone by default."""

import argparse
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.types import ConcurrencyConfig

from vlm_gym.adapters.network import Refused
from vlm_gym.adapters.openenv.environment import GameEnvironment
from vlm_gym.adapters.openenv.models import GameObservation, GameState, ReplyAction
from vlm_gym.adapters.play import begin

ENVIRONMENT = "vlm_gym_env"
"""The environment in the paths of the task API: ``/vlm_gym_env/tasks``."""
SESSIONS = 64
"""Sessions at a time. One session more is answered as busy."""
_IDLE = 3600.0
"""Seconds after which the place of a session without requests is free again."""
_GRACE = 3
"""Seconds that open connections have after the server was asked to end."""


def application(row: Mapping[str, Any] | None = None, sessions: int = SESSIONS) -> FastAPI:
    """Make the ASGI application. `row` holds what rows from clients do not name, such as the game.

    With ``ENABLE_WEB_INTERFACE=true`` in the process environment, people can play at ``/web``. Raises
    `ValueError` for a row of a game or level that there is not.
    """
    if row and "game" in row:
        begin(row)
    made: FastAPI = create_app(
        partial(GameEnvironment, row),
        ReplyAction,
        GameObservation,
        env_name=ENVIRONMENT,
        concurrency_config=ConcurrencyConfig(max_concurrent_envs=sessions, session_timeout=_IDLE),
        state_cls=GameState,
    )
    made.add_exception_handler(Refused, _refuse)
    return made


def serve(arguments: Sequence[str] | None = None) -> None:
    """Run the server until it is interrupted. Command lines are read from `sys.argv` by default."""
    parser = argparse.ArgumentParser(
        prog="python -m vlm_gym.adapters.openenv.server",
        description="Serve the games as an environment of OpenEnv.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 opens it to others"
    )
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--game", default="2048", help="the game of rows that name none")
    parser.add_argument("--perception", default="0", help="level or knobs of rows that name none")
    parser.add_argument("--reasoning", default="2", help="level or knobs of rows that name none")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="sessions at a time")
    parser.add_argument("--web", action="store_true", help="people can play at /web")
    asked = parser.parse_args(arguments)
    if not 0 <= asked.port <= 65535:
        parser.error(f"argument --port: {asked.port} is no port; it takes 0 to 65535, and 0 is any free one")
    if asked.sessions < 1:
        parser.error(f"argument --sessions: {asked.sessions} is too few; it takes 1 or more")
    row = {"game": asked.game, "perception": asked.perception, "reasoning": asked.reasoning}
    if asked.web:
        os.environ["ENABLE_WEB_INTERFACE"] = "true"
    try:
        served = application(row, asked.sessions)
    except ValueError as error:
        parser.error(" ".join(str(error).split()))
    # Without a limit, one open web page would keep the server from ending.
    uvicorn.run(served, host=asked.host, port=asked.port, access_log=False, timeout_graceful_shutdown=_GRACE)


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=422)


if __name__ == "__main__":
    serve()
