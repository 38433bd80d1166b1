"""The parser agrees with a plain reference of the grammar, whatever a model writes."""

import random
from collections.abc import Iterator

import pytest
from grammar import Reading, depth, list_tags, reading
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vlm_gym.actions import Reply, parse, parse_for
from vlm_gym.prompt import solution
from vlm_gym.registry import find, names
from vlm_gym.rollouts.reward import terms

LEGAL = ("up", "down", "(2,1) (2,2)")

TAGS = [f"<{slash}{name}>" for name in ("perception", "think", "answer") for slash in ("", "/")]
WORDS = [
    "up", "DOWN", " up ", "(2,1) (2,2)", "sideways", "4 | - | 8", "\n", " ", "\t", "\u200b", "\ufeff", "\x00",
    "<", ">", "</", "<think", "think>", "<Think>", "<answer >", "<<think>>", "ⅳ", "\ud83d", "🂡",
]  # fmt: skip


def read(words: str) -> str:
    return " ".join(words.split()).lower()


def agree(text: str) -> Reply:
    """Parse a reply and compare all that is read from it with the reference."""
    reply = parse(text, LEGAL, read)
    told = Reading(reply.action, reply.perception, reply.thought, reply.well_formed)
    assert told == reading(text, LEGAL), text
    assert (reply.action is None) == bool(reply.fault) == bool(reply.error)
    assert not (reply.well_formed and reply.fault == "format")
    if reply.action is not None:
        place = text.index("<answer>")
        assert all(depth(list_tags(text), name, place) == 0 for name in ("perception", "think")), text
    return reply


sections = st.sampled_from(["perception", "think", "answer"])
pieces = st.lists(st.sampled_from(TAGS + WORDS), max_size=6).map("".join)
whole = st.builds(
    lambda name, body: f"<{name}>{body}</{name}>", sections, st.one_of(pieces, st.text(max_size=5))
)
replies = st.lists(st.one_of(st.sampled_from(TAGS + WORDS), whole, pieces), max_size=8).map("".join)


@settings(max_examples=500, deadline=None)
@given(replies)
@example("<think><think>a</think><answer>up</answer>")
@example("<answer>up</answer></think>")
@example("</think><think><answer>up</answer></think>")
@example("<think>a</think><answer>up</answer><think>b")
@example("<think>\u200b</think><answer>up</answer>")
@example("<answer></answer>")
def test_the_parser_reads_what_the_grammar_says(text: str) -> None:
    agree(text)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(TAGS[:4] + WORDS), max_size=8).map("".join),
    st.sampled_from(["think", "perception"]),
)
def test_an_answer_in_a_section_that_is_open_is_never_played(noise: str, name: str) -> None:
    """However often the section was opened and closed before: once more than closed is open."""
    opened = noise.count(f"<{name}>")
    closed = noise.count(f"</{name}>")
    text = noise + f"<{name}>" * max(1, closed - opened + 1) + "<answer>up</answer>"
    assert agree(text).action is None
    assert agree(f"<answer>up</answer>{noise}" + f"</{name}>" * max(1, opened - closed + 1)).action is None


@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\u200b", "\ufeff \x00", "\u2028"])
@pytest.mark.parametrize("spoilt", [0, 1, 2])
def test_a_section_in_which_nothing_is_seen_earns_no_format(blank: str, spoilt: int) -> None:
    game = find("2048")
    state = game.start(1, game.settle(0))
    action = game.legal(state)[0]
    bodies = ["2 | -", "the corner is free", action]
    assert format_of(bodies) == 1.0
    bodies[spoilt] = blank
    assert format_of(bodies) == 0.0
    if spoilt < 2:
        assert parse_for(game, state, written(bodies)).action == action  # played, all the same


def format_of(bodies: list[str]) -> float:
    """Compute the reward for the form of a reply with these three sections."""
    game = find("2048")
    state = game.start(1, game.settle(0))
    legal = game.legal(state)
    reply = parse_for(game, state, written(bodies))
    return terms(reply, game.step(state, legal[0]), None)["format"]


def written(bodies: list[str]) -> str:
    """Write a reply of three sections."""
    parts = zip(("perception", "think", "answer"), bodies, strict=True)
    return "".join(f"<{name}>{body}</{name}>" for name, body in parts)


@pytest.mark.parametrize("text", ["", "<perception>2</perception><think>so</think>", "<think>so</think>up"])
def test_a_reply_without_an_answer_is_not_well_formed(text: str) -> None:
    assert not agree(text).well_formed


@pytest.mark.parametrize("name", names())
def test_what_a_cold_start_imitates_is_well_formed(name: str) -> None:
    game = find(name)
    for seed in range(5):
        state = game.start(seed, game.settle(1))
        plan, words = game.solve(state), solution(game, state)
        assert plan is not None
        assert words is not None
        reply = parse_for(game, state, words)
        assert (reply.action, reply.well_formed) == (plan.action, True)


def odd_replies(count: int, seed: int) -> Iterator[str]:
    """Yield replies that nearly follow the grammar: right ones, of which some pieces are changed."""
    rng = random.Random(seed)
    for _ in range(count):
        parts = []
        for name in ("perception", "think", "answer"):
            if rng.random() < 0.8:
                parts += [f"<{name}>", rng.choice(LEGAL if name == "answer" else WORDS), f"</{name}>"]
        for _ in range(rng.randrange(5)):
            place = rng.randrange(len(parts) + 1)
            kind = rng.randrange(4)
            if kind < 2:
                parts.insert(place, rng.choice(TAGS + WORDS))
            elif kind == 2 and parts:
                del parts[place - 1]
            elif parts:
                other = rng.randrange(len(parts))
                parts[place - 1], parts[other] = parts[other], parts[place - 1]
        yield "".join(parts)


def fuzz(count: int, seed: int) -> None:
    """Compare so many odd replies with the reference. Checks that a fair share of them is played or not."""
    played = 0
    formed = 0
    for text in odd_replies(count, seed):
        reply = agree(text)
        played += reply.action is not None
        formed += reply.well_formed
    assert 0.1 < played / count < 0.9
    assert 0.05 < formed / count < 0.9


def test_odd_replies_are_read_as_the_grammar_says() -> None:
    fuzz(10_000, seed=1)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.faults
def test_a_million_odd_replies_are_read_as_the_grammar_says() -> None:
    fuzz(1_000_000, seed=2)
