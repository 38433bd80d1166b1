"""Games whose actions name a column, played with the mouse: in a real window, and by the session alone."""

import pytest
from test_play import screen, sit_down, wait_for

from vlm_gym.envs.single import GameEnv
from vlm_gym.play.controller import Controller
from vlm_gym.play.session import Session
from vlm_gym.play.window import HINTED

__all__ = ["screen", "sit_down"]


def test_a_click_on_a_column_drops_a_disc(sit_down):
    person, env = sit_down("connect_four", "-s", "3"), GameEnv("connect_four")
    frame, _ = env.reset(seed=3)
    wait_for("the first picture", lambda: person.sees(frame))
    for number, cell in enumerate(["(6,2)", "(1,5)"], 1):  # any cell stands for its column
        person.click(env, cell)
        turn = person.turns(number)[-1]
        action = f"column {cell[3]}"
        assert (turn.action, turn.error) == (action, "")
        frame, *_ = env.step(env.index[action])
        wait_for("the disc", lambda now=frame: person.sees(now))


def test_a_right_click_and_the_up_key_turn_the_piece_that_a_click_drops(sit_down):
    person, env = sit_down("tetris", "-r", "4", "-s", "3"), GameEnv("tetris", reasoning="4")
    frame, info = env.reset(seed=3)
    wait_for("the first picture", lambda: person.sees(frame))
    assert "column 2 turned 1" in info["legal"]
    person.hand("click", "3")
    person.click(env, "(9,2)")
    (turn,) = person.turns(1)
    assert turn.action == "column 2 turned 1"
    frame, _, _, _, info = env.step(env.index[turn.action])
    wait_for("the piece", lambda: person.sees(frame))
    person.press("Up")
    person.click(env, "(9,1)")
    other = next(word for word in info["legal"] if not word.endswith(" 0"))
    assert person.turns(2)[-1].action == f"column 1 {other.partition(' ')[2].partition(' ')[2]}"


def test_a_hint_frames_its_column(sit_down):
    person = sit_down("connect_four")
    env = GameEnv("connect_four")
    frame, _ = env.reset(seed=0)
    wait_for("the first picture", lambda: person.sees(frame))
    person.press("h")
    wait_for("the hint", lambda: person.sees_color(HINTED) and not person.sees(frame))
    session = Session("connect_four")
    session.hint()
    number = session.game.solve(session.run.state).action.removeprefix("column ")
    assert session.hinted == [f"({row},{number})" for row in range(1, 7)]


def test_turning_goes_round_through_the_ways_that_differ_and_starts_anew_after_a_turn():
    session = Session("tetris", reasoning=4, seed=3)
    ways = list(dict.fromkeys(word.partition(" turned ")[2] for word in session.run.legal))
    assert len(ways) > 1
    for way in [*ways[1:], *ways, ways[0], ways[1]]:
        session.turn()
        assert f"turned {way};" in session.note.text
    session.pick("(5,1)")
    assert session.run.event.startswith(f"{session._past[0].piece} in column 1 turned {ways[1]} ")
    session.pick("(5,1)")
    assert "column 1 turned 0" in session.run.event


def test_a_click_where_the_piece_does_not_fit_is_an_illegal_turn():
    session = Session("tetris", reasoning=4, seed=3)
    session.pick(f"(5,{session.run.scene.cols})")
    assert session.run.turns == 1
    assert session.note.about == "illegal"


@pytest.mark.parametrize("game", ["2048", "shisen_sho", "connect_four"])
def test_where_nothing_turns_the_key_does_nothing(game):
    controller = Controller(Session(game))
    note = controller.session.note
    controller.session.turn()
    assert controller.session.note == note


def test_in_breakout_the_ball_flies_on_while_a_person_does_nothing(sit_down):
    person = sit_down("breakout", "-r", "1", "-s", "1")
    person.press("Left")
    wait_for("turns without a key", lambda: person.record.read_text().count("\n") >= 3)
    person.press("Escape")
    assert person.left() == (0, "")
    turns = person.turns(person.record.read_text().count("\n"))
    assert [turn.action for turn in turns[:3]] == ["left", "stay", "stay"]
