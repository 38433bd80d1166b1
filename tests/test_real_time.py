"""Games in real time: a person who does nothing loses a turn after some time, and the first key starts it."""

import time

from test_play import screen, sit_down, wait_for

from vlm_gym.envs.single import GameEnv
from vlm_gym.play.session import Session
from vlm_gym.registry import find

__all__ = ["screen", "sit_down"]

SNAKE = find("snake")


def test_the_snake_goes_on_by_itself_once_a_person_has_begun(sit_down):
    person = sit_down("snake", "-r", "2", "-s", "7")
    env = GameEnv("snake", reasoning="2")
    env.reset(seed=7)
    time.sleep(4 * SNAKE.tick)
    assert person.record.read_text() == "", "nothing moves before the first key"
    person.press("Right")
    wait_for("turns without a key", lambda: person.record.read_text().count("\n") >= 3)
    person.press("Escape")
    assert person.left() == (0, "")
    turns = person.turns(person.record.read_text().count("\n"))
    assert {turn.action for turn in turns} == {"right"}
    for turn in turns:
        assert turn.state == env.state
        env.step(env.index["right"])


def test_waiting_does_nothing_before_the_first_turn_after_the_last_and_in_other_games():
    session = Session("snake", reasoning=2)
    session.wait()
    assert session.run.turns == 0
    session.play("right")
    while not session.run.ended:
        session.wait()
    turns = session.run.turns
    session.wait()
    assert session.run.turns == turns > 1
    other = Session("2048")
    other.play(other.run.legal[0])
    other.wait()
    assert other.run.turns == 1
