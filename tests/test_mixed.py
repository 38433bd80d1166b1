"""Mixed games by replies, and the processes that play them: killed, stopped, interrupted and abandoned."""

import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path

import gymnasium as gym
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from test_vector import SHORT, same
from vlm_gym.games._2048.game import Game2048
from vlm_gym.games._2048.knobs import Knobs2048

import vlm_gym
from vlm_gym.envs.mixed import TextVectorEnv
from vlm_gym.envs.single import GameEnv
from vlm_gym.envs.text import TextEnv
from vlm_gym.game import Board, Step
from vlm_gym.worker_process import Lost

GAMES = ["2048", "swap", "shisen_sho"]
STEPS = 14


def replies(infos: dict, turn: int) -> list[str]:
    """Reply to each environment: mostly with a legal action, now and then with none or with nonsense."""
    said = []
    for index, legal in enumerate(infos["legal"]):
        kind = (index + turn) % 5
        said.append("hm" if kind == 0 or not legal else f"<answer>{legal[turn % len(legal)]}</answer>")
    return said


def play(
    envs: TextVectorEnv, steps: int = STEPS, before: Callable[[int], object] = lambda turn: None
) -> list:
    """Play a fixed game; list all that was observed."""

    def kept(obs: dict, *rest: object) -> tuple:
        return obs["image"].copy(), obs["text"], *rest

    seen = [kept(*envs.reset(seed=5))]
    for turn in range(steps):
        before(turn)
        seen.append(kept(*envs.step(replies(seen[-1][-1], turn))))
        ended = seen[-1][3] | seen[-1][4]
        if envs.metadata["autoreset_mode"] is AutoresetMode.DISABLED and ended.any():
            seen.append(kept(*envs.reset(options={"reset_mask": ended})))
    envs.close()
    return seen


@pytest.mark.parametrize("mode", AutoresetMode)
def test_it_agrees_with_single_text_environments_in_every_autoreset_mode(mode: AutoresetMode) -> None:
    ours = vlm_gym.make_vec("2048", 4, **SHORT, autoreset_mode=mode)
    theirs = SyncVectorEnv([lambda: TextEnv(GameEnv("2048", **SHORT))] * 4, autoreset_mode=mode)
    wanted, found = play(theirs), play(ours)
    for one in wanted:
        for infos in (one[-1], one[-1].get("final_info", {})):
            infos.pop("action_mask", None)
            infos.pop("_action_mask", None)
    assert same(found, wanted)
    assert sum(int((step[3] | step[4]).sum()) for step in found[1:] if len(step) == 6) >= 8


@pytest.mark.parametrize(
    ("mode", "numbers"), [("NextStep", (1, 2, 7)), ("SameStep", (2,)), ("Disabled", (2,))]
)
def test_results_do_not_depend_on_the_number_of_processes(mode: str, numbers: tuple) -> None:
    def make(workers: int) -> TextVectorEnv:
        return vlm_gym.make_vec(GAMES, 8, workers, perception=1, reasoning={"turns": 6}, autoreset_mode=mode)

    wanted = play(make(0))
    for workers in numbers:
        assert same(play(make(workers)), wanted), workers
    assert active_children() == []


def test_games_take_turns_and_spaces_hold_what_is_given() -> None:
    envs = vlm_gym.make_vec(GAMES, 4, **SHORT)
    assert [game.name for game in envs.games] == [*GAMES, "2048"]
    obs, infos = envs.reset(seed=0)
    assert obs in envs.observation_space
    assert {key: value[0] for key, value in obs.items()} in envs.single_observation_space
    assert tuple(replies(infos, 1)) in envs.action_space
    assert obs["text"][0] == obs["text"][3] != obs["text"][1]
    assert "action_mask" not in infos


def test_a_text_may_be_a_lost_turn_but_must_be_a_text_for_each_environment() -> None:
    envs = vlm_gym.make_vec("2048", 2, **SHORT)
    envs.reset(seed=0)
    *_, infos = envs.step(["<answer>jump</answer>", "I see nothing"])
    assert [reply.fault for reply in infos["reply"]] == ["illegal", "format"]
    assert infos["turns_left"].tolist() == [5, 5]
    for wrong in ("up", ["<answer>up</answer>"]):
        with pytest.raises(ValueError, match="2 environments need a list of as many replies"):
            envs.step(wrong)


