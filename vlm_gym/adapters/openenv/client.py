"""The client of a server of games: asynchronous, and with `sync()` for code that does not await."""

from typing import Any

from openenv.core import EnvClient
from openenv.core.client_types import StepResult
from websockets.exceptions import ConnectionClosed

from vlm_gym.adapters.openenv.models import GameObservation, GameState, ReplyAction
from vlm_gym.prompt import Block, Message

_ERROR = "Server error: "
_BUSY = "(code: CAPACITY_REACHED)"


class GameClient(EnvClient[ReplyAction, GameObservation, GameState]):
    """One session on a server.

    `reset` takes a row as keywords, `step` a `Reply` or its text. Every fault is an error of one line:
    `ConnectionError` where the server is closed or busy, `TimeoutError` where it does not answer in time,
    `ValueError` for a row that it cannot play. The session goes on after a `ValueError`.
    """

    def _step_payload(self, action: ReplyAction | str) -> dict[str, Any]:
        reply: Any = action.reply if isinstance(action, ReplyAction) else action
        return {"reply": reply}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[GameObservation]:
        done = payload["done"]
        reward = payload["reward"]
        seen = GameObservation(**payload["observation"], done=done, reward=reward)
        return StepResult(observation=seen, reward=reward, done=done)

    def _parse_state(self, payload: dict[str, Any]) -> GameState:
        return GameState(**payload)

    async def _send_and_receive(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            response: dict[str, Any] = await super()._send_and_receive(message)
        except ConnectionClosed as error:
            raise ConnectionError(f"{self.base_url} closed the session: {_line(error)}") from error
        except TimeoutError as error:
            raise TimeoutError(
                f"{self.base_url} did not answer within {self._message_timeout:g} seconds"
            ) from error
        except RuntimeError as error:
            words = _line(error)
            if not words.startswith(_ERROR):
                raise
            if _BUSY in words:
                raise ConnectionError(f"{self.base_url} is busy: {words.removeprefix(_ERROR)}") from error
            raise ValueError(words.removeprefix(_ERROR)) from error
        return response


def as_message(seen: GameObservation) -> Message:
    """Write an observation as an OpenAI message. The caller keeps the history."""
    picture: Block = {"type": "image_url", "image_url": {"url": seen.image}}
    return {"role": "user", "content": [picture, {"type": "text", "text": seen.text}]}


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
