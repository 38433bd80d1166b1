"""The messages between the page in a browser and the controller: views of the session, and actions."""

from collections.abc import Callable, Mapping

from vlm_gym import strict
from vlm_gym.play.controller import Controller
from vlm_gym.render.encode import data_url

LONGEST_INPUT = 10_000
"""Characters of a typed action."""


def page_view(controller: Controller) -> dict[str, object]:
    """Return all that a page shows, as JSON can write it; the picture is the observation, as a PNG."""
    session = controller.session
    return {
        "title": session.game.title,
        "deal": session.deal,
        "picture": data_url(session.frame),
        "size": session.frame.shape[0],
        "marks": [mark._asdict() for mark in controller.marks()],
        "score": f"{session.run.state.score:g}",
        "unit": session.game.unit,
        "turns_left": session.turns_left,
        "about": session.note.about,
        "heading": session.note.heading,
        "text": session.note.text,
        "form": session.game.form,
        "invitation": controller.invitation,
        "ways": list(controller.inputs()),
        "commands": {letter: command.effect for letter, command in session.commands.items()},
    }


def read_action(controller: Controller, data: object) -> Callable[[], object]:
    """Read what a person did, an object with one key: ``{"click": [y, x]}``; the call does it.

    Keys are ``press`` (an arrow), ``click`` (a pixel of the picture), ``turn`` (null), ``command`` (a letter)
    and ``enter`` (a line). Raises `ValueError` of one line for anything else.
    """
    if not isinstance(data, dict) or len(data) != 1:
        raise ValueError(f"{strict.shown(data)} is no action; write an object with one key")
    ((name, value),) = data.items()
    if name not in _READERS:
        raise ValueError(f"unknown action {strict.shown(name)}; actions: {', '.join(_READERS)}")
    return _READERS[name](controller, value)


def _press(controller: Controller, value: object) -> Callable[[], object]:
    key = strict.text(value, "press", longest=LONGEST_INPUT)
    return lambda: controller.press(key)


def _click(controller: Controller, value: object) -> Callable[[], object]:
    pixel = strict.entries(value, "click")
    if len(pixel) != 2:
        raise ValueError(f"click is {strict.shown(pixel)}, not [y, x]")
    y = strict.whole(pixel[0], "y")
    x = strict.whole(pixel[1], "x")
    return lambda: controller.click(y, x)


def _turn(controller: Controller, value: object) -> Callable[[], object]:
    if value is not None:
        raise ValueError(f"turn is {strict.shown(value)}, not null")
    return controller.session.turn


def _command(controller: Controller, value: object) -> Callable[[], object]:
    letter = strict.text(value, "command", longest=LONGEST_INPUT)
    return lambda: controller.command(letter)


def _enter(controller: Controller, value: object) -> Callable[[], object]:
    line = strict.text(value, "enter", longest=LONGEST_INPUT)
    return lambda: controller.enter(line)


_READERS: Mapping[str, Callable[[Controller, object], Callable[[], object]]] = {
    "press": _press,
    "click": _click,
    "turn": _turn,
    "command": _command,
    "enter": _enter,
}
