"""The data of the viewer: episodes, judged turns, pictures as tiles."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

from vlm_gym.actions import parse_for
from vlm_gym.evaluation.judge import KINDS, Verdict, judge_play
from vlm_gym.game import Game
from vlm_gym.prompt import instructions
from vlm_gym.registry import find
from vlm_gym.replays.replay import Play, blaming
from vlm_gym.report.mosaic import Mosaic
from vlm_gym.rollouts.reward import thinking

_BY_TURN = ("cells", "starts", "notes")
"""Fields of `Pictures` that have an entry for each turn."""


class Judged(NamedTuple):
    """An episode with a verdict on each turn, and the name its policy is shown under."""

    play: Play
    label: str
    verdicts: Sequence[Verdict]

    @classmethod
    def of(cls, play: Play) -> Self:
        """Judge an episode."""
        return cls(play, play.policy, judge_play(play))


class ViewerData(NamedTuple):
    """Data for the page, and the mosaic that its tiles are numbered by."""

    data: dict[str, object]
    mosaic: Mosaic


def gather(episodes: Iterable[Judged], hidden: int = 0) -> ViewerData:
    """Take every picture apart; `hidden` counts the turns that were left out of `episodes`."""
    mosaic = Mosaic()
    prompts = dict[str, int]()
    shown = list[dict[str, object]]()
    for judged in episodes:
        shown.append(_play(judged, mosaic, prompts))
    data = {
        "kinds": KINDS,
        "prompts": list(prompts),
        "plays": shown,
        "words": mosaic.descriptions,
        "places": mosaic.places,
        "sheets": [{"side": sheet.side, "across": sheet.across} for sheet in mosaic.sheets],
        "hidden": hidden,
    }
    return ViewerData(data, mosaic)


def _play(judged: Judged, mosaic: Mosaic, prompts: dict[str, int]) -> dict[str, object]:
    play = judged.play
    episode = judged.play.episode
    game = find(episode.game)
    pictures = mosaic.add(play)
    prompt = instructions(game, play.turns[0].state.knobs)
    last = play.turns[-1]
    turns = list[dict[str, object]]()
    by_turn = zip(judged.verdicts, pictures.cells, pictures.starts, pictures.notes, strict=True)
    for number, (verdict, cells, start, notes) in enumerate(by_turn):
        turns.append({"cells": cells, "start": start, "notes": notes, **_turn(game, play, number, verdict)})
    of_episode = pictures._asdict()
    for name in _BY_TURN:
        del of_episode[name]
    return {
        "game": game.name,
        "title": game.title,
        "unit": game.unit,
        "perception": episode.perception,
        "reasoning": episode.reasoning,
        "split": episode.split,
        "index": episode.index,
        "who": judged.label,
        "prompt": prompts.setdefault(prompt, len(prompts)),
        "success": last.success,
        "ended": play.ended,
        "undone": play.undone,
        **of_episode,
        "turns": turns,
    }


def _turn(game: Game, play: Play, number: int, verdict: Verdict) -> dict[str, object]:
    turn = play.turns[number]
    with blaming(play, number):
        scene = game.scene(turn.state)
        reply = parse_for(game, turn.state, turn.reply)
        perception = reply.perception
        marks = thinking(game, turn.state, reply)
        thought = None if verdict.good else game.think(turn.state)
    false = list[str]()
    for sentence in marks:
        if sentence.kind == "false":
            false.append(sentence.words)
    why = "" if thought is None else thought.words
    return {
        "reply": turn.reply,
        "action": turn.action,
        "event": turn.event,
        "error": turn.error,
        "rewards": dict(turn.rewards),
        "score": turn.score,
        "kind": verdict.kind,
        "perception": verdict.perception,
        "wrong": {} if perception is None else scene.misread(perception),
        "beside": [*(item.words for item in scene.placed()), *scene.notes],
        "thought": verdict.thought,
        "false": false,
        "best": verdict.best,
        "lost": round(verdict.lost, 4),
        "why": why,
        "usage": dict(turn.usage),
    }


def share(episodes: Sequence[Judged], max_turns: int) -> list[Judged]:
    """Choose episodes of at most `max_turns` turns: the first of each policy, game and level, then the next.

    So a page stays small, and still shows every policy, game and level. At least one episode is chosen.
    """
    rank: dict[tuple[str, ...], int] = {}
    order = []
    for index, (play, label, _) in enumerate(episodes):
        key = label, play.episode.game, play.episode.perception, play.episode.reasoning
        rank[key] = rank.get(key, -1) + 1
        order.append((rank[key], index))
    chosen = list[int]()
    turns = 0
    for _, index in sorted(order):  # by rank, so that each policy, game and level has its first one
        turns += len(episodes[index].play.turns)
        if turns > max_turns and chosen:
            break
        chosen.append(index)
    return [episodes[index] for index in sorted(chosen)]
