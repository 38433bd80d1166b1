"""Models behind a server: any endpoint with OpenAI's chat protocol, hosted or ``vllm serve``."""

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from vlm_gym.config import Within
from vlm_gym.endpoints import refused_options
from vlm_gym.endpoints.answers import Answer, read_answer
from vlm_gym.endpoints.connecting import api_key, cause, opener
from vlm_gym.endpoints.waiting import pause, run_coroutine
from vlm_gym.masking import Mask
from vlm_gym.prompt import Block, Message
from vlm_gym.render.encode import data_url
from vlm_gym.rollouts.policy import RawReply, Refusal, Request

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_LOG = logging.getLogger(__name__)


class _Received(NamedTuple):
    """An answer with what came around it."""

    answer: Answer
    body: bytes = b""
    headers: Mapping[str, str] = {}


class OpenAI:
    """A policy that asks an endpoint, many requests at a time, each with its pictures as lossless PNG.

    A fault that may pass is asked again after growing pauses, or after the pause that the endpoint asks for.
    A fault that stays raises `ConnectionError`: a turn is never made up. Pending replies are awaited before
    that. A request that the endpoint refuses for good, while it replies to others, gets a `Refusal`. An
    option that the endpoint does not take is left out or renamed from then on, and a warning names it.
    Replies carry their tokens, seconds and, where prices are given, dollars (`RawReply.usage`). The seconds
    are those of the reply alone, without pauses and without tries that failed.
    """

    sees = True
    portable = False
    on_reply: Callable[[Request, RawReply], None] | None = None

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        temperature: float | Literal["omit"] = 0.0,
        max_tokens: Annotated[int, Within(1)] = 1024,
        seed: int = 0,
        concurrency: Annotated[int, Within(1)] = 16,
        per_minute: Annotated[float, Within(0)] = 0.0,
        time_limit: Annotated[float, Within(0)] = 120.0,
        retries: Annotated[int, Within(0)] = 5,
        dollars_in: Annotated[float, Within(0)] = 0.0,
        dollars_out: Annotated[float, Within(0)] = 0.0,
    ) -> None:
        """Connect a model by its name and endpoint; the key is read from ``OPENAI_API_KEY``.

        `temperature` ``"omit"`` sends none. `per_minute` limits requests (0: no limit). `time_limit` is in
        seconds and bounds a whole reply, from the request to the last byte. `dollars_in` and `dollars_out`
        are prices of a million tokens. Raises `ValueError` without the `openai` package, without a key where
        one is needed, and for a key, an address or a proxy that cannot be used.
        """
        self.name = f"openai:{model}"
        self._model = model
        self._decoding: dict[str, object] = {"temperature": temperature, "max_tokens": max_tokens}
        if temperature == "omit":
            del self._decoding["temperature"]
        if temperature == "omit" or temperature > 0:  # a server without seeds may refuse it
            self._decoding["seed"] = seed
        self._concurrency = concurrency
        self._pause = 60.0 / per_minute if per_minute else 0.0
        self._free = monotonic()
        self._time_limit = time_limit
        self._tries = 1 + retries
        self._prices = dollars_in / 1e6, dollars_out / 1e6
        self._replied: Request | None = None
        key = api_key()
        self._address = base_url or os.environ.get("OPENAI_BASE_URL", "").strip() or None
        self._mask = Mask(key, self._address)
        self._client = opener(self.name, self._address, key, self._mask)

    def act(self, requests: Sequence[Request]) -> list[str]:
        """Return a reply to each request. The requests are independent of each other.

        Works with and without a running event loop. It returns when all replies are there; a coroutine that
        has other work to do meanwhile awaits ``asyncio.to_thread(policy.act, requests)``.
        """
        return list(run_coroutine(self._ask_all(requests)))

    async def _ask_all(self, requests: Sequence[Request]) -> list[RawReply]:
        turnstile = asyncio.Semaphore(self._concurrency)
        begun = set[int]()
        # Requests leave evenly where there is a limit, the first at once.
        start = max(monotonic(), self._free)
        self._free = start + len(requests) * self._pause
        client: AsyncOpenAI

        async def ask(number: int, request: Request) -> RawReply:
            """Send a request at its scheduled time.

            If it fails, or if its reply cannot be kept, requests not yet begun are cancelled, so that
            no lost replies are paid for.
            """
            await asyncio.sleep(max(0.0, start + number * self._pause - monotonic()))
            async with turnstile:
                begun.add(number)
                try:
                    reply = await self._ask(client, request)
                    if not isinstance(reply, Refusal):
                        self._replied = request
                        self._hear(request, reply)
                except Exception:
                    for other, task in enumerate(asking):
                        if other not in begun:
                            task.cancel()
                    raise
                return reply

        async with self._client() as client:
            asking = [asyncio.create_task(ask(*each)) for each in enumerate(requests)]
            outcomes = await asyncio.gather(*asking, return_exceptions=True)
            replies = list[RawReply]()
            refused = list[tuple[Request, Refusal]]()
            errors = list[BaseException]()
            for request, outcome in zip(requests, outcomes, strict=True):
                if isinstance(outcome, RawReply):
                    replies.append(outcome)
                elif not isinstance(outcome, asyncio.CancelledError):  # cancelled because of another error
                    errors.append(outcome)
                if isinstance(outcome, Refusal):
                    refused.append((request, outcome))
            if len(replies) < len(outcomes):
                raise errors[0]
            if refused:
                await self._prove(client, *refused[0])
            for request, refusal in refused:
                _LOG.warning("%s refuses a position of %s: %s", self.name, request.game.name, refusal.why)
                self._hear(request, refusal)
        return replies

    async def _prove(self, client: "AsyncOpenAI", request: Request, refusal: Refusal) -> None:
        """Check that a refusal is about its request: the endpoint still replies to another one.

        An endpoint without credit, or one that does not take how it is asked, refuses all of them, and with
        the same status. Raises `ConnectionError` then.
        """
        if isinstance(await self._ask(client, self._replied or _another(request)), Refusal):
            raise ConnectionError(
                f"{self.name} gave no reply: {refusal.why}; it refuses other positions, too"
            )

    def _hear(self, request: Request, reply: RawReply) -> None:
        if self.on_reply is not None:
            self.on_reply(request, reply)

    async def _ask(self, client: "AsyncOpenAI", request: Request) -> RawReply:
        """Send a request until there is a reply or a refusal. Raises `ConnectionError` if a fault lasts."""
        messages = with_pictures(request)
        for tries in range(1, self._tries + 1):
            start = monotonic()
            answer, _, headers = await self._answer(client, messages)
            seconds = monotonic() - start
            if not answer.fault:
                return RawReply(answer.text, self._usage(answer, seconds))
            if answer.refused:
                return Refusal(answer.fault)
            if not answer.passing or headers.get("x-should-retry") == "false":
                break
            if tries < self._tries:
                await asyncio.sleep(pause(tries, headers))
        raise ConnectionError(f"{self.name} gave no reply: {answer.fault}")

    async def _answer(self, client: "AsyncOpenAI", messages: Sequence[Message]) -> _Received:
        """Post once, and again without each of our options that the endpoint refuses.

        An option is dropped for good only after a reply without it, since an error may name it by chance.
        """
        asked = dict(self._decoding)
        left_out: list[str] = []
        while True:
            received = await self._post(client, messages, asked)
            answer = received.answer
            name = refused_options.refused(received.body, asked) if answer.status in (400, 422) else None
            if not answer.fault or name is None:
                break
            asked = refused_options.otherwise(asked, name)
            left_out.append(name)
        if not answer.fault:
            for name in left_out:
                self._leave_out(name)
        return received

    async def _post(
        self, client: "AsyncOpenAI", messages: Sequence[Message], asked: Mapping[str, object]
    ) -> _Received:
        """Send one request and return the response, or the failure."""
        from openai import APIConnectionError, APIStatusError, OpenAIError

        # Typed for any options: those of an endpoint are its own.
        create: Callable[..., Awaitable[Any]] = client.chat.completions.with_raw_response.create
        try:
            async with asyncio.timeout(self._time_limit):
                came = await create(model=self._model, messages=messages, **asked)
            status = came.status_code
            body = came.content
            headers = came.headers
        except TimeoutError:
            return _Received(Answer(fault=f"no whole reply within {self._time_limit:g} seconds", status=408))
        except APIStatusError as error:
            status = error.status_code
            body = error.response.content
            headers = error.response.headers
        except APIConnectionError as error:
            fault = f"{client.base_url} cannot be reached: {cause(error)}"
            return _Received(Answer(fault=self._mask(fault), status=503))
        except (OpenAIError, ValueError) as error:
            raise ConnectionError(self._mask(f"{self.name} gave no reply: {error}")) from None
        answer = read_answer(status, body, self._mask)
        address = str(client.base_url)
        if status in (404, 405) or (status == 200 and answer.fault):
            hint = "" if re.search(r"/v\d", address) else "; most addresses of endpoints end in /v1"
            answer = answer._replace(fault=self._mask(f"{answer.fault} (from {address}{hint})"))
        return _Received(answer, body, headers)

    def _usage(self, answer: Answer, seconds: float) -> dict[str, float]:
        usage = {**answer.usage, "seconds": round(seconds, 3)}
        if any(self._prices) and {"tokens_in", "tokens"} <= usage.keys():
            usage["dollars"] = usage["tokens_in"] * self._prices[0] + usage["tokens"] * self._prices[1]
        if answer.cut:
            usage["cut"] = 1.0
        return usage

    def _leave_out(self, name: str) -> None:
        """Leave an option out or rename it from now on, if another request has not done so already."""
        if name not in self._decoding:
            return
        value = self._decoding[name]
        other = refused_options.OTHERWISE[name]
        self._decoding = refused_options.otherwise(self._decoding, name)
        _LOG.warning(
            "%s takes no %s=%s: it is asked %s",
            self.name,
            name,
            value,
            f"with {other} instead" if other else "without, and decodes as its makers have set it",
        )


def _another(request: Request) -> Request:
    """Return the request for the first position of another deal of the same game."""
    game = request.game
    state = request.state
    return request._replace(state=game.start(state.seed + 1, state.knobs), number=0, past=())


def with_pictures(request: Request, urls: Sequence[str] | None = None) -> list[Message]:
    """Write the conversation with every picture in its place, as a data URL.

    `urls` are the pictures of the request in their order, where they are encoded already.
    """
    encoded = iter([data_url(frame) for frame in request.pictures()] if urls is None else urls)
    messages = request.messages()
    for message in messages:
        content = list[Block]()
        for block in message["content"]:
            if block["type"] == "image":
                content.append({"type": "image_url", "image_url": {"url": next(encoded)}})
            else:
                content.append(block)
        message["content"] = content
    return messages
