"""Play in a browser, as on a server without a display: one local page for one session.

The server is that of the standard library: one page, four small files and one person need no framework, and
the base install can do it. A thread serves each connection; all of them share one session behind one lock, so
that several pages show the same game and each of them can play.
"""

import json
import secrets
import select
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socketserver import TCPServer
from threading import Condition, Thread
from time import monotonic

import typer

from vlm_gym import strict
from vlm_gym.play.controller import Controller
from vlm_gym.play.page import page_view, read_action
from vlm_gym.play.session import Session

_FILES = {"": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
"""The files of a page with their types, by their path below the token."""
_LARGEST_BODY = 1 << 16
"""Bytes of a request's body."""
_HEARTBEAT = 0.5
"""Seconds after which a page that has been closed is noticed."""
_CLOSING = 5.0
"""Seconds that the pages have, at most, to receive the end of the game."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def play_in_browser(session: Session, host: str, port: int) -> None:
    """Serve the page until Ctrl-C, and print its address. Port 0 takes any free one.

    Games of real time pause while no page is open. Raises `RuntimeError` of one line if the port is taken or
    the host is not one of this machine, and the `OSError` of a recording that cannot be written.
    """
    shared = SharedController(Controller(session))
    with _serving(shared, host, port) as server:
        typer.echo(_invitation(host, server.server_port, server.token))
        while True:
            shared.pass_time()


class SharedController:
    """A controller that several threads share, and the view of it that every page shows."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.pages = 0
        self.requests = 0
        self.closed = False
        self._changed = Condition()
        self._failure: Exception | None = None
        self._version = 0
        self._view = ""
        self._show()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request until its reply is sent, since `close` waits for that."""
        with self._changed:
            self.requests += 1
        try:
            yield
        finally:
            with self._changed:
                self.requests -= 1
                self._changed.notify_all()

    def do(self, data: object) -> None:
        """Do what a page asks for, and show it on all of them. Raises `ValueError` for what is no action."""
        with self._changed:
            if self.closed:
                return
            act = read_action(self.controller, data)
            try:
                act()
                self._show()
            except Exception as error:  # such as a full disk: the main thread raises it
                self.fail(error)

    def pass_time(self) -> None:
        """Wait for some milliseconds, and play what happens by itself meanwhile.

        Raises what went wrong in another thread.
        """
        with self._changed:
            # A short wait, for only between two of them does Python notice a Ctrl-C in the terminal.
            self._changed.wait(0.02 if self.controller.session.game.tick else 0.1)
            if self._failure is not None:
                raise self._failure
            if not self.pages:
                self.controller.pause(monotonic())
            elif self.controller.pass_time(monotonic()):
                self._show()

    def views(self, is_closed: Callable[[], bool]) -> Iterator[str | None]:
        """Yield the present view, and every one that follows; None where none did for a while.

        Ends when the page `is_closed`, or with "" when the game is closed.
        """
        with self._changed:
            self.pages += 1
        sent = 0
        try:
            while not self.closed and not is_closed():
                with self._changed:
                    if self._version == sent and not self.closed:
                        self._changed.wait(_HEARTBEAT)
                    fresh = self._version != sent
                    sent = self._version
                    text = self._view
                yield text if fresh else None
            if self.closed:
                yield ""  # before this page counts as gone, since `close` waits for that
        finally:
            with self._changed:
                self.pages -= 1
                self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        """Pass an error to the main thread, which raises it."""
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def close(self) -> None:
        """Take no further action, and wait some seconds at most until replies and the end are sent."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self.pages and not self.requests, _CLOSING)

    def _show(self) -> None:
        """Make a new view, and notify the threads that wait for it."""
        with self._changed:
            self._view = json.dumps(page_view(self.controller))
            self._version += 1
            self._changed.notify_all()


class _Server(ThreadingHTTPServer):
    """The server of one session."""

    daemon_threads = True

    def __init__(self, shared: SharedController, host: str, port: int) -> None:
        self.shared = shared
        self.token = secrets.token_urlsafe(16)
        super().__init__((host, port), _Request)

    def server_bind(self) -> None:
        """Bind without asking a name server for this machine's name, as the parent does; it can take long."""
        TCPServer.server_bind(self)
        self.server_name = str(self.server_address[0])
        self.server_port = self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a connection that broke; anything else ends the game with its error."""
        error = sys.exception()
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self.shared.fail(error)


class _Request(BaseHTTPRequestHandler):
    """One request of a page."""

    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """Send a part of the page, or the events."""
        name = self._name()
        if name == "events":
            self._send_events()
        elif name in _FILES:
            body = (files("vlm_gym.play") / (name or "page.html")).read_bytes()
            self._send(HTTPStatus.OK, body, _FILES[name])
        else:
            self._refuse(
                HTTPStatus.NOT_FOUND, "There is nothing here; open the address that vlm-gym printed."
            )

    def do_POST(self) -> None:
        """Do what a person did at the page."""
        with self.server.shared.request():
            self._act()

    def _act(self) -> None:
        """Do what the body asks for, and reply."""
        length = self.headers.get("Content-Length", "")
        if self._name() != "do":
            self._refuse(
                HTTPStatus.NOT_FOUND, "There is nothing here; open the address that vlm-gym printed."
            )
        elif not length.isdecimal() or int(length) > _LARGEST_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"An action has at most {_LARGEST_BODY} bytes.")
        else:
            try:
                self.server.shared.do(strict.parse(self.rfile.read(int(length))))
            except ValueError as error:
                self._refuse(HTTPStatus.BAD_REQUEST, strict.brief(error))
            else:
                self._send(HTTPStatus.NO_CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        """Write no log of requests."""

    def _name(self) -> str | None:
        """Return the path below the token; None for an address without it."""
        token, _, name = self.path.partition("?")[0].lstrip("/").partition("/")
        known = secrets.compare_digest(token.encode("latin-1", "replace"), self.server.token.encode())
        return name if known else None

    def _send_events(self) -> None:
        """Send views as server-sent events, until the page or the game is closed."""
        self.close_connection = True
        self._head(HTTPStatus.OK, "text/event-stream")
        self.end_headers()
        for text in self.server.shared.views(self._is_closed):
            if text is None:
                self.wfile.write(b":\n\n")
            elif text:
                self.wfile.write(f"data: {text}\n\n".encode())
            else:
                self.wfile.write(b"event: end\ndata:\n\n")

    def _is_closed(self) -> bool:
        """Check whether the page has closed the connection; it never sends anything on this one."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self.close_connection = True  # a body may be left unread
        self._send(status, f"{message}\n".encode(), "text/plain")

    def _send(self, status: HTTPStatus, body: bytes = b"", content_type: str = "text/plain") -> None:
        self._head(status, content_type)
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _head(self, status: HTTPStatus, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{content_type}; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")


@contextmanager
def _serving(shared: SharedController, host: str, port: int) -> Iterator[_Server]:
    """Serve a session from threads of their own; at the end, no request reaches it any more."""
    try:
        server = _Server(shared, host, port)
    except OSError as error:
        raise RuntimeError(
            f"no page can be served at {host}, port {port} ({error.strerror or error}); "
            "--port takes another one, 0 any that is free"
        ) from error
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        shared.close()
        server.shutdown()
        thread.join()
        server.server_close()


def _invitation(host: str, port: int, token: str) -> str:
    """Write how to reach the page."""
    if host in ("127.0.0.1", "localhost"):
        further = f"From another machine, first: ssh -L {port}:{host}:{port} {socket.gethostname()}"
    else:
        further = "Whoever has this address can play, and nothing on the way is encrypted."
    name = socket.gethostname() if host == "0.0.0.0" else host
    return f"Open http://{name}:{port}/{token}/ in a browser; Ctrl-C here ends the game.\n{further}"
