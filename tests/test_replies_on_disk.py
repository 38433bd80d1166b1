"""Replies on disk: lines of journals that were changed are refused, and what is written can be read back."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from vlm_gym import strict
from vlm_gym.episode import Episode
from vlm_gym.recordings.record import Recorder, read
from vlm_gym.rollouts.journal import REPLY_LINES, Journal
from vlm_gym.rollouts.policy import LONGEST_REPLY, Baseline, RawReply
from vlm_gym.rollouts.rollout import rollout
from vlm_gym.storage import Appender, LineFormat, dumps, read_lines

EPISODE = Episode("2048", "level=0,size=96", "0", "test", 0)
LINE = {"episode": asdict(EPISODE), "number": 0, "reply": "<answer>left</answer>", "usage": {"tokens": 3}}
WRONG: tuple[Any, ...] = (None, True, 0.5, -1, 10**400, "", "x", [], [[]], {}, {"a": 1})


def is_reply(place: tuple[str, ...], value: Any) -> bool:
    """Return whether a line is one of a journal, although a value was put there."""
    return (place in (("reply",), ("refused",)) and isinstance(value, str)) or (
        place == ("usage",) and value in ({}, {"a": 1})
    )


def changed(place: tuple[str, ...], value: Any) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(json.dumps(LINE))
    at = line
    for name in place[:-1]:
        at = at[name]
    at[place[-1]] = value
    return line


PLACES = [*((name,) for name in (*LINE, "refused", "more")), *(("episode", name) for name in asdict(EPISODE))]


@pytest.mark.parametrize("place", PLACES, ids="/".join)
def test_a_line_of_a_journal_that_was_changed_is_refused_by_file_and_line(place, tmp_path):
    path = tmp_path / "replies.jsonl"
    for value in WRONG:
        text = f"{dumps(LINE)}\n{dumps(changed(place, value))}\n"
        path.write_text(text)
        if is_reply(place, value):
            assert len(list(read_lines(path, REPLY_LINES))) == 2
            continue
        with pytest.raises(ValueError, match=r"replies\.jsonl holds something else than replies"):
            Journal(Baseline("random"), path, [EPISODE])
        with pytest.raises(ValueError, match=r"something else than replies in line 2: [^\n]+$"):
            list(read_lines(path, REPLY_LINES))
        assert path.read_text() == text


def test_an_amount_that_is_no_number_counts_as_not_reported(tmp_path):
    path = tmp_path / "replies.jsonl"
    path.write_text(f"{dumps(changed(('usage',), {'tokens': None, 'seconds': 1.5, 'dollars': 'x'}))}\n")
    ((_, said),) = read_lines(path, REPLY_LINES)
    assert said.usage == {"seconds": 1.5}


class Endless:
    """Replies with the same letter without end, and with an answer behind it."""

    name = "endless"
    sees = False
    portable = False

    def __init__(self, letter: str, count: int) -> None:
        self.reply = letter * count + "<answer>left</answer>"

    def act(self, requests):
        return [self.reply for _ in requests]


@pytest.mark.parametrize("letter", ["a", "\0", "\ud800", "\u2028", "€", "😀", '"'], ids=ascii)
def test_a_reply_of_any_length_is_recorded_so_that_it_can_be_read(letter, tmp_path):
    turns = list(rollout([EPISODE], Endless(letter, strict.LONGEST_LINE + 1)))[:2]
    path = tmp_path / "t.jsonl"
    with Recorder(path) as recorder:
        recorder.write(*turns)
    assert list(read(path)) == turns
    assert turns[0].reply == letter * LONGEST_REPLY
    assert turns[0].action is None
    assert turns[0].usage == {"cut": 1.0}


def test_a_journal_keeps_a_reply_of_any_length(tmp_path):
    path = tmp_path / "replies.jsonl"
    journal = Journal(Endless("\0", strict.LONGEST_LINE + 1), path, [EPISODE])
    before = next(iter(rollout([EPISODE], journal)))
    journal.close()
    again = Journal(Endless("b", 1), path, [EPISODE])
    assert next(iter(rollout([EPISODE], again))) == before
    again.close()


def test_the_longest_reply_that_counts_is_kept_whole():
    assert RawReply("a" * LONGEST_REPLY, {}).usage == {}
    assert len(RawReply("a" * LONGEST_REPLY, {})) == LONGEST_REPLY


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.zst"])
def test_a_line_that_could_not_be_read_is_not_written(name, tmp_path):
    path = tmp_path / name
    form = LineFormat("texts", b'{"text":', json.loads)
    with Appender(path, form) as file:
        file.write('{"text":""}\n')
        before = path.read_bytes()
        with pytest.raises(ValueError, match=rf"{name}: a line of more than 8 MiB"):
            file.write(f'{{"text":"{"a" * strict.LONGEST_LINE}"}}\n')
        assert path.read_bytes() == before
        longest = '{"text":"' + "a" * (strict.LONGEST_LINE - len('{"text":""}\n')) + '"}'
        file.write(f'{longest}\n{{"text":"end"}}\n')
    assert [len(entry["text"]) for entry in read_lines(path, form)] == [0, len(longest) - 11, 3]
