"""The server's side of a session: one episode after another, by rows."""

from collections.abc import Mapping
from html import escape
from importlib.metadata import version
from typing import Any

from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import EnvironmentMetadata

from vlm_gym.adapters.network import begin_from_network, position_of, restore
from vlm_gym.adapters.openenv.models import GameObservation, GameState, ReplyAction
from vlm_gym.adapters.play import Answered, EpisodeInPlay
from vlm_gym.registry import names

SPLITS = ("train", "test")
TASKS = 10_000
"""Deals of a split that the task API counts. There are 2^63, and `GameEnvironment.reset` takes any."""
LONGEST_PREVIEW = 1000
"""Tasks that the task API lists at once."""
BUTTONS = 100
"""Legal moves that the web page offers to click."""

NOT_BEGUN = (
    "no episode has begun; reset first, over the WebSocket, as each HTTP request is a session of its own"
)
"""The feedback on a reply before the first reset, which changes nothing."""


class GameEnvironment(Environment[ReplyAction, GameObservation, GameState]):
    """The episodes of one session. Sessions share nothing.

    No reply raises: one that is illegal, no text, or after the end is an observation with its reward and
    reason. A row that is not possible raises `Refused`, whose message OpenEnv sends to the client, and the
    episode before it goes on.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, row: Mapping[str, Any] | None = None) -> None:
        """Make a session without an episode. `row` holds what rows from clients do not name."""
        super().__init__()
        self._defaults = dict(row or {})
        self._next = 0
        self._episode_id: str | None = None
        self._session: EpisodeInPlay | None = None

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        injected_state: Any = None,
        **row: Any,
    ) -> GameObservation:
        """Begin the episode of a row; see `vlm_gym.adapters.play.Row.read` for its keys.

        `split` and `index` name the deal. A `seed` stands for the index where there is none, and its split is
        ``free`` if the row names none; beside an index it is not read. Without either, the session deals the
        next index of its own. `injected_state` is the
        `position` of a `GameState` of the same level, from which the episode continues. Raises `Refused`.
        """
        session = begin_from_network(self._deal(seed, row), self._defaults)
        if injected_state is not None:
            restore(session, injected_state)
        if seed is None and row.get("index") is None:
            self._next += 1
        self._session = session
        self._episode_id = episode_id
        return self._see(session, None)

    def step(self, action: ReplyAction, timeout_s: float | None = None, **_: Any) -> GameObservation:
        """Play a reply. A reply before the first reset, or after the end, changes nothing."""
        session = self._session
        if session is None:
            return GameObservation(text=NOT_BEGUN, done=True, reward=0.0, legal=False)
        return self._see(session, session.answer(action.reply))

    @property
    def state(self) -> GameState:
        """Where the episode stands."""
        session = self._session
        if session is None:
            return GameState()
        episode = session.row.episode
        return GameState(
            episode_id=self._episode_id,
            step_count=len(session.turns),
            game=episode.game,
            perception=episode.perception,
            reasoning=episode.reasoning,
            split=episode.split,
            index=episode.index,
            turns=session.row.turns,
            score=session.run.state.score,
            total=sum(session.rewards),
            success=session.success,
            position=position_of(session),
        )

    def get_metadata(self) -> EnvironmentMetadata:
        """Name the games and the version."""
        return EnvironmentMetadata(
            name="vlm-gym",
            description=f"Games to play from screenshots: {', '.join(names())}",
            version=version("vlm-gym"),
        )

    def list_splits(self) -> list[str]:
        """List the splits of every game."""
        return list(SPLITS)

    def num_tasks(self, split: str) -> int:
        """Return how many deals of a split the task API counts."""
        _check_split(split)
        return TASKS

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """List the first tasks of a split."""
        return self.get_task_range(split, 0, LONGEST_PREVIEW)

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """Return the row of a deal, which `reset` takes as it is. Raises `IndexError` if there is none."""
        _check_split(split)
        if not 0 <= index < TASKS:
            raise IndexError(f"index {index} is not possible; it takes 0 to {TASKS - 1}")
        task = {"id": f"{split}-{index}", "split": split, "index": index}
        game = self._defaults.get("game")
        return task if game is None else {**task, "game": game}

    def get_task_range(
        self, split: str, start: int | None = None, stop: int | None = None
    ) -> list[dict[str, Any]]:
        """List the tasks of a slice of a split."""
        return [self.get_task(split, index) for index in range(*slice(start, stop).indices(TASKS))]

    def render_web(self, observation: Mapping[str, Any]) -> str | None:
        """Draw an observation for the web page: the picture, and the text under it."""
        image = escape(str(observation.get("image", "")))
        text = escape(str(observation.get("text", "")))
        return f'<img src="{image}" alt="the picture of the game"><p style="white-space: pre-wrap">{text}</p>'

    def web_actions(self, observation: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """List the legal moves for the web page; some of them where actions are open, or are too many."""
        if self._session is None:
            return []
        return [(word, {"reply": f"<answer>{word}</answer>"}) for word in self._session.run.legal[:BUTTONS]]

    def _deal(self, seed: int | None, row: Mapping[str, Any]) -> dict[str, Any]:
        """Name the deal of a row that has no index."""
        if row.get("index") is not None:
            return dict(row)
        if seed is not None:
            return {**row, "split": row.get("split") or "free", "index": seed}
        return {**row, "index": self._next}

    def _see(self, session: EpisodeInPlay, answered: Answered | None) -> GameObservation:
        """Return what is shown next."""
        if answered is None:
            return GameObservation(
                image=session.url(),
                text=session.words,
                done=session.ended,
                success=session.success,
            )
        # The text of a turn is that of `Session.words`, but for a reply that is no text or after the end.
        return GameObservation(
            image=session.url(),
            text=answered.feedback,
            done=answered.done,
            reward=answered.reward,
            legal=answered.legal,
            terms=dict(answered.terms),
            terminated=answered.terminated,
            truncated=answered.truncated,
            success=session.success,
        )


def _check_split(split: str) -> None:
    """Raise `IndexError`, which the server answers as a request that is wrong."""
    if split not in SPLITS:
        raise IndexError(f"unknown split {split!r}; splits: {', '.join(SPLITS)}")
