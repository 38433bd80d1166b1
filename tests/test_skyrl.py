"""Games as environments of SkyRL, made by skyrl-gym's own `make` and averaged by its own metrics."""

import base64
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from overhead import LIMIT, added
from PIL import Image

pytest.importorskip("skyrl_gym")

import skyrl_gym
from skyrl_gym.metrics import aggregate_for_environment

from vlm_gym.adapters.play import begin
from vlm_gym.adapters.skyrl import ENV_CLASS, register, rows
from vlm_gym.prompt import solution

pytestmark = pytest.mark.adapters
ROW = {"game": "2048", "perception": 1, "reasoning": 1, "index": 3, "env_class": ENV_CLASS, "prompt": []}


def make(**row):
    register()
    return skyrl_gym.make(ENV_CLASS, env_config={}, extras={**ROW, **row})


def picture(message) -> np.ndarray:
    url = message["content"][0]["image_url"]["url"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def test_an_episode_is_that_of_the_core():
    env, session = make(max_turns=6), begin({**ROW, "turns": 6})
    messages, _ = env.init([{"role": "user", "content": "placeholder"}])
    done = False
    while not done:
        (message,) = messages
        assert message == session.message()
        assert np.array_equal(picture(message), session.frame())
        reply = solution(session.run.game, session.run.state) if env.turns % 2 else "no answer"
        answered = session.answer(reply)
        output = env.step(reply)
        assert (output["reward"], output["done"]) == (answered.reward, answered.done)
        assert output["metadata"]["perception"] == answered.terms["perception"]
        messages, done = output["observations"], output["done"]
    assert messages == []
    assert env.turns == len(session.turns) == 6
    metrics = env.get_metrics()
    assert metrics == {"turns": 6.0, "return": sum(session.rewards), "success": 0.0, "legal": 0.5}
    env.close()


def test_members_of_a_group_start_alike_and_other_rows_do_not():
    first, second, other = (make(**row).init([])[0] for row in ({}, {}, {"index": 4}))
    assert first == second != other


def test_the_lower_of_the_two_turn_limits_counts():
    assert make(turns=3, max_turns=5).max_turns == 3
    assert make(turns=5, max_turns=3).max_turns == 3
    assert make().max_turns == begin(ROW).row.turns


@pytest.mark.parametrize("reply", ["", None, 3, "<answer>fly</answer>"])
def test_a_bad_reply_is_a_turn_lost_and_one_after_the_end_nothing(reply):
    env = make(max_turns=1)
    env.init([])
    output = env.step(reply)
    assert output["reward"] < 0
    assert output["done"]
    again = env.step("<answer>left</answer>")
    assert (again["reward"], again["done"], again["observations"]) == (0.0, True, [])
    assert env.turns == 1


def test_metrics_are_averaged_by_skyrl():
    made = [make(game="swap", reasoning=0, index=index) for index in range(2)]
    for env in made:
        env.init([])
        while not env.step(solution(env._session.run.game, env._session.run.state))["done"]:
            pass
    averaged = aggregate_for_environment(ENV_CLASS, [env.get_metrics() for env in made])
    assert averaged["success"] == averaged["legal"] == 1.0
    assert averaged["turns"] == sum(env.turns for env in made) / 2


def test_a_row_that_is_not_possible_is_one_line():
    with pytest.raises(ValueError, match="did you mean '2048'") as caught:
        make(game="2049")
    assert "\n" not in str(caught.value)


def test_rows_name_their_episodes():
    told = rows(["2048", "swap"], 2, reasoning=0)
    assert [(row["game"], row["index"]) for row in told] == [
        ("2048", 0),
        ("swap", 0),
        ("2048", 1),
        ("swap", 1),
    ]
    for row in told:
        env = skyrl_gym.make(row["env_class"], env_config=None, extras={**row, "max_turns": 2})
        assert env.init(row["prompt"])[0]


def test_the_example_plays():
    command = [sys.executable, str(Path(__file__).parents[1] / "examples" / "skyrl_env.py"), "--steps", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("reward") == 2


def test_the_adapter_adds_less_than_a_millisecond_to_a_turn():
    def begin_turns(row):
        env = make(**row)
        env.init([])
        return lambda: env.step(f"<answer>{env._session.run.legal[0]}</answer>")

    assert added("skyrl", begin_turns) < LIMIT
