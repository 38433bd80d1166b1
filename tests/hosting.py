"""Programs that serve human play as a page, for the tests of the page and of the server behind it."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from vlm_gym.recordings.record import Turn, read

PLAY = (str(Path(sys.executable).with_name("vlm-gym")), "play")
PATIENCE = 20.0
ARROWS = {"up": "\ue013", "right": "\ue014", "down": "\ue015", "left": "\ue012"}


class Host:
    """A program that serves a game."""

    def __init__(self, record: Path, *arguments: str, before: Callable[[], None] | None = None) -> None:
        self.record = record
        self.program = subprocess.Popen(
            [*PLAY, *arguments, "--browser", "--port", "0", "--record", str(record)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,
        )
        line = self.program.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", line)
        assert found, line + self.program.stderr.read()
        self.address = found[0]

    def turns(self, count: int) -> list[Turn]:
        """Wait for this many turns on disk, and read them."""
        end = time.monotonic() + PATIENCE
        while self.record.read_text().count("\n") < count:
            assert time.monotonic() < end, f"waited {PATIENCE} s in vain for {count} turns"
            time.sleep(0.02)
        turns = list(read(self.record))
        assert len(turns) == count
        return turns

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, str]:
        """Send a request without a browser, and return its status and its body."""
        try:
            with urlopen(Request(self.address + path, body), timeout=PATIENCE) as reply:
                return reply.status, reply.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    def left(self) -> tuple[int, str]:
        """Wait until the program has ended: its exit code and its errors."""
        _, said = self.program.communicate(timeout=PATIENCE)
        return self.program.returncode, said
