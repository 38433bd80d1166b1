"""Replies are parsed strictly, never guessed at, and in linear time."""

import random
from time import process_time

import pytest
from grammar import reading
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_gym.actions import SECTIONS, parse

LEGAL = ("left", "right", "(1,2) (3,4)")


def read(words: str) -> str:
    return " ".join(words.split()).lower()


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("<answer>left</answer>", "left"),
        ("  <answer>\n LEFT \t</answer> ", "left"),
        ("<perception>2 | -</perception><think>go</think><answer>right</answer>", "right"),
        ("I think so: <answer>left</answer> Thanks!", "left"),
        ("<answer>(1,2)   (3,4)</answer>", "(1,2) (3,4)"),
        ("</think> <answer>left</answer>", "left"),  # a template may have opened the thought in the prompt
        ("<answer>left</answer> <think>or", "left"),  # opened after the answer
    ],
)
def test_one_legal_answer_is_an_action(text: str, action: str) -> None:
    reply = parse(text, LEGAL, read)
    assert (reply.action, reply.fault, reply.error) == (action, "", "")


@pytest.mark.parametrize(
    ("text", "fault", "hint"),
    [
        ("", "format", "no <answer>"),
        ("left", "format", "no <answer>"),
        ("<answer>left", "format", "0 </answer>"),
        ("</answer>left<answer>", "format", "not closed"),
        ("<answer>left</answer><answer>left</answer>", "format", "2 <answer>"),
        ("<answer>left</answer> or <answer>right</answer>", "format", "2 <answer>"),
        ("<think><answer>left</answer></think>", "format", "inside another section"),
        ("<think>so <answer>left</answer>", "format", "inside another section"),
        ("<think>a <think>b</think> <answer>left</answer>", "format", "inside another section"),
        ("so <answer>left</answer>, or not</think>", "format", "inside another section"),
        ("<answer><think>left</think></answer>", "format", "holds other tags"),
        ("<answer>left<think></answer>", "format", "holds other tags"),
        ("<ANSWER>left</ANSWER>", "format", "no <answer>"),
        ("<answer>up</answer>", "illegal", "legal: left, right"),
        ("<answer>left right</answer>", "illegal", "not a legal action"),
        ("<answer></answer>", "illegal", "not a legal action"),
        ("<answer>lеft</answer>", "illegal", "not a legal action"),  # a Cyrillic letter
        ("<answer>left\x00</answer>", "illegal", "not a legal action"),
        ("<answer>" + "left" * 1000 + "</answer>", "illegal", "not a legal action"),
    ],
)
def test_anything_else_is_an_error_that_says_why(text: str, fault: str, hint: str) -> None:
    reply = parse(text, LEGAL, read)
    assert reply.action is None
    assert reply.fault == fault
    assert hint in reply.error


def test_sections_are_told_apart_from_text_that_names_them() -> None:
    reply = parse("<perception>a</perception> <think>b</think>\n<answer>left</answer>", LEGAL, read)
    assert (reply.perception, reply.thought, reply.well_formed) == ("a", "b", True)
    stray = parse("x<perception>a</perception><think>b</think><answer>left</answer>", LEGAL, read)
    assert (stray.action, stray.well_formed) == ("left", False)
    swapped = parse("<think>b</think><perception>a</perception><answer>left</answer>", LEGAL, read)
    assert not swapped.well_formed
    # The truth outside of its tag, or in a tag that stands twice, is no perception.
    assert parse("a <answer>left</answer>", LEGAL, read).perception is None
    twice = "<perception>a</perception><perception>a</perception><answer>left</answer>"
    assert parse(twice, LEGAL, read).perception is None
    assert not parse(twice, LEGAL, read).well_formed


PIECES = [
    *(f"<{name}>" for name in SECTIONS),
    *(f"</{name}>" for name in SECTIONS),
    "left", "right", "up", "LEFT", " ", "\n", "<", ">", "</", "<answer", "answer>", "(1,2) (3,4)", "1 | -",
    "\x00", "\u202e", "é", "😀", "\ud800", "<<answer>>", "&lt;answer&gt;", "0", "left</answer", "\r",
    "\x1b[2J",
]  # fmt: skip


def test_a_hundred_thousand_odd_replies_never_raise_and_are_never_guessed_at() -> None:
    rng = random.Random(0)
    actions = 0
    for _ in range(100_000):
        text = "".join(rng.choices(PIECES, k=rng.randrange(12)))
        if rng.random() < 0.3:
            text = f"<answer>{text}</answer>"
        if rng.random() < 0.3:
            text += "<answer>left</answer>"
        reply = parse(text, LEGAL, read)
        assert reply.action == reading(text, LEGAL).action, text
        assert (reply.action is None) == bool(reply.error) == bool(reply.fault)
        assert not reply.well_formed or reply.fault != "format"
        actions += reply.action is not None
    assert actions > 5_000  # the property is not empty


@settings(max_examples=500, deadline=None)
@given(st.text())
def test_text_of_any_kind_gives_a_reply(text: str) -> None:
    assert parse(text, LEGAL, read).action is None
    assert parse(f"{text}<answer>left</answer>", LEGAL, read).action == "left" or "<" in text


@pytest.mark.parametrize(
    "text",
    [
        "<answer>" * 125_000,
        "</answer>" * 111_000,
        "<answer>" + "a" * 1_000_000 + "</answer>",
        "<think>" * 140_000 + "<answer>left</answer>",
        "<perception>" + " | " * 330_000 + "</perception><answer>left</answer>",
        "<" * 1_000_000,
        " " * 1_000_000 + "<answer>left</answer>",
        "<think></think>" * 33_000 + "<answer>left</answer>",
        "<answer>left</answer>" + "</think><think>" * 33_000,
    ],
    ids=[
        "opens",
        "closes",
        "long answer",
        "thoughts",
        "perception",
        "brackets",
        "blanks",
        "closed thoughts",
        "thoughts after",
    ],
)
def test_a_megabyte_takes_milliseconds(text: str) -> None:
    best = float("inf")
    for _ in range(3):
        start = process_time()
        parse(text, LEGAL, read)
        best = min(best, process_time() - start)
    assert best < 0.05
