"""Rows and positions that came over a network, from peers that must not read files of this machine."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from vlm_gym import strict
from vlm_gym.adapters.play import EpisodeInPlay, Row, without_none
from vlm_gym.game import State
from vlm_gym.knobs import Knobs
from vlm_gym.recordings.position import to_state
from vlm_gym.registry import find
from vlm_gym.render import look
from vlm_gym.storage import dumps

LEVELS = ("perception", "reasoning")
"""The keys of a row that can hold knobs."""


class Refused(ValueError):
    """What a peer sent cannot be played; the message is one line for that peer."""


def begin_from_network(sent: Mapping[str, Any], defaults: Mapping[str, Any]) -> EpisodeInPlay:
    """Begin the episode of a row that a peer has sent, over the defaults of this machine.

    A knob that takes any text, such as ``pictures`` of shisen_sho_photos, can name a folder, and pictures
    from it would be shown to the peer. So only the defaults may set such a knob. Raises `Refused`.
    """
    given = without_none(sent)
    try:
        row = Row.read({**defaults, **given})
        levels = {
            "perception": look(row.episode.perception),
            "reasoning": find(row.episode.game).settle(row.episode.reasoning),
        }
        for name in LEVELS:
            if name in given:
                _check_texts(name, levels[name])
        return EpisodeInPlay(row)
    except ValueError as error:
        raise Refused(strict.brief(error)) from error


def position_of(session: EpisodeInPlay) -> dict[str, Any]:
    """Return where an episode stands, as JSON data: the state, and the turns used."""
    return {"state": _data(session.run.state), "turns": session.run.turns}


def restore(session: EpisodeInPlay, position: Any) -> None:
    """Continue an episode from a position of its own level, as `position_of` returns it.

    Raises `Refused` for what is no such position; the session is of no further use then.
    """
    try:
        entries = strict.record(position, "the position", ("state", "turns"), optional=("turns",))
        _check_level(session, entries["state"])
        state = to_state(session.run.game, entries["state"])
        limit = session.run.knobs.turns
        turns = strict.whole(entries.get("turns", state.turn), "turns", state.turn, limit + 1)
        _enter(session, state)
        session.run.turns = turns
    except ValueError as error:
        raise Refused(strict.brief(error)) from error


def _check_texts(axis: str, knobs: Knobs) -> None:
    """Raise `ValueError` if a knob that takes any text differs from its default."""
    for entry in fields(knobs):
        free = isinstance(entry.default, str) and not entry.metadata["within"]
        if free and getattr(knobs, entry.name) != entry.default:
            raise ValueError(
                f"the {axis} knob {entry.name} can name a folder of the server and cannot be set over a "
                f"network; set it where the server is started"
            )


def _check_level(session: EpisodeInPlay, state: Any) -> None:
    """Raise `ValueError` for a state of other knobs, before anything reads the folders that they name."""
    own = _data(session.run.state)["knobs"]
    if not isinstance(state, dict) or state.get("knobs") != own:
        raise ValueError("the position is of another level than the row; send both of the same level")


def _enter(session: EpisodeInPlay, state: State) -> None:
    """Set the state, and check that the game can go on from it."""
    session.run.state = state
    try:
        _ = session.run.legal
        session.run.picture()
    except Exception as error:  # the rules may raise anything on a state that never was
        raise ValueError(
            f"a position that {session.run.game.name} cannot play: {type(error).__name__}"
        ) from error


def _data(value: State) -> dict[str, Any]:
    """Return a state as JSON data, in which tuples are lists and bytes hex digits."""
    data: dict[str, Any] = strict.parse(dumps(value))
    return data
