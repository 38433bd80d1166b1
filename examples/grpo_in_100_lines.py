"""Learn Lights Out from its pictures with GRPO (Shao et al., 2024, arXiv:2402.03300) in plain torch.

python examples/grpo_in_100_lines.py --steps 100

The policy is a small convolutional network. It sees the picture and writes a reply of one token, the word of
an action. A reply earns the game's reward for one turn: here, the share of the lamps that it switches off.
`vlm-gym train` does the same with vision-language models, whose replies have many tokens.
"""

import argparse

import gymnasium as gym
import torch
from torch import Tensor, nn

import vlm_gym

POSITIONS = 16  # P, positions of a step
GROUP = 16  # G, replies sampled at each position
UPDATES = 2  # optimizer steps on the same replies; the ratio is 1 in the first
CLIP = 0.2  # epsilon, how far the ratio counts
TINY = 1e-4  # keeps the division by the standard deviation finite
HELD_OUT = 100  # positions of the test split that are measured


class Policy(nn.Module):
    """Map pictures, uint8 (P, size, size, 3), to the log-probabilities of all words, (P, words)."""

    def __init__(self, size: int, words: int) -> None:
        """Make the network for pictures of `size` pixels, a multiple of 16."""
        super().__init__()
        see = [nn.Conv2d(3, 32, 4, stride=4), nn.ReLU(), nn.Conv2d(32, 64, 4, stride=4), nn.ReLU()]
        decide = [nn.Flatten(), nn.Linear(64 * (size // 16) ** 2, 256), nn.ReLU(), nn.Linear(256, words)]
        self.layers = nn.Sequential(*see, *decide)

    def forward(self, pictures: Tensor) -> Tensor:
        """Compute the log-probabilities."""
        pixels = pictures.permute(0, 3, 1, 2).float() / 255  # (P, 3, size, size)
        return self.layers(pixels).log_softmax(dim=1)


def deal(env: gym.Env, split: str, first: int, count: int) -> tuple[Tensor, list]:
    """Deal positions of a split. Return their pictures, uint8 (P, size, size, 3), and their states."""
    pictures = []
    states = []
    for index in range(first, first + count):
        episode = vlm_gym.Episode(env.unwrapped.game.name, reasoning="0", split=split, index=index)
        picture, _ = env.reset(seed=episode.seed)
        pictures.append(torch.from_numpy(picture))
        states.append(env.unwrapped.state)
    return torch.stack(pictures), states


def grade(env: gym.Env, states: list, words: Tensor) -> Tensor:
    """Return the rewards, (P, G), of replies given by the numbers of their words, (P, G)."""
    rewards = []
    for state, group in zip(states, words.tolist(), strict=True):
        replies = [f"<answer>{env.unwrapped.words[word]}</answer>" for word in group]
        rewards.append([step.reward for step in vlm_gym.fork(env.unwrapped.game, state, replies)])
    return torch.tensor(rewards)


def advantages(rewards: Tensor) -> Tensor:
    """Subtract the mean of each group from its rewards, (P, G), and divide by its standard deviation."""
    centered = rewards - rewards.mean(dim=1, keepdim=True)
    return centered / (rewards.std(dim=1, keepdim=True) + TINY)


def clipped_loss(new: Tensor, old: Tensor, advantage: Tensor) -> Tensor:
    """Compute the loss from the log-probabilities of the replies now and when they were sampled, (P, G)."""
    ratio = (new - old).exp()
    return -torch.min(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage).mean()


@torch.no_grad()
def measure(policy: Policy, env: gym.Env) -> str:
    """Write the mean reward of greedy replies at held-out positions, beside that of the best words."""
    pictures, states = deal(env, "test", 0, HELD_OUT)
    every = torch.arange(len(env.unwrapped.words)).repeat(HELD_OUT, 1)  # (held out, words)
    rewards = grade(env, states, every)
    greedy = rewards.gather(1, policy(pictures).argmax(dim=1, keepdim=True)).mean()
    return (
        f"held-out reward {greedy:.3f} (random {rewards.mean():.3f}, best {rewards.amax(dim=1).mean():.3f})"
    )


def train(game: str, steps: int, seed: int, size: int = 64) -> None:
    """Train a policy on the first positions of training deals at reasoning level 0."""
    torch.manual_seed(seed)
    env = gym.make(f"vlm_gym/{game}-v0", perception={"size": size}, reasoning=0)
    policy = Policy(size, len(env.unwrapped.words))
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-3)
    print(f"before: {measure(policy, env)}")
    for step in range(steps):
        pictures, states = deal(env, "train", step * POSITIONS, POSITIONS)
        with torch.no_grad():
            everything = policy(pictures)  # (P, words)
            sampled = everything.exp().multinomial(GROUP, replacement=True)  # (P, G)
            old = everything.gather(1, sampled)  # (P, G)
        rewards = grade(env, states, sampled)
        for _ in range(UPDATES):
            new = policy(pictures).gather(1, sampled)
            loss = clipped_loss(new, old, advantages(rewards))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"step {step + 1}: reward {rewards.mean():.3f}")
    print(f"after: {measure(policy, env)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--game", default="lights", help="a game whose actions can be listed")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    train(asked.game, asked.steps, asked.seed)