def test_it_goes_on_from_states_of_each_environments_game() -> None:
    envs = vlm_gym.make_vec(GAMES[:2], 2, **SHORT)
    states = [game.start(7, game.settle(SHORT["reasoning"])) for game in envs.games]
    _, infos = envs.reset(options={"state": states})
    assert infos["truth"].tolist() == [
        game.scene(state).describe() for game, state in zip(envs.games, states, strict=True)
    ]
    with pytest.raises(ValueError, match="is not a state of"):
        envs.reset(options={"state": states[::-1]})


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"games": []}, r"games=\[\] is not possible"),
        ({"games": ["chess"]}, "unknown game 'chess'"),
        ({"num_envs": 0}, "num_envs=0 is not possible"),
        ({"workers": -1}, "workers=-1"),
        ({"workers": 1, "timeout": 0}, "timeout=0"),
        ({"reasoning": "papper"}, "unknown reasoning level 'papper'"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_choices(options: dict, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        vlm_gym.make_vec(**{"games": GAMES, "num_envs": 2, **options})
    assert active_children() == []


class Trap(Game2048):
    """2048 in which something happens to the process, at the third turn, until the mark is there."""

    def __init__(self, mark: Path, deed: Callable[[], object], leave_mark: bool = True) -> None:
        self.mark, self.deed, self.leave_mark = mark, deed, leave_mark

    def step(self, state: Board[Knobs2048], action: str) -> Step[Board[Knobs2048]]:
        if state.turn == 2 and not self.mark.exists():
            if self.leave_mark:
                self.mark.touch()
            self.deed()
        return super().step(state, action)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def spin() -> None:
    while True:
        pass


def fail() -> None:
    raise ArithmeticError("a game is broken")


@pytest.mark.parametrize("deed", [die, stop, spin])
def test_a_process_killed_or_hung_in_a_step_is_replaced(
    deed: Callable[[], object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = play(vlm_gym.make_vec("2048", 4, **SHORT))
    game = Trap(tmp_path / "mark", deed)
    with caplog.at_level(logging.WARNING, "vlm_gym"):
        found = play(vlm_gym.make_vec(game, 4, workers=2, timeout=20 if deed is die else 0.7, **SHORT))
    assert game.mark.exists()
    assert same(found, wanted)
    how = "got signal 9" if deed is die else "silent for 0.7 seconds"
    assert re.findall(rf"{how} over environments \d to \d; doing their step again", caplog.text)


def test_a_process_killed_while_it_waits_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    wanted = play(vlm_gym.make_vec(GAMES, 6, **SHORT))

    def kill_one(turn: int) -> None:
        if turn in (3, 9):
            (process,) = active_children()
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()

    with caplog.at_level(logging.WARNING, "vlm_gym"):
        found = play(vlm_gym.make_vec(GAMES, 6, workers=1, **SHORT), before=kill_one)
    assert same(found, wanted)
    assert caplog.text.count("doing their step again") == 2


@pytest.mark.parametrize(("deed", "kind"), [(die, Lost), (fail, ArithmeticError)])
def test_a_step_that_cannot_be_done_leaves_all_as_it_was(
    deed: Callable[[], object], kind: type, tmp_path: Path
) -> None:
    game = Trap(tmp_path / "mark", deed, leave_mark=False)
    envs = vlm_gym.make_vec(game, 2, workers=1, **SHORT)
    wanted = play(vlm_gym.make_vec("2048", 2, **SHORT), steps=3)
    _, infos = envs.reset(seed=5)
    for turn in range(2):
        *_, infos = envs.step(replies(infos, turn))
    with pytest.raises(kind) as caught:
        envs.step(replies(infos, 2))
    assert active_children() == []
    if kind is Lost:
        assert "3 processes ended over the same step of environments 0 to 1" in str(caught.value)
    game.mark.touch()
    obs, *rest = envs.step(replies(infos, 2))
    assert same((obs["image"], obs["text"], *rest), wanted[3])
    envs.close()
    with pytest.raises(gym.error.ClosedEnvironmentError):
        envs.step(replies(infos, 0))


SCRIPT = """
import sys, time
from multiprocessing import active_children
from pathlib import Path
import vlm_gym
from vlm_gym.games._2048.game import Game2048
from vlm_gym.games._2048.knobs import Knobs2048

class Slow(Game2048):
    def legal(self, state):
        time.sleep(30 * state.turn)
        return super().legal(state)

def main():
    envs = vlm_gym.make_vec(Slow(), 2, workers=2)
    obs, infos = envs.reset(seed=0)
    print(*[process.pid for process in active_children()], flush=True)
    {body}

if __name__ == "__main__":
    main()
"""


def memory() -> set[str]:
    """List the memory that processes share by name."""
    return {path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(("psm_", "pym-"))}


def alive(process: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def gone(processes: list[int], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while any(map(alive, processes)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(alive, processes))


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found under /proc")


def start(path: Path, body: str, guard: str = 'if __name__ == "__main__":') -> subprocess.Popen[str]:
    """Start a program with two processes, as the foreground job of a terminal of its own."""
    script = path / "script.py"
    script.write_text(SCRIPT.format(body=body).replace('if __name__ == "__main__":', guard))
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, script], stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


@linux
@pytest.mark.parametrize(
    "body", ["envs.close(); assert not active_children()", "del envs", "sys.exit()", "pass"]
)
def test_nothing_is_left_behind(body: str, tmp_path: Path) -> None:
    before = memory()
    job = start(tmp_path, body)
    assert job.stdout is not None
    processes = [*map(int, job.stdout.readline().split())]
    assert len(processes) == 2
    _, errors = job.communicate(timeout=20)
    assert (job.returncode, errors) == (0, "")
    assert gone(processes, 1)
    assert memory() - before == set()


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_or_killed_program_takes_its_busy_processes_along(number: int, tmp_path: Path) -> None:
    before = memory()
    job = start(tmp_path, "envs.step([f'<answer>{legal[0]}</answer>' for legal in infos['legal']])")
    assert job.stdout is not None
    processes = [*map(int, job.stdout.readline().split())]
    time.sleep(0.3)
    if number == signal.SIGINT:
        os.killpg(job.pid, number)  # as a terminal does
    else:
        job.kill()
    assert gone([job.pid, *processes], 3)
    assert job.communicate()[1].count("KeyboardInterrupt") == (number == signal.SIGINT)
    assert memory() - before == set()


def test_a_script_without_a_main_guard_is_told_what_it_needs(tmp_path: Path) -> None:
    job = start(tmp_path, "pass", guard="if True:")
    _, errors = job.communicate(timeout=30)
    assert job.returncode == 1
    assert "A script that uses processes needs `if __name__ == '__main__':`" in errors
