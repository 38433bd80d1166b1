"""A person walks through a suite: whole episodes, no hint and no undo, in several sittings."""

import subprocess
import sys
from pathlib import Path

import pytest

from vlm_gym.episode import Episode
from vlm_gym.evaluation.suite import suite
from vlm_gym.play.session import Session
from vlm_gym.play.walk import Walk
from vlm_gym.recordings.record import read
from vlm_gym.render import draw, look
from vlm_gym.replays.replay import plays, verify
from vlm_gym.report.runs import find_runs

EPISODES = [
    Episode("2048", "level=0,size=128", "0", "test", 0),
    Episode("swap", "4", "0", "test", 0),
    Episode("2048", "0", "0", "test", 1),
]


def play_to_the_end(session: Session) -> None:
    while not session.run.ended:
        session.play(session.run.legal[0])


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "me.jsonl"


def test_the_episodes_of_a_suite_come_in_their_order_each_to_its_end(record):
    with Walk(EPISODES, record) as walk:
        for number, episode in enumerate(EPISODES, 1):
            assert walk.episode == episode
            assert walk.deal.startswith(f"episode {number} of 3")
            walk.next()
            assert walk.episode == episode, "no episode is left out"
            assert "to its end" in walk.note.text
            play_to_the_end(walk)
            assert "next episode" in walk.note.text
            walk.next()
        assert "last episode" in walk.note.text
    assert [play.episode for play in plays(record)] == EPISODES
    assert verify(record).problems == []
    assert set(find_runs([record]).played["human"]) == set(EPISODES)


def test_there_is_neither_hint_nor_undo(record):
    with Walk(EPISODES, record) as walk:
        assert set(walk.commands) == {"n"}


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_it_goes_on_where_it_was_left(turns, record):
    with Walk(EPISODES, record) as walk:
        play_to_the_end(walk)
        walk.next()
        for number in range(turns):
            walk.play("nonsense" if number == 1 else walk.run.legal[0])
        state, left, frame = walk.run.state, walk.turns_left, walk.frame.copy()
    with record.open("ab") as file:
        file.write(b'{"version":1,"episode":{"ga')
    with Walk(EPISODES, record) as walk:
        assert (walk.episode, walk.run.state, walk.turns_left) == (EPISODES[1], state, left)
        assert (walk.frame == frame).all()
        play_to_the_end(walk)
    assert verify(record).problems == []
    assert [play.ended for play in plays(record)] == [True, True]
    assert len(list(read(record))) == sum(len(play.turns) for play in plays(record))


def test_a_recording_that_holds_all_is_told(record):
    with Walk(EPISODES[:1], record) as walk:
        play_to_the_end(walk)
    with pytest.raises(ValueError, match="holds all 1 episodes"):
        Walk(EPISODES[:1], record)


def test_what_others_played_does_not_count(record):
    with Session("2048", 0, 0, 0, record) as session:
        play_to_the_end(session)
    with Walk(EPISODES, record) as walk:
        assert walk.deal.startswith("episode 1 of 3")


def test_the_picture_is_that_of_the_episode_and_the_window_takes_the_largest(record):
    with Walk(EPISODES, record) as walk:
        assert walk.size == 448
        assert walk.frame.shape == (128, 128, 3)
        play_to_the_end(walk)
        walk.next()
        state = walk.run.state
        assert (walk.frame == draw(walk.game.scene(state), look("4"), state.seed, state.turn)).all()


def command(*arguments: object, lines: str = "") -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-c", "from vlm_gym.cli import main; main()", "play"]
    return subprocess.run(
        [*start, *map(str, arguments)], input=lines, capture_output=True, text=True, timeout=60
    )


def test_the_command_walks_through_a_suite_by_its_name(record):
    done = command("--suite", "quick", "--record", record, "--terminal", lines="h\nn\nleft\nq\n")
    assert (done.returncode, done.stderr) == (0, "")
    first = suite("quick").episodes()[0]
    assert f"episode 1 of {len(suite('quick').episodes())}" in done.stdout
    assert "n: next episode, q: leave" in done.stdout
    assert "'h' is not a legal action" in done.stdout
    assert {turn.episode for turn in read(record)} == {first}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--suite", "quick"), "needs --record"),
        (("2048", "--suite", "quick", "--record", "x.jsonl"), "leave out GAME, -p, -r and --seed"),
        (("--suite", "quick", "-p", "3", "--record", "x.jsonl"), "leave out GAME, -p, -r and --seed"),
        (("--suite", "quik", "--record", "x.jsonl"), "did you mean 'quick'"),
        ((), "name a game"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments, says):
    done = command(*arguments, "--terminal")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert says in line
