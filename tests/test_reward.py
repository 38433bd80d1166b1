"""Groups of replies: the order of replies, their number and their process never change a reward."""

from hypothesis import given
from hypothesis import strategies as st

from vlm_gym.registry import find
from vlm_gym.rollouts.reward import fork
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
