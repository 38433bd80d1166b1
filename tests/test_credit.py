"""Which tokens answer for what."""

import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from vlm_gym.trainers.advantages import by_group  # noqa: E402
from vlm_gym.trainers.sections import spans  # noqa: E402


class Letters:
    """A tokenizer of one token a letter."""

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


def ids(words: str) -> list[int]:
    return [ord(letter) for letter in words]


def perception(words: str) -> int:
    return spans(Letters(), ids(words)).perception


def test_the_perception_ends_with_the_last_token_of_its_tag() -> None:
    sight = "<perception>2 | 4</perception>"
    assert perception(f"{sight}<answer>up</answer>") == perception(sight) == len(sight)


@pytest.mark.parametrize("words", ["<answer>up</answer>", "<perception>2 | 4", ""])
def test_a_reply_without_a_whole_perception_answers_for_the_rest_alone(words: str) -> None:
    assert perception(words) == 0


@pytest.mark.parametrize(
    "words", ["<answer>up</answer><perception>2 | 4</perception>", "<answer>up</answer></perception>"]
)
def test_what_comes_before_a_perception_never_answers_for_it(words: str) -> None:
    assert perception(words) == 0


def test_advantages_compare_the_replies_of_one_group() -> None:
    rewards = torch.tensor([1.0, 0.0, 5.0, 5.0])
    assert by_group(rewards, 2, scaled=False).tolist() == [0.5, -0.5, 0.0, 0.0]
    scaled = by_group(rewards, 2, scaled=True)
    assert scaled[:2].std() == pytest.approx(1.0, abs=1e-3)
    assert scaled[2:].tolist() == [0.0, 0.0]
