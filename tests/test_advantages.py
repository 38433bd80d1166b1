"""Which tokens answer for which part of a reward: three sections, and the sentences of a thought."""

import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from vlm_gym.trainers.advantages import by_sections, by_sentences  # noqa: E402
from vlm_gym.trainers.sections import Spans, spans  # noqa: E402

from vlm_gym.thought import Sentence  # noqa: E402

SIGHT = "<perception>2</perception>"
ANSWER = "<answer>up</answer>"


class Letters:
    """A tokenizer of one token a letter."""

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


class Pairs:
    """A tokenizer of two letters a token: sections end in the middle of tokens."""

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(each // 1000) + chr(each % 1000) for each in ids)


class Spaced(Letters):
    """A tokenizer of one token a letter that drops the spaces before the first, as those of Llama do."""

    def decode(self, ids: list[int]) -> str:
        return super().decode(ids).lstrip(" ")


def ids(words: str) -> list[int]:
    return [ord(letter) for letter in words]


def said(*sentences: str, kind: str = "true") -> list[Sentence]:
    return [Sentence(words, kind) for words in sentences]


@pytest.mark.parametrize("tokenizer", [Letters(), Spaced()])
def test_sections_and_sentences_end_with_their_last_token(tokenizer: Letters) -> None:
    thought = "<think>a b\nc  d. e.</think>"
    found = spans(tokenizer, ids(f"{SIGHT}{thought}{ANSWER}"), said("a b", "c d", "e"))
    start = len(SIGHT)
    assert found.perception == start
    assert found.opened == start + len("<think>")
    assert found.thought == start + len(thought)
    ends = ["<think>a b", "<think>a b\nc  d", "<think>a b\nc  d. e"]
    assert list(found.sentences) == [start + len(end) for end in ends]


def test_a_token_belongs_to_what_it_ends() -> None:
    words = "<think>abc</think>x"
    pairs = [1000 * ord(a) + ord(b) for a, b in zip(words[::2], f"{words} "[1::2], strict=True)]
    found = spans(Pairs(), pairs, said("abc"))
    assert found == Spans(perception=0, thought=9, sentences=(5,), opened=4)


@pytest.mark.parametrize("words", [ANSWER, "", "<think>never closed", f"{ANSWER}<think>late</think>"])
def test_a_reply_without_a_thought_in_its_place_has_two_sections(words: str) -> None:
    found = spans(Letters(), ids(f"{SIGHT}{words}"))
    assert found == Spans(len(SIGHT), len(SIGHT), (), len(SIGHT))


def test_each_section_answers_for_its_own() -> None:
    found = [Spans(2, 4, (), 3), Spans(0, 0, (), 0), Spans(1, 1, (), 1)]
    perception, thought, answer = (torch.tensor([n, 10 * n, 100 * n]) for n in (1.0, 2.0, 3.0))
    spread = by_sections(perception, thought, answer, found, 5)
    assert spread.tolist() == [[1, 1, 2, 2, 3], [30] * 5, [100, 300, 300, 300, 300]]


def test_a_sentence_answers_for_its_truth_less_the_mean_of_the_group() -> None:
    # Truths of the first group are 1, 0 and 1, 1: their mean is 3/4. The second group has one false sentence.
    graded = [
        [Sentence("a", "true"), Sentence("b", "false")],
        [Sentence("a", "true"), Sentence("c", "true")],
        [Sentence("b", "false")],
        [],
    ]
    found = [Spans(1, 6, (3, 5), 2), Spans(0, 5, (2, 4), 1), Spans(0, 3, (2,), 1), Spans(0, 0, (), 0)]
    advantages = by_sentences(graded, found, 2, 7)
    assert advantages.tolist() == [
        [0, 0, 0.25, -0.75, -0.75, 0, 0],
        [0, 0.25, 0.25, 0.25, 0, 0, 0],
        [0] * 7,
        [0] * 7,
    ]


def test_a_sentence_that_is_said_again_counts_as_false() -> None:
    graded = [[Sentence("a", "true"), Sentence("a", "repeated")], [Sentence("x", "foreign")]]
    found = [Spans(0, 3, (1, 2), 0), Spans(0, 2, (1,), 0)]
    advantages = by_sentences(graded, found, 2, 3)
    third = torch.tensor(1 / 3)
    assert torch.allclose(
        advantages, torch.stack([1 - third, -third, 0 * third, -third, 0 * third, 0 * third]).view(2, 3)
    )


def test_groups_without_a_sentence_teach_nothing() -> None:
    assert by_sentences([[], []], [Spans(0, 0, (), 0)] * 2, 2, 3).tolist() == [[0] * 3] * 2
