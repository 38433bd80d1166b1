"""Processes that do tasks: in order, whatever happens to one of them, and never without their parent."""

import logging
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from threading import Lock, Thread

import pytest

from vlm_gym.worker_process import Lost, ask
from vlm_gym.workers import AHEAD, Processes, pool


def double(number):
    time.sleep(0.02 * (number % 3))
    return 2 * number


def once(folder, number, deed):
    """Do a deed in the first process that comes to this task, and the task in the next one."""
    mark = folder / str(number)
    if not mark.exists():
        mark.touch()
        deed()
    return number


def on_third(deed, folder, number):
    return once(folder, number, deed) if number == 2 else number


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def stop():
    os.kill(os.getpid(), signal.SIGSTOP)


def spin():
    while True:
        pass


def die_on(victim, number):
    if number == victim:
        die()
    return number


def divide(number):
    return 6 / number


class Odd(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")
        self.lock = Lock()


def raise_odd(number):
    raise Odd(1, 2)


def give_a_lock(number):
    return Lock()


def ask_twice(number):
    return ask(number) + ask(10 * number)


def pid(number):
    return os.getpid()


@pytest.mark.parametrize("size", [1, 3])
def test_results_come_in_the_order_of_the_tasks_whatever_the_number_of_processes(size):
    assert list(Processes(size).map(double, range(20))) == [2 * number for number in range(20)]


def test_no_tasks_start_no_process():
    assert list(Processes(2).map(double, [])) == []


def test_processes_are_kept_from_task_to_task():
    assert len(set(Processes(2).map(pid, range(10)))) <= 2


@pytest.mark.parametrize(
    ("deed", "told"), [(die, "got signal 9"), (stop, "silent for 2 seconds"), (spin, "silent for 2 seconds")]
)
def test_a_killed_or_hung_process_is_replaced_and_nothing_is_lost_or_doubled(tmp_path, caplog, deed, told):
    with caplog.at_level(logging.WARNING):
        results = list(Processes(2, limit=2).map(partial(on_third, deed, tmp_path), range(8)))
    assert results == list(range(8))
    (record,) = caplog.records
    assert told in record.message
    assert "over 2; doing it again" in record.message


def test_a_task_that_ends_three_processes_is_given_up_by_name_behind_the_results_before_it(caplog):
    results = Processes(2).map(partial(die_on, 3), range(8))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(Lost, match=r"3 processes ended over the same task, 3; the last: .* got signal 9"):
        next(results)
    assert len(caplog.records) == 2


def test_an_exception_arrives_with_its_type_and_traceback_behind_the_results_before_it():
    results = Processes(2).map(divide, [1, 2, 0, 3])
    assert [next(results), next(results)] == [6, 3]
    with pytest.raises(ZeroDivisionError, match="division by zero") as caught:
        next(results)
    (note,) = caught.value.__notes__
    assert "return 6 / number" in note


def test_an_exception_that_cannot_travel_arrives_as_its_traceback():
    with pytest.raises(RuntimeError, match=r"(?s)raise_odd.*Odd: 1 and 2"):
        list(Processes(1).map(raise_odd, [0]))


def test_a_result_that_cannot_travel_is_an_exception():
    with pytest.raises((TypeError, RuntimeError), match="cannot pickle"):
        list(Processes(1).map(give_a_lock, [0]))


def test_a_slow_reader_stops_the_work():
    begun = []

    def tasks():
        for number in range(1000):
            begun.append(number)
            yield number

    results = Processes(2).map(double, tasks())
    assert next(results) == 0
    time.sleep(0.5)
    assert next(results) == 2
    assert len(begun) <= 2 * AHEAD + 1
    results.close()


def test_time_that_the_reader_takes_is_not_held_against_the_processes(caplog):
    results = []
    for number in Processes(2, limit=2).map(double, range(12)):
        results.append(number)
        if number in (0, 10):
            time.sleep(2.5)
    assert results == [2 * number for number in range(12)]
    assert caplog.records == []


def test_tasks_ask_their_parent_which_answers_all_that_wait_at_once(caplog):
    batches = []

    def answer(questions):
        batches.append(len(questions))
        time.sleep(0.3)  # long enough for the others to get in line
        return [question + 1 for question in questions]

    results = Processes(3, limit=5).map(ask_twice, range(12), answer)
    assert list(results) == [11 * number + 2 for number in range(12)]
    assert sum(batches) == 24
    assert max(batches) > 1


def test_an_error_of_the_one_who_answers_ends_the_map():
    def answer(questions):
        raise MemoryError("no room on the device")

    with pytest.raises(MemoryError, match="no room"):
        list(Processes(2).map(ask_twice, range(4), answer))


def test_a_map_that_is_closed_ends_its_processes():
    results = Processes(2).map(pid, range(100))
    process = next(results)
    assert alive(process)
    results.close()
    assert not alive(process)


@pytest.mark.parametrize(("size", "limit"), [(0, 1.0), (-1, 1.0), (1, 0.0)])
def test_impossible_pools_are_refused(size, limit):
    with pytest.raises(ValueError, match="is not possible"):
        Processes(size, limit)


def test_a_number_of_processes_is_a_pool_but_for_none():
    assert pool(0) is None
    assert pool(3) == Processes(3)
    assert pool(Processes(2, 5)) == Processes(2, 5)


SCRIPT = """
import os, time
from vlm_gym.workers import Processes

def dawdle(number):
    os.write(1, f"{os.getpid()}\\n".encode())  # in one piece, whoever else writes
    time.sleep(60)

if __name__ == "__main__":
    list(Processes(2).map(dawdle, range(4)))
"""


@pytest.fixture
def script(tmp_path):
    """A program with two busy processes, as the foreground job of a terminal of its own."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    job = subprocess.Popen(
        [sys.executable, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert job.stdout is not None
    processes = [int(job.stdout.readline()) for _ in range(2)]
    yield job, processes
    for process in (job.pid, *processes):
        if alive(process):
            os.kill(process, signal.SIGKILL)
    job.communicate()


def alive(process):
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def gone(processes, seconds=5.0):
    deadline = time.monotonic() + seconds
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, processes))


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found under /proc")


@linux
def test_an_interrupt_from_the_keyboard_ends_all_processes_at_once(script):
    job, processes = script
    os.killpg(job.pid, signal.SIGINT)
    _, errors = job.communicate(timeout=5)
    assert gone(processes, 0.5)
    assert errors.count("KeyboardInterrupt") == 1


@linux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_their_parent_however_it_ends(script, number):
    job, processes = script
    os.kill(job.pid, number)
    assert gone([job.pid, *processes])


def test_a_script_without_a_main_guard_is_told_what_it_needs(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.replace('if __name__ == "__main__":', "if True:"))
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "if __name__ == '__main__':" in done.stderr
    assert "3 processes ended over the same task" in done.stderr


def test_maps_in_several_threads_do_not_meet():
    results = {}
    threads = [
        Thread(
            target=lambda start=start: results.update(
                {start: list(Processes(1).map(double, range(start, 9)))}
            )
        )
        for start in (0, 3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {start: [2 * number for number in range(start, 9)] for start in (0, 3)}
