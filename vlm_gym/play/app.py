"""The page of one session as an ASGI application: four small files, a stream of views, and actions.

It needs no framework and no library beside the base install; `browser` serves it. All runs in one event loop,
so actions of several pages follow one another, and a turn that has begun is played and recorded whole.
"""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.resources import files
from time import monotonic
from typing import Any

from vlm_gym import strict
from vlm_gym.play.controller import Controller
from vlm_gym.play.page import page_view, read_action

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_FILES = {"": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
"""The files of a page with their types, by their path below the token."""
_LARGEST_BODY = 1 << 16
"""Bytes of a request's body."""
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_NOTHING = "There is nothing here; open the address that vlm-gym printed."


class Page:
    """The application. Several pages can be open; they show the same game, and each of them can play."""

    def __init__(self, controller: Controller) -> None:
        self.token = secrets.token_urlsafe(16)
        """The first part of every path, without which there is nothing."""
        self._controller = controller
        self._news: set[asyncio.Event] = set()
        """What each open page waits for: another view, or the end."""
        self._closed = False
        self._failure: Exception | None = None
        self._view = json.dumps(page_view(controller))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, by the protocol of ASGI. Raises `ValueError` for what is not HTTP."""
        if scope["type"] != "http":
            raise ValueError(f"this page answers http, not {scope['type']}")
        try:
            await self._answer(scope, receive, send)
        except Exception as error:  # such as a full disk: `play` raises it
            self._failure = error

    async def play(self) -> None:
        """Play what happens by itself, until the task is cancelled. Raises what went wrong in a request.

        No time passes while no page is open.
        """
        while self._failure is None:
            await asyncio.sleep(0.02 if self._controller.session.game.tick else 0.1)
            if not self._news:
                self._controller.pause(monotonic())
            elif self._controller.pass_time(monotonic()):
                self._show()
        raise self._failure

    def close(self) -> None:
        """Play no further action, and tell all pages that the game has ended."""
        self._closed = True
        self._wake()

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        token, _, name = scope["path"].removeprefix("/").partition("/")
        asked = scope["method"], name
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            await _reply(send, 404, _NOTHING)
        elif asked == ("POST", "do"):
            await self._act(receive, send)
        elif asked == ("GET", "events"):
            await self._send_views(receive, send)
        elif asked[0] == "GET" and name in _FILES:
            body = (files("vlm_gym.play") / (name or "page.html")).read_bytes()
            await _start(send, 200, _FILES[name])
            await _send_part(send, body, last=True)
        else:
            await _reply(send, 404, _NOTHING)

    async def _act(self, receive: Receive, send: Send) -> None:
        """Do what a person did at a page, and reply."""
        body = await _body(receive)
        if len(body) > _LARGEST_BODY:
            await _reply(send, 413, f"An action has at most {_LARGEST_BODY} bytes.")
            return
        try:
            act = read_action(self._controller, strict.parse(body))
        except ValueError as error:
            await _reply(send, 400, strict.brief(error))
            return
        if not self._closed:
            act()
            self._show()
        await _reply(send, 204)

    async def _send_views(self, receive: Receive, send: Send) -> None:
        """Send views as server-sent events, until the page or the game is closed."""
        news = asyncio.Event()
        left = asyncio.create_task(_left(receive))
        left.add_done_callback(lambda _: news.set())
        self._news.add(news)
        try:
            await _start(send, 200, "text/event-stream")
            while not (self._closed or left.done()):
                news.clear()
                await _send_part(send, f"data: {self._view}\n\n".encode())
                await news.wait()
            await _send_part(send, b"event: end\ndata:\n\n", last=True)
        finally:
            self._news.remove(news)
            left.cancel()

    def _show(self) -> None:
        """Make a new view, and send it to all pages."""
        self._view = json.dumps(page_view(self._controller))
        self._wake()

    def _wake(self) -> None:
        for news in self._news:
            news.set()


async def _body(receive: Receive) -> bytes:
    """Read the body of a request; what is beyond the largest one is read, and not kept."""
    body = b""
    more = True
    while more:
        message = await receive()
        if len(body) <= _LARGEST_BODY:
            body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _left(receive: Receive) -> None:
    """Wait until the other side has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _reply(send: Send, status: int, line: str = "") -> None:
    """Reply with a line of text; an empty line is an empty body."""
    await _start(send, status, "text/plain")
    await _send_part(send, f"{line}\n".encode() if line else b"", last=True)


async def _start(send: Send, status: int, content_type: str) -> None:
    headers = [
        (b"content-type", f"{content_type}; charset=utf-8".encode()),
        (b"cache-control", b"no-store"),
        (b"content-security-policy", _POLICY),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _send_part(send: Send, body: bytes, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": not last})
