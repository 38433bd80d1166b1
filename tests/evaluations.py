"""Small evaluations, of endpoints and by the command."""

import json
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path

from endpoints import said

from vlm_gym.evaluation.evaluate import Evaluation
from vlm_gym.evaluation.run_folder import folder
from vlm_gym.evaluation.suite import Part, Suite

SMALL = Suite(part=(Part(games=("2048", "swap"), perception=("0", "2"), reasoning=("0",), episodes=3),))


COMMAND = Path(sys.executable).with_name("vlm-gym")


def vlm_gym(*words, **options):
    """Run the command to its end."""
    return subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True, timeout=300, **options)


def begin(*words):
    """Start the command, to be stopped on its way."""
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([COMMAND, *map(str, words)], **pipes)


def turns(out, policy):
    return (folder(out, policy) / "turns.jsonl").read_bytes()


def any_move(body):
    """Reply as a model without a plan does: by the picture, and always the same to the same one."""
    shown = json.dumps(body["messages"]).encode()
    moves = ("left", "up", "right", "down", "sideways")
    return said(f"<answer>{moves[blake2b(shown).digest()[0] % 5]}</answer>")


def model(url, games=("2048",), episodes=8, **limits):
    """A model that plays, without the baselines."""
    part = Part(games=games, reasoning=("0",), episodes=episodes)
    options = {"base_url": url, "retries": 0, "concurrency": 2}
    asked = {"suite": Suite(part=(part,)), "policies": ["openai:m"], "baselines": False, "options": options}
    return Evaluation(**asked, **limits)
