"""Games as environments of VAGEN.

The other side here: the loops below, written anew after VAGEN's two history policies (a growing
conversation; the system prompt and the present observation alone) and after what its adapter does with a
step: marks of pictures are counted, `truncated` is read from the details, a vector of rewards has the length
of the reply. Tokens are those of a real tokenizer. VAGEN itself needs verl and a GPU; where the variable
VAGEN names a checkout of mll-lab-nu/VAGEN, its own base class is tried as well.
"""

import asyncio
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vlm_gym.adapters.play import begin
from vlm_gym.adapters.vagen import VagenEnv
from vlm_gym.prompt import solution

ROW = {"game": "2048", "perception": 1, "reasoning": 1, "turns": 4}
WEIGHTS = {"game": 1.0, "format": 0.1, "perception": 0.5, "thought": 0.25}


def content(obs: dict) -> list:
    """Cut an observation at its marks, as VAGEN does: their number must be that of the pictures."""
    pictures = list(obs.get("multi_modal_input", {}).get("<image>", []))
    pieces = [piece for piece in re.split("(<image>|<video>)", obs["obs_str"]) if piece]
    assert pieces.count("<image>") == len(pictures)
    assert "<video>" not in pieces
    return [pictures.pop(0) if piece == "<image>" else piece for piece in pieces]


async def episode(config: dict, policy, seed: int, concat: bool) -> tuple[list, list, list, dict]:
    """Play an episode. Returns what each reply was shown, the replies, rewards, and the last details."""
    env = VagenEnv(config)
    obs, _ = await env.reset(seed=seed)
    system = {"role": "system", "content": content(await env.system_prompt())}
    past: list = []
    shown, replies, rewards = [], [], []
    done = False
    while not done:
        user = {"role": "user", "content": content(obs)}
        shown.append([system, *past, user])
        replies.append(policy(env._session))
        if concat:
            past += [user, {"role": "assistant", "content": replies[-1]}]
        obs, reward, done, info = await env.step(replies[-1])
        rewards.append(reward)
    await env.close()
    return shown, replies, rewards, info


def solved(session) -> str:
    return solution(session.run.game, session.run.state)


@pytest.mark.parametrize("concat", [True, False])
def test_both_policies_play_the_episode_of_the_core(concat):
    shown, replies, rewards, info = asyncio.run(episode(ROW, solved, 5, concat))
    session = begin({**ROW, "index": 5})
    for turn, (messages, reply, reward) in enumerate(zip(shown, replies, rewards, strict=True)):
        assert messages[0]["content"] == [session.text]
        assert np.array_equal(np.asarray(messages[-1]["content"][0]), session.frame())
        assert messages[-1]["content"][1:] == ([] if not turn else [f"\n{session.words}"])
        assert len(messages) == (2 * turn + 2 if concat else 2)
        assert reward == session.answer(reply).reward
    assert info["truncated"] == (not session.run.state.over)
    assert info["success"] == session.success


def test_an_end_of_the_game_is_no_truncation():
    _, _, _, info = asyncio.run(episode({"game": "swap", "reasoning": 0}, solved, 0, True))
    assert (info["success"], info["truncated"]) == (True, False)


def test_equal_seeds_begin_alike_and_without_one_the_configuration_decides():
    async def first(config, seed):
        obs, _ = await VagenEnv(config).reset(seed=seed)
        return obs["multi_modal_input"]["<image>"][0]

    async def all_of_them():
        return [await first(ROW, seed) for seed in (3, 3, 4)] + [await first({**ROW, "index": 4}, None)]

    one, same, other, configured = asyncio.run(all_of_them())
    assert one == same != other == configured


@pytest.mark.parametrize(
    "reply", ["", "<answer><image></answer>", "<answer><video> <image></answer>", None, 3]
)
def test_no_reply_breaks_the_episode_or_counts_as_a_picture(reply):
    async def run():
        env = VagenEnv(ROW)
        await env.reset(seed=1)
        obs, reward, done, info = await env.step(reply)
        assert len([piece for piece in content(obs) if not isinstance(piece, str)]) == 1
        assert reward < 0
        assert not done
        assert info["error"]
        for _ in range(5):  # also after the end
            obs, reward, done, info = await env.step("")
            content(obs)
        assert (reward, done, info["truncated"]) == (0.0, True, True)

    asyncio.run(run())


