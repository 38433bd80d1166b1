"""Tests that share a slow fixture run in one process: pytest and pytest-xdist agree on groups."""

import re
import subprocess
import sys

GROUPED = """
import pytest

@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("number", range(6))
def test_one_of_six(number):
    pass
"""


def test_tests_of_one_group_run_in_one_process(tmp_path):
    (tmp_path / "test_grouped.py").write_text(GROUPED)
    command = [sys.executable, "-m", "pytest", "--numprocesses", "2", "--dist", "loadgroup", "--verbose", "."]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    workers = re.findall(r"\[(gw\d)\] .* PASSED", ran.stdout)
    assert len(workers) == 6
    assert len(set(workers)) == 1
