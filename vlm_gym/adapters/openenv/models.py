"""What travels between the client and the server: JSON, with pictures as data URLs."""

from typing import Annotated, Any

from openenv.core.env_server.types import Action, Observation, State
from pydantic import Field, WithJsonSchema


class ReplyAction(Action):
    """A reply of a model, or of a person."""

    # Any value is taken, and one that is no text is a turn lost: refused here, it would have no outcome.
    reply: Annotated[
        Any,
        WithJsonSchema({"type": "string", "maxLength": 100_000}),
        Field(description="a reply as the instructions ask for it, such as <answer>left</answer>"),
    ]


class GameObservation(Observation):
    """What a model is shown, and what came of its last reply."""

    image: str = Field(default="", description="the picture, as a data URL of a PNG")
    text: str = Field(default="", description="the instructions at first, the feedback from then on")
    legal: bool | None = Field(default=None, description="whether the last reply named a legal action")
    terms: dict[str, float] = Field(default_factory=dict, description="the reward of the turn, by term")
    terminated: bool = Field(default=False, description="whether the game is over")
    truncated: bool = Field(default=False, description="whether the episode is out of turns")
    success: bool = Field(default=False, description="whether the goal of the game has been reached")


class GameState(State):
    """Where an episode stands; it shows what a player cannot see, and is for the trainer alone."""

    game: str = ""
    perception: str = ""
    reasoning: str = ""
    split: str = ""
    index: int = 0
    turns: int = Field(default=0, description="the turn limit of the episode")
    score: float = Field(default=0.0, description="the sum so far, in the game's own unit")
    total: float = Field(default=0.0, description="the sum of the rewards so far")
    success: bool = False
    position: dict[str, Any] | None = Field(
        default=None, description="what `reset(injected_state=...)` continues from"
    )
