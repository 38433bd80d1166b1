"""What the viewer shows, as data: episodes, turns judged, pictures as tiles."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from vlm_gym.actions import parse
from vlm_gym.game import Game
from vlm_gym.judge import KINDS, judge
from vlm_gym.prompt import instructions
from vlm_gym.record import Turn
from vlm_gym.registry import find
from vlm_gym.replay import Play
from vlm_gym.report.mosaic import Mosaic


class Seen(NamedTuple):
    """Data for the page, and the mosaic that its tiles are numbered by."""

    data: dict[str, Any]
    mosaic: Mosaic


def gather(plays: Iterable[Play], names: Mapping[str, str] | None = None, hidden: int = 0) -> Seen:
    """Judge every turn and take every picture apart.

    `names` tells what the policy of a file is called, by its path, where the recorded name would not do;
    `hidden` counts the turns that were left out of `plays`.
    """
    mosaic, prompts = Mosaic(), dict[str, int]()
    shown = [_play(play, mosaic, prompts, (names or {}).get(str(play.path), play.policy)) for play in plays]
    data = {
        "kinds": KINDS,
        "prompts": list(prompts),
        "plays": shown,
        "words": mosaic.words,
        "places": mosaic.places,
        "sheets": [{"side": sheet.side, "across": sheet.across} for sheet in mosaic.sheets],
        "hidden": hidden,
    }
    return Seen(data, mosaic)


def _play(play: Play, mosaic: Mosaic, prompts: dict[str, int], who: str) -> dict[str, Any]:
    game, episode = find(play.episode.game), play.episode
    pictures = mosaic.add(play)
    prompt = instructions(game, play.turns[0].state.knobs)
    last = play.turns[-1]
    return {
        "game": game.name,
        "title": game.title,
        "unit": game.unit,
        "perception": episode.perception,
        "reasoning": episode.reasoning,
        "split": episode.split,
        "index": episode.index,
        "who": who,
        "prompt": prompts.setdefault(prompt, len(prompts)),
        "success": last.success,
        "ended": play.ended,
        "undone": play.undone,
        **{name: value for name, value in pictures._asdict().items() if name not in ("cells", "starts")},
        "turns": [
            {"cells": cells, "start": start, **_turn(game, turn)}
            for turn, cells, start in zip(play.turns, pictures.cells, pictures.starts, strict=True)
        ],
    }


def _turn(game: Game[Any], turn: Turn) -> dict[str, Any]:
    verdict = judge(turn)
    sight = parse(turn.reply, game.legal(turn.state), game.read).perception
    why = game.reasons(turn.state, verdict.best) if verdict.best and not verdict.good else ""
    return {
        "reply": turn.reply,
        "action": turn.action,
        "event": turn.event,
        "error": turn.error,
        "rewards": dict(turn.rewards),
        "score": turn.score,
        "kind": verdict.kind,
        "sight": verdict.perception,
        "wrong": {} if sight is None else game.scene(turn.state).misread(sight),
        "best": verdict.best,
        "lost": round(verdict.lost, 4),
        "why": why,
        "usage": dict(turn.usage),
    }


def share(plays: Sequence[Play], most: int) -> list[Play]:
    """Choose episodes of at most so many turns: the first of every policy, game and level, then the second...

    So a page stays small, yet has something of everything. At least one episode is chosen.
    """
    rank: dict[tuple[str, ...], int] = {}
    order = []
    for place, play in enumerate(plays):
        key = str(play.path), play.policy, play.episode.game, play.episode.perception, play.episode.reasoning
        rank[key] = rank.get(key, -1) + 1
        order.append((rank[key], place))
    chosen, turns = list[int](), 0
    for _, place in sorted(order):
        turns += len(plays[place].turns)
        if turns > most and chosen:
            break
        chosen.append(place)
    return [plays[place] for place in sorted(chosen)]
