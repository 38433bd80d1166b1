"""The tiny tokenizer writes a thought in few tokens: one for each fragment and each value."""

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

from vlm_gym.trainers.models.tiny import configure_model

from vlm_gym.prompt import solution
from vlm_gym.registry import find, names
from vlm_gym.rollouts.states import Mixture, sample
from vlm_gym.thought import fragments, parse_sentence

THINKERS = [name for name in names() if find(name).grammar]


def pieces(step: str, grammar: tuple[str, ...]) -> int:
    """Count the values of a sentence and the fragments between them; a mere space is part of a value."""
    found = parse_sentence(step, grammar)
    assert found is not None
    template, values = found
    return len(values) + sum(bool(fragment.strip()) for fragment in fragments(template))


@pytest.mark.parametrize("name", THINKERS)
def test_a_thought_takes_a_token_for_each_fragment_and_value(name: str) -> None:
    game, level = find(name), "0"
    _, processor = configure_model([(name, level)])
    tokenizer = processor.tokenizer
    taken = least = 0
    for _, state, _ in sample(30, [Mixture(game=name, reasoning=level, fresh=1, solver=1, moves=4)], 3):
        reply, thought = solution(game, state), game.think(state)
        ids = tokenizer(reply, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == reply
        tokens = tokenizer.convert_ids_to_tokens(ids)
        inside = tokens[tokens.index("<think>") + 1 : tokens.index("</think>")]
        taken += len(inside)
        least += sum(pieces(step, game.grammar) for step in thought.steps)
    # A number that no position of the tokenizer's own showed takes a token for each digit.
    assert least <= taken <= 1.05 * least
