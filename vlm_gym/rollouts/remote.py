"""Models behind a server: any endpoint that speaks OpenAI's chat protocol, hosted or ``vllm serve``."""

import asyncio
import logging
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

from vlm_gym.prompt import Message
from vlm_gym.rollouts.encode import data_url
from vlm_gym.rollouts.policy import Request, Said

_LOG = logging.getLogger(__name__)
_OTHERWISE = {"max_tokens": "max_completion_tokens", "temperature": None}
"""What models that reason first do not take, and what says the same to them; None if nothing does."""
_UNSUPPORTED = re.compile(r"unsupported (?:parameter|value): '(\w+)'", re.IGNORECASE)


class Refused(ConnectionError):
    """An endpoint will never reply to some requests, as where a filter forbids what they say.

    All others that it was asked with them have been replied to, and heard.
    """

    def __init__(self, refused: Sequence[tuple[Request, str]]) -> None:
        """Tell the requests, each with what the endpoint says about it."""
        super().__init__(refused)
        self.refused = refused

    def __str__(self) -> str:
        return self.refused[0][1]


class OpenAI:
    """A policy that asks an endpoint, many requests at a time, each with its pictures as lossless PNG.

    A request that fails is tried again with growing pauses (by the `openai` client), and then raises
    `ConnectionError`: a turn is never made up. Replies under way are heard before that. One that is refused
    for good keeps no other from being asked, and raises `Refused`. An endpoint that refuses ``max_tokens`` or
    ``temperature``, as OpenAI's of models that reason first, is asked otherwise from then on, and a warning
    says so. Replies carry their tokens, seconds and, where prices are given, dollars (`Said.usage`).
    """

    sees = True
    portable = False
    heard: Callable[[Request, Said], None] | None = None

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int = 0,
        concurrency: int = 16,
        per_minute: float = 0.0,
        time_limit: float = 120.0,
        retries: int = 5,
        dollars_in: float = 0.0,
        dollars_out: float = 0.0,
    ) -> None:
        """Name a model and its endpoint; the key is read from ``OPENAI_API_KEY``.

        `per_minute` limits requests (0: no limit), `time_limit` is in seconds a reply, `dollars_in` and
        `dollars_out` are prices of a million tokens. `ValueError` without the `openai` package.
        """
        try:
            from openai import AsyncOpenAI
        except ImportError:
            raise ValueError('models behind a server need an extra: pip install "vlm-gym[api]"') from None
        self.name, self._model = f"openai:{model}", model
        self._decoding: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
        if temperature > 0:  # not every server knows it, and else it says nothing
            self._decoding["seed"] = seed
        self._concurrency, self._pause = concurrency, 60.0 / per_minute if per_minute else 0.0
        self._free = monotonic()
        self._prices = dollars_in / 1e6, dollars_out / 1e6
        # Local servers want no key, the client wants one.
        key = os.environ.get("OPENAI_API_KEY") or ("none" if base_url else None)
        self._client = partial(
            AsyncOpenAI, base_url=base_url, api_key=key, timeout=time_limit, max_retries=retries
        )

    def act(self, requests: Sequence[Request]) -> list[str]:
        """Ask for a reply to each request; they do not know of each other."""
        return list(asyncio.run(self._ask_all(requests)))

    async def _ask_all(self, requests: Sequence[Request]) -> list[Said]:
        turnstile, begun = asyncio.Semaphore(self._concurrency), set[int]()
        # Requests leave evenly where there is a limit, the first at once.
        start = max(monotonic(), self._free)
        self._free = start + len(requests) * self._pause
        client: Any

        async def ask(number: int, request: Request) -> Said:
            """Ask when it is time to; if that fails, those whose time has not come are not asked."""
            await asyncio.sleep(max(0.0, start + number * self._pause - monotonic()))
            async with turnstile:
                begun.add(number)
                try:
                    return await self._ask(client, request)
                except Refused:
                    raise
                except Exception:
                    for other, task in enumerate(asking):
                        if other not in begun:
                            task.cancel()
                    raise

        async with self._client() as client:
            asking = [asyncio.create_task(ask(*each)) for each in enumerate(requests)]
            came = await asyncio.gather(*asking, return_exceptions=True)
        said = [each for each in came if isinstance(each, Said)]
        if len(said) == len(came):
            return said
        refused = [each for one in came if isinstance(one, Refused) for each in one.refused]
        failed = (each for each in came if not isinstance(each, (Said, Refused, asyncio.CancelledError)))
        raise next(failed, None) or Refused(refused)

    async def _ask(self, client: Any, request: Request) -> Said:
        from openai import BadRequestError, OpenAIError

        start = monotonic()
        try:
            answer = await self._answer(client, with_pictures(request))
        except BadRequestError as error:
            raise Refused([(request, f"{self.name} gave no reply: {error}")]) from error
        except (OpenAIError, ValueError) as error:  # the latter where a page comes for JSON
            raise ConnectionError(f"{self.name} gave no reply: {error}") from error
        if not getattr(answer, "choices", None):
            raise ConnectionError(
                f"{self.name} answered with something else than a reply: {str(answer)[:200]}"
            )
        usage = {"seconds": round(monotonic() - start, 3)}
        if answer.usage is not None:
            tokens = answer.usage.prompt_tokens, answer.usage.completion_tokens
            usage |= {"tokens_in": tokens[0], "tokens": tokens[1]}
            if any(self._prices):
                usage["dollars"] = tokens[0] * self._prices[0] + tokens[1] * self._prices[1]
        words = answer.choices[0].message.content or ""
        # A server that cuts a reply may cut a symbol in two: half a surrogate pair goes into no file.
        said = Said(words.encode(errors="replace").decode(), usage)
        if self.heard is not None:
            self.heard(request, said)
        return said

    async def _answer(self, client: Any, messages: Sequence[Message]) -> Any:
        """Ask once, and again for each of our options that the endpoint does not take."""
        from openai import BadRequestError

        while True:
            asked = dict(self._decoding)
            try:
                return await client.chat.completions.create(model=self._model, messages=messages, **asked)
            except BadRequestError as error:
                refused = _UNSUPPORTED.search(str(error))
                if refused is None or refused[1] not in _OTHERWISE.keys() & asked.keys():
                    raise
                self._leave_out(refused[1])

    def _leave_out(self, name: str) -> None:
        """Say an option otherwise from now on, if another request has not heard of it already."""
        if name not in self._decoding:
            return
        value, other = self._decoding.pop(name), _OTHERWISE[name]
        if other is not None:
            self._decoding[other] = value
        _LOG.warning(
            "%s takes no %s=%s: it is asked %s",
            self.name,
            name,
            value,
            f"with {other} instead" if other else "without, and decodes as its makers have set it",
        )


def with_pictures(request: Request) -> list[Message]:
    """Write the conversation with every picture in its place, as a data URL."""
    pictures = iter(request.pictures())
    messages = request.messages()
    for message in messages:
        message["content"] = [
            {"type": "image_url", "image_url": {"url": data_url(next(pictures))}}
            if block["type"] == "image"
            else block
            for block in message["content"]
        ]
    return messages
