"""Groups of replies: the order of replies, their number and their process never change a reward."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_gym.registry import find
from vlm_gym.rollouts.reward import fork, fork_all
from vlm_gym.rollouts.states import Mixture, sample

GAMES = ("2048", "swap", "shisen_sho")


def states(game: str, count: int = 12) -> list:
    mixture = Mixture(game=game, reasoning="1", fresh=1, walk=3, moves=5)
    return [state for _, state, _ in sample(count, [mixture], 4)]


POSITIONS = [(find(game), state) for game in GAMES for state in states(game)]


@st.composite
def groups(draw):
    """A game, a state, and replies to it: legal, illegal, unreadable, with and without other sections."""
    game, state = draw(st.sampled_from(POSITIONS))
    action = st.sampled_from(game.legal(state)) | st.sampled_from(game.actions(state.knobs)) | st.text()
    reply = st.tuples(st.sampled_from(["", "<think>so</think>", "<answer>left</answer>"]), action).map(
        lambda parts: f"{parts[0]}<answer>{parts[1]}</answer>"
    )
    return game, state, draw(st.lists(reply | st.text(), max_size=12))


@given(groups(), st.randoms(use_true_random=False))
def test_neither_order_nor_number_of_replies_changes_a_step(group, random):
    game, state, replies = group
    alone = {reply: fork(game, state, [reply])[0] for reply in replies}
    assert fork(game, state, replies) == [alone[reply] for reply in replies]
    shuffled = replies * 2
    random.shuffle(shuffled)
    assert fork(game, state, shuffled) == [alone[reply] for reply in shuffled]


@given(groups())
def test_a_reply_earns_what_its_action_earns_or_the_price_of_none(group):
    game, state, replies = group
    for reply, step in zip(replies, fork(game, state, replies), strict=True):
        if step.state == state:
            assert (step.reward, step.score) == (game.illegal(state.knobs), 0.0)
            assert step.event
        else:
            assert step.state.turn == state.turn + 1
            words = reply.split("<answer>")[-1].removesuffix("</answer>")
            assert step == game.step(state, game.read(words, state))


@settings(max_examples=3, deadline=None)
@given(st.data())
def test_processes_change_no_step_of_a_batch(data):
    game = data.draw(st.sampled_from([find(name) for name in GAMES]))
    batch = [state for owner, state in POSITIONS if owner is game]
    replies: list[Sequence[str]] = [
        data.draw(st.lists(st.sampled_from([f"<answer>{word}</answer>" for word in game.legal(state)])))
        for state in batch
    ]
    here = [fork(game, state, group) for state, group in zip(batch, replies, strict=True)]
    assert fork_all(game, batch, replies) == here
    assert fork_all(game, batch, replies, workers=2) == here


@pytest.mark.parametrize("workers", [0, 2])
def test_an_empty_batch_has_no_steps(workers):
    assert fork_all(find("2048"), [], [], workers) == []


def test_states_and_replies_that_do_not_pair_up_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        fork_all(find("2048"), states("2048", 3), [["left"]])
