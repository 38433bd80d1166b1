"""Which tokens answer for what."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from vlm_gym.trainers.advantages import by_group  # noqa: E402
from vlm_gym.trainers.sections import perception_lengths  # noqa: E402

SHORT, LONG = "<perception>aa</perception>", "<perception>aaaaaaa</perception>"
PIECES = ("<perception>", "</perception>", "a", " ", "<answer>up</answer>")


class Letters:
    """A tokenizer of one token a letter."""

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


def ids(words: str) -> list[int]:
    return [ord(letter) for letter in words]


def test_the_perception_ends_with_the_last_token_of_its_tag() -> None:
    sight = "<perception>2 | 4</perception>"
    assert perception_lengths(Letters(), [ids(f"{sight}<answer>up</answer>"), ids(sight)]) == [len(sight)] * 2


def test_a_reply_without_a_whole_perception_answers_for_the_rest_alone() -> None:
    assert perception_lengths(Letters(), [ids("<answer>up</answer>"), ids("<perception>2 | 4"), []]) == [
        0,
        0,
        0,
    ]


def test_what_comes_before_a_perception_never_answers_for_it() -> None:
    late = "<answer>up</answer><perception>2 | 4</perception>"
    assert perception_lengths(Letters(), [ids(late), ids("<answer>up</answer></perception>")]) == [0, 0]


@example(
    [[SHORT], [LONG], [SHORT, "aaaaa"], [SHORT, "aaaaaa"]]
)  # as long as the longer sight, and on from there
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=7), max_size=6))
def test_what_other_replies_are_there_changes_no_count(pieces: list[list[str]]) -> None:
    replies = [ids("".join(each)) for each in pieces]
    assert perception_lengths(Letters(), replies) == [
        perception_lengths(Letters(), [reply])[0] for reply in replies
    ]


def test_advantages_compare_the_replies_of_one_group() -> None:
    rewards = torch.tensor([1.0, 0.0, 5.0, 5.0])
    assert by_group(rewards, 2, scaled=False).tolist() == [0.5, -0.5, 0.0, 0.0]
    scaled = by_group(rewards, 2, scaled=True)
    assert scaled[:2].std() == pytest.approx(1.0, abs=1e-3)
    assert scaled[2:].tolist() == [0.0, 0.0]
