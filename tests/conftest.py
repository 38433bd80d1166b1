"""What several files of tests share."""

import secrets
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import FLAGS, Reader
from endpoints import Answer, Endpoint
from hosting import Host

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells start jobs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # programs that tests interrupt inherit it


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Reader]:
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if not all(programs):
        pytest.skip("Chromium is not installed (Debian packages chromium and chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(programs[1]))
    yield Reader(driver)
    driver.quit()


@pytest.fixture(scope="session")
def ray_token() -> Iterator[None]:
    """Admit only our own programs to our clusters. Ray reads this but once in a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        yield


@pytest.fixture(scope="session")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learnt to answer, for all who read it alone: it takes seconds to teach."""
    return pytest.importorskip("talking").build_talker(tmp_path_factory.mktemp("talker"))


@pytest.fixture
def trainer(talker: Path, tmp_path: Path) -> Callable[..., Any]:
    """Make the learner of GRPO with a recipe of small groups, from the talker or another model."""
    grouped = pytest.importorskip("talking").grouped
    return lambda path=talker, **asked_for: grouped(path, tmp_path, **asked_for)


@pytest.fixture
def endpoint() -> Iterator[Callable[[Answer], Endpoint]]:
    made: list[Endpoint] = []

    def start(answer: Answer) -> Endpoint:
        made.append(Endpoint(answer))
        return made[-1]

    yield start
    for each in made:
        each.server.shutdown()
        each.server.server_close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """Start programs that serve a game as a page."""
    hosts = []

    def start(*arguments: str, **more) -> Host:
        hosts.append(Host(tmp_path / f"turns{len(hosts)}.jsonl", *arguments, **more))
        return hosts[-1]

    yield start
    for host in hosts:
        host.program.kill()
        host.program.communicate()