@pytest.fixture(scope="module")
def tokenizer():
    pytest.importorskip("transformers")
    from vlm_gym.trainers.models.tiny import configure_model

    return configure_model([("2048", "1")])[1].tokenizer


def rewarded(tokenizer, reply: str, end: str = ""):
    """Play one reply with its tokens: they, the vector, and the reward terms."""

    async def run():
        env = VagenEnv({**ROW, "weights": WEIGHTS})
        await env.reset(seed=5)
        ids = tokenizer(reply + end)["input_ids"]
        _, reward, _, info = await env.step(reply, response_token_ids=ids, tokenizer=tokenizer)
        return ids, reward, info

    return asyncio.run(run())


def test_a_reward_lies_on_the_tokens_that_earned_it(tokenizer):
    session = begin({**ROW, "index": 5})
    reply = solved(session)
    ids, reward, info = rewarded(tokenizer, reply, "<|im_end|>")
    assert len(reward) == len(ids)
    assert sum(reward) == pytest.approx(sum(WEIGHTS[name] * info[f"reward/{name}"] for name in WEIGHTS))
    assert info["reward/perception"] == info["format_correct"] == 1.0
    paid = [number for number, value in enumerate(reward[:-1]) if value]
    words = tokenizer.decode([ids[number] for number in paid])
    seen, thought = re.search("<perception>(.*)</perception><think>(.*)</think>", reply, re.S).groups()
    assert words == seen + thought
    look = [number for number in paid if reward[number] == reward[paid[0]]]
    assert sum(reward[number] for number in look) == pytest.approx(0.5)
    assert tokenizer.decode([ids[number] for number in look]) == seen
    # The last token has the rest, though it is no text.
    rest = info["reward/game"] + 0.1 * info["reward/format"]
    assert reward[-1] == pytest.approx(rest)


@pytest.mark.parametrize("reply", ["left", "<answer>left</answer>", "<perception>no end", "</think><think>"])
def test_without_sections_all_stands_at_the_last_token(tokenizer, reply):
    ids, reward, info = rewarded(tokenizer, reply)
    assert len(reward) == len(ids)
    assert not any(reward[:-1])
    assert reward[-1] == pytest.approx(sum(WEIGHTS[name] * info[f"reward/{name}"] for name in WEIGHTS))


def test_a_reply_without_a_token_has_one_reward(tokenizer):
    _, reward, _ = rewarded(tokenizer, "")
    assert reward < 0


def test_a_configuration_that_is_not_possible_is_one_line():
    with pytest.raises(ValueError, match="did you mean '2048'") as caught:
        VagenEnv({"game": "2049"})
    assert "\n" not in str(caught.value)


def load(path: Path, package: str):
    """Import one module of a checkout by its path, with its folder as a package."""
    spec = importlib.util.spec_from_file_location(package, path.parent / "__init__.py")
    sys.modules[package] = importlib.util.module_from_spec(spec)
    sys.modules[package].__path__ = [str(path.parent)]
    return importlib.import_module(f"{package}.{path.stem}")


@pytest.mark.adapters
def test_the_base_class_of_vagen_finds_all_of_its_methods():
    if "VAGEN" not in os.environ:
        pytest.skip("the variable VAGEN names no checkout of mll-lab-nu/VAGEN")
    base = load(Path(os.environ["VAGEN"]) / "vagen/envs/gym_image_env.py", "vagen_envs").GymImageEnv

    class Both(VagenEnv, base):
        pass

    env = Both(env_config=ROW)  # an abstract method that is missing would raise TypeError
    for name in base.__abstractmethods__:
        ours = inspect.signature(getattr(VagenEnv, name)).parameters
        theirs = inspect.signature(getattr(base, name)).parameters
        assert list(ours)[: len(theirs)] == list(theirs)
        assert inspect.iscoroutinefunction(getattr(env, name))


def test_the_example_plays():
    command = [sys.executable, str(Path(__file__).parents[1] / "examples" / "vagen_env.py"), "--steps", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("reward") == 2
