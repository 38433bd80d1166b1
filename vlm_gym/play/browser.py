"""Play in a browser, as on a server without a display: one local page for one session, served by uvicorn."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import typer
import uvicorn

from vlm_gym.play.app import Page
from vlm_gym.play.controller import Controller
from vlm_gym.play.session import Session

_CLOSING = 5
"""Seconds that the pages have, at most, to receive the end of the game."""


def play_in_browser(session: Session, host: str, port: int) -> None:
    """Serve the page until Ctrl-C, and print its address. Port 0 takes any free one.

    Games of real time pause while no page is open. At the end, replies in progress are sent first. Raises
    `RuntimeError` of one line if the port is taken or the host is not one of this machine, and the `OSError`
    of a recording that cannot be written.
    """
    page = Page(Controller(session))
    with _listen(host, port) as listener:
        typer.echo(_invitation(host, listener.getsockname()[1], page.token))
        asyncio.run(_serve(page, listener))


async def _serve(page: Page, listener: socket.socket) -> None:
    """Serve and play until the task is cancelled, as `asyncio.run` does at Ctrl-C."""
    # What goes wrong is raised by `play`, so the server logs nothing.
    config = uvicorn.Config(
        page,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_CLOSING,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        await page.play()
    finally:
        page.close()
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """A server that leaves signals to the command, which counts each Ctrl-C: uvicorn would raise it twice."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle no signal."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    """Open the port. Raises `RuntimeError` of one line."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise RuntimeError(
            f"no page can be served at {host}, port {port} ({error.strerror or error}); "
            "--port takes another one, 0 any that is free"
        ) from error


def _invitation(host: str, port: int, token: str) -> str:
    """Write how to reach the page."""
    if host in ("127.0.0.1", "localhost"):
        further = f"From another machine, first: ssh -L {port}:{host}:{port} {socket.gethostname()}"
    else:
        further = "Whoever has this address can play, and nothing on the way is encrypted."
    name = socket.gethostname() if host == "0.0.0.0" else host
    return f"Open http://{name}:{port}/{token}/ in a browser; Ctrl-C here ends the game.\n{further}"
