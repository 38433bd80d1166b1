"""Connections to an endpoint: the key, the address, the client, and the reason for a failure."""

import os
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from vlm_gym.masking import Mask

if TYPE_CHECKING:
    from openai import AsyncOpenAI


def api_key() -> str | None:
    """Read the key of the environment. Raises `ValueError` for one that no request can carry."""
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not all("!" <= sign <= "~" for sign in key):
        raise ValueError(
            "OPENAI_API_KEY holds a space, a line end or a sign that is not ASCII inside of the key; "
            "set it to the key alone"
        )
    return key or None


def opener(name: str, address: str | None, key: str | None, mask: Mask) -> Callable[[], "AsyncOpenAI"]:
    """Make what opens a client, once for each event loop. Raises `ValueError` if none can be opened."""
    try:
        from openai import AsyncOpenAI, OpenAIError
    except ImportError:
        raise ValueError('models behind a server need an extra: pip install "vlm-gym[api]"') from None
    if key is None and address is None:
        raise ValueError(
            f"{name} needs a key: set OPENAI_API_KEY, or name an endpoint that needs none by its address "
            "(--base-url or OPENAI_BASE_URL)"
        )
    if address is not None and not re.match(r"https?://[^/]", address):
        raise ValueError(
            f"base_url={mask(address)!r} is not possible; it takes an address such as http://localhost:8000/v1"
        )
    # Local servers need no key, but the client does. `OpenAI` does the retries and the limits.
    opened = partial(AsyncOpenAI, base_url=address, api_key=key or "none", timeout=None, max_retries=0)
    try:
        opened()
    except (OpenAIError, ValueError, ImportError, TypeError) as error:  # an unsupported kind of proxy
        raise ValueError(mask(f"{name} cannot be asked: {' '.join(str(error).split())}")) from None
    return opened


def cause(error: BaseException) -> str:
    """Find the first cause of an error that has words: a name that cannot be resolved, a certificate, ..."""
    message = str(error)
    link: BaseException | None = error
    while link is not None:
        message = str(link) or message
        if isinstance(link, BaseExceptionGroup):
            link = link.exceptions[0]
        elif link.__cause__ is None and isinstance(link.__context__, OSError):
            link = link.__context__  # the error of the system, which the client's libraries hide
        else:
            link = link.__cause__
    return " ".join(message.split())
