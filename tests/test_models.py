"""Policies with a model in this process: a tiny one of a real architecture, made here."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from transformers import AutoModelForImageTextToText  # noqa: E402
from vlm_gym.trainers.models.tiny import build_model  # noqa: E402
from vlm_gym.trainers.models.transformers_policy import encode_requests  # noqa: E402

from vlm_gym.envs.single import GameEnv  # noqa: E402
from vlm_gym.episode import Episode  # noqa: E402
from vlm_gym.prompt import instructions  # noqa: E402
from vlm_gym.registry import find  # noqa: E402
from vlm_gym.render import look  # noqa: E402
from vlm_gym.rollouts.policy import PastTurn, Request, make  # noqa: E402
from vlm_gym.rollouts.rollout import rollout  # noqa: E402

TASKS = [("2048", "0"), ("swap", "0")]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights, which replies with random words, the same each time."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tiny")
    build_model(folder, TASKS)
    return folder


def request(seed: int = 3, size: int = 128, name: str = "2048", past: tuple[PastTurn, ...] = ()) -> Request:
    game = find(name)
    knobs = game.levels[0]
    return Request(game, game.start(seed, knobs), look({"size": size}), 0, instructions(game, knobs), past)


def test_a_tiny_model_is_small_and_the_same_for_a_seed(path: Path, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    build_model(tmp_path, TASKS)
    assert torch.equal(before, torch.random.get_rng_state())
    one, two = (AutoModelForImageTextToText.from_pretrained(each).state_dict() for each in (path, tmp_path))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert 0.5e6 < sum(weights.numel() for weights in one.values()) < 3e6


def test_what_a_cell_shows_starts_alike_wherever_it_stands(path: Path) -> None:
    policy = make(f"hf:{path}")
    tokenizer, table = policy.processor.tokenizer, policy.model.get_input_embeddings().weight.detach()
    ids = tokenizer.get_vocab()
    spelled = ("4", " |", " ")
    mean = sum(table[ids[tokenizer.tokenize(token)[0]]] for token in spelled) / len(spelled) ** 0.5
    assert torch.allclose(table[ids["4 | "]], mean, atol=1e-6)
    bar, end, other = (table[ids[phrase]] for phrase in ("4 | ", "4\n", "2\n"))
    assert torch.cosine_similarity(bar, end, dim=0) > torch.cosine_similarity(bar, other, dim=0) + 0.2


def test_the_model_gets_the_very_picture_and_words_of_the_environment(path: Path) -> None:
    policy = make(f"hf:{path}")
    env = GameEnv("2048", perception={"size": 128}, reasoning=0)
    observation, _ = env.reset(seed=3)
    inputs = encode_requests(policy.processor, [request()])
    pictures = policy.processor.image_processor([observation], return_tensors="pt")
    assert torch.equal(inputs["pixel_values"], pictures["pixel_values"])
    assert instructions(env.game, env.knobs) in policy.processor.batch_decode(inputs["input_ids"])[0]


@pytest.mark.parametrize("size", [64, 128, 448])
@pytest.mark.parametrize("turns", [0, 2])
def test_there_are_as_many_placeholders_as_pictures_and_features(path: Path, size: int, turns: int) -> None:
    policy = make(f"hf:{path}")
    asked = [
        request(3, size, name, (PastTurn(request(1, name=name).state, "<answer>x</answer>", "no"),) * turns)
        for name in ("2048", "swap")
    ]
    inputs = encode_requests(policy.processor, asked)
    assert len(inputs["image_grid_thw"]) == 2 * (1 + turns)
    patches = inputs["image_grid_thw"].prod(dim=1)
    assert patches.sum() == len(inputs["pixel_values"])
    token = policy.processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert (inputs["input_ids"] == token).sum() == patches.sum() // 4
    assert patches[0] == (size // 16) ** 2  # a visual token for every 32 x 32 pixels


def test_greedy_replies_do_not_depend_on_the_batch(path: Path) -> None:
    asked = [request(seed, name=name) for seed in range(3) for name in ("2048", "swap")]
    replies = make(f"hf:{path}", max_tokens=12).act(asked)
    assert replies == make(f"hf:{path}", max_tokens=12, batch=1).act(asked)
    assert [reply.usage["tokens_in"] for reply in replies[:1]] == [len(_ids(path, asked[0]))]
    assert all(0 < reply.usage["tokens"] <= 12 for reply in replies)


def _ids(path: Path, asked: Request) -> np.ndarray:
    return np.asarray(encode_requests(make(f"hf:{path}").processor, [asked])["input_ids"][0])


def test_sampled_replies_are_the_same_for_a_seed_and_leave_the_generator_alone(path: Path) -> None:
    before = torch.random.get_rng_state()
    asked = [request(seed) for seed in range(3)]
    one, two, other = (
        make(f"hf:{path}", temperature=1.0, max_tokens=8, seed=seed).act(asked) for seed in (1, 1, 2)
    )
    assert one == two != other
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_model_plays_whole_episodes_and_its_nonsense_costs_turns(path: Path) -> None:
    episodes = [Episode(name, "size=128", "level=0,turns=2", "test") for name in ("2048", "swap")]
    turns = list(rollout(episodes, make(f"hf:{path}", max_tokens=8), history=1))
    assert len(turns) == 4
    assert all(turn.policy == f"hf:{path}" and turn.picture and turn.usage["tokens"] for turn in turns)
    assert all(turn.rewards["game"] == -1 / 2 for turn in turns)  # each is one of two turns


def test_what_cannot_be_loaded_or_cannot_see_is_an_error(path: Path, tmp_path: Path) -> None:
    for spec in ("hf:/nowhere", f"hf:{tmp_path}"):
        with pytest.raises(ValueError, match="no vision-language model can be loaded"):
            make(spec)
    policy = make(f"hf:{path}")
    policy.processor.tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}')
    with pytest.raises(ValueError, match="no vision-language model can be loaded"):
        make(f"hf:{tmp_path}")


def test_a_reply_is_cut_where_no_token_ends_it(talker: Path) -> None:
    asked = [request(seed) for seed in range(3)]
    whole = make(f"hf:{talker}", max_tokens=200).act(asked)
    assert not any("cut" in said.usage for said in whole)
    least = min(said.usage["tokens"] for said in whole)
    short = make(f"hf:{talker}", max_tokens=int(least) - 1).act(asked)
    assert [said.usage.get("cut") for said in short] == [1.0] * 3
