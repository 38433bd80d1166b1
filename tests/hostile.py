"""A chat endpoint for trials of reliability: it breaks a protocol, or a connection, as it is told to."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reaction:
    """What an endpoint sends for a request."""

    data: Any
    """Bytes and text are sent as they are, anything else as JSON."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    drip: int = 0
    """Blank bytes before the data, one every 0.1 seconds."""
    stop: int | None = None
    """Bytes of the data after which the connection is closed; -1: closed before the status line."""

    @property
    def body(self) -> bytes:
        if isinstance(self.data, bytes):
            return self.data
        return self.data.encode() if isinstance(self.data, str) else json.dumps(self.data).encode()


class Hostile:
    """An endpoint that reacts as a function of the body of a request and of its headers says."""

    def __init__(self, react: Callable[[dict[str, Any], Mapping[str, str]], Reaction]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.asked.append(body)
                endpoint.headers.append(self.headers)
                reaction = react(body, self.headers)
                data = reaction.body
                if reaction.stop == -1:
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send_response(reaction.status)
                length = str(len(data) + reaction.drip)
                sent = {"Content-Type": "application/json", "Content-Length": length, **reaction.headers}
                for name, value in sent.items():
                    self.send_header(name, value)
                try:
                    self.end_headers()
                    for _ in range(reaction.drip):
                        self.wfile.write(b"\n")
                        self.wfile.flush()
                        time.sleep(0.1)
                    self.wfile.write(data[: reaction.stop])
                except OSError:
                    pass  # the client has given up

            def log_message(self, *words: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def completion(content: Any, finish: Any = "stop", usage: Any = None, **message: Any) -> dict[str, Any]:
    """A chat completion, with anything in the place of its parts."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, **message},
        "finish_reason": finish,
    }
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }
