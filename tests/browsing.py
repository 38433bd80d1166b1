"""A reader with a browser in front of a page."""

import base64
import time
from pathlib import Path

import numpy as np

PATIENCE = 60
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


class Reader:
    """Somebody with a browser and a page in front of them."""

    def __init__(self, driver) -> None:
        self.driver = driver

    def open(self, file: Path, place: str = "") -> None:
        self.driver.get("about:blank")  # else a new place is only a new hash of the old page
        self.driver.get(f"file://{file}{place}")
        self.wait("the page", lambda: self.run("return document.body.dataset.ready"))

    def wait(self, what: str, happened) -> None:
        end = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < end, f"waited {PATIENCE} s in vain for {what}; {self.complaints()}"
            time.sleep(0.02)

    def run(self, script: str, *arguments: object):
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str):
        return self.driver.find_elements("css selector", selector)

    def text(self, selector: str) -> str:
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    def click(self, selector: str) -> None:
        self.find(selector)[0].click()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.find("body")[0].send_keys(key)

    def choose(self, selector: str, value: str) -> None:
        self.click(f"{selector} option[value='{value}']")

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def darken(self, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    @property
    def place(self) -> str:
        self.run("clearTimeout(address); tell()")  # which else waits until nothing changes
        return self.run("return location.hash")

    def complaints(self) -> list[str]:
        """What the browser wrote into its console since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def picture(self, panel: int = 0) -> np.ndarray:
        """Wait until a panel's picture is painted, and read its pixels."""
        canvas = f"const c = document.querySelectorAll('canvas')[{panel}];"
        self.wait("a picture", lambda: self.run(f"{canvas} return c.dataset.painted === c.dataset.shows"))
        code, size = self.run(
            f"{canvas} const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "let s = ''; for (let i = 0; i < p.length; i += 8192)"
            " s += String.fromCharCode(...p.subarray(i, i + 8192)); return [btoa(s), c.width]"
        )
        pixels = np.frombuffer(base64.b64decode(code), np.uint8).reshape(size, size, 4)
        assert (pixels[..., 3] == 255).all()
        return pixels[..., :3]
