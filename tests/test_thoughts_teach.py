"""Thoughts are worth learning: a tiny model that reads boards in words learns a game in five minutes.

The model sees no picture. It writes the sentences of a thought and then the action, and plays by that alone.
"""

import logging
from collections.abc import Iterator, Sequence
from time import process_time
from typing import NamedTuple

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from vlm_gym.dice import Dice
from vlm_gym.episode import deal
from vlm_gym.game import Game, State
from vlm_gym.registry import find, names
from vlm_gym.rollouts.baselines import legal, play_baseline, random
from vlm_gym.rollouts.states import Mixture, sample
from vlm_gym.thought import fragments, parse_sentence

log = logging.getLogger(__name__)

BUDGET = 300.0
"""Seconds of one core for a game: positions, thoughts and training."""
ROWS = 16
WIDTH = 128
LAYERS = 3
SHARE = 0.1
"""Part of the budget that goes into positions. Of few, the model learns the answers by heart: with 4,000 of
Shisen-Sho, its loss came to 0.003 and its answers to 48 % legal."""
CHUNK = 500
HELD_OUT = 200
DEALS = 20
PAD = "<pad>"
END = "<end>"
ACT = "<act>"


class Example(NamedTuple):
    """A board, and the thought and the action that follow from it, as tokens."""

    board: list[str]
    reply: list[str]


def board_tokens(game: Game, state: State, past: Sequence[State] = ()) -> list[str]:
    """Write what there is to see; where the game hides what was shown, past turns as well, latest first."""
    if game.memory and game.key(state) != game.scene(state).describe():
        states = [state, *reversed(past)]
    else:
        states = [state]
    tokens = list[str]()
    for shown in states:
        tokens += scene_tokens(game, shown)
    return tokens


def scene_tokens(game: Game, state: State) -> list[str]:
    """Write a scene: a token a cell, then the words of objects and notes."""
    scene = game.scene(state)
    cells = [word.replace(" ", "_") for row in scene.grid() for word in row]
    beside = " ".join([*(thing.words for thing in scene.placed()), *scene.notes])
    return [*cells, *beside.split()]


def reply_tokens(game: Game, state: State) -> list[str]:
    """Write the thought, a token for each fixed fragment and each value of its sentences; then the action.

    The tokenizer of the tiny models does the same: a token that carries no decision costs accuracy.
    """
    thought = game.think(state)
    assert thought is not None
    tokens = list[str]()
    for step in thought.steps:
        found = parse_sentence(step, game.grammar)
        assert found is not None
        template, values = found
        before, *others = fragments(template)
        parts = [before]
        for value, after in zip(values, others, strict=True):
            parts += [value, after]
        tokens += [part.strip().replace(" ", "_") for part in parts if part.strip()]
    return [*tokens, ACT, *thought.action.split(), END]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.RMSNorm(WIDTH)
        self.second = nn.RMSNorm(WIDTH)
        self.mix = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.feed = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Attend where `mask` (rows, 1, tokens, tokens) allows, then feed forward: (rows, tokens, width)."""
        rows, tokens, _ = hidden.shape
        mixed = self.mix(self.first(hidden)).view(rows, tokens, 3, 4, WIDTH // 4)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        hidden = hidden + self.out(seen.transpose(1, 2).reshape(rows, tokens, WIDTH))
        return hidden + self.feed(self.second(hidden))


class Reader(nn.Module):
    """A transformer of 0.6 million parameters over the words of one game.

    A reply attends to what stands before. The board attends to all of itself, as the cells of a picture do in
    the vision tower of a VLM.
    """

    def __init__(self, vocabulary: Sequence[str], longest: int) -> None:
        super().__init__()
        self.number = {word: number for number, word in enumerate(vocabulary)}
        self.words = list(vocabulary)
        self.embed = nn.Embedding(len(vocabulary), WIDTH)
        self.places = nn.Embedding(longest, WIDTH)
        self.blocks = nn.ModuleList([Block() for _ in range(LAYERS)])
        self.norm = nn.RMSNorm(WIDTH)
        for table in (self.embed, self.places):
            nn.init.normal_(table.weight, std=WIDTH**-0.5)

    def forward(self, ids: Tensor, boards: Sequence[int]) -> Tensor:
        """Return the logits of the token after each: (rows, tokens) to (rows, tokens, words).

        `boards` are the lengths of the boards that the rows begin with.
        """
        rows, tokens = ids.shape
        mask = torch.ones(rows, 1, tokens, tokens, dtype=torch.bool).tril()
        for row, length in enumerate(boards):
            mask[row, :, :length, :length] = True
        hidden = self.embed(ids) + self.places(torch.arange(tokens))
        for block in self.blocks:
            hidden = block(hidden, mask)
        return self.norm(hidden) @ self.embed.weight.T

    def loss(self, examples: Sequence[Example]) -> Tensor:
        """Compute the cross-entropy of the replies."""
        length = max(len(example.board) + len(example.reply) for example in examples)
        ids = torch.full((len(examples), length), self.number[PAD])
        labels = torch.full((len(examples), length), -100)
        for row, (board, reply) in enumerate(examples):
            tokens = torch.tensor([self.number[word] for word in (*board, *reply)])
            ids[row, : len(tokens)] = tokens
            labels[row, len(board) - 1 : len(tokens) - 1] = tokens[len(board) :]
        logits = self(ids, [len(example.board) for example in examples])
        return cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)

    @torch.inference_mode()
    def answers(self, boards: Sequence[list[str]]) -> list[str]:
        """Write the likeliest reply to each board, and return the actions; empty where there is none.

        A word that no example had is read as padding.
        """
        found = [""] * len(boards)
        for length in sorted({len(board) for board in boards}):
            chosen = [number for number, board in enumerate(boards) if len(board) == length]
            ids = torch.tensor([[self.number.get(word, 0) for word in boards[number]] for number in chosen])
            ended = torch.zeros(len(chosen), dtype=torch.bool)
            while ids.shape[1] < self.places.num_embeddings and not ended.all():
                likeliest = self(ids, [length] * len(chosen))[:, -1].argmax(-1, keepdim=True)
                ids = torch.cat([ids, likeliest], 1)
                ended |= likeliest[:, 0] == self.number[END]
            for number, reply in zip(chosen, ids[:, length:].tolist(), strict=True):
                found[number] = self.action([self.words[word] for word in reply])
        return found

    def action(self, reply: Sequence[str]) -> str:
        """Return the action of a reply; empty where the reply has none or does not end."""
        if ACT not in reply or END not in reply:
            return ""
        return " ".join(reply[reply.index(ACT) + 1 : reply.index(END)])


def batches(examples: Sequence[Example]) -> Iterator[list[Example]]:
    dice = Dice(3)
    while True:
        yield [dice.choice(examples) for _ in range(ROWS)]


def drawn(game: Game, seed: int) -> list[Example]:
    """Draw positions of level 0, from play of several kinds, and what there is to learn about them."""
    mixture = Mixture(game=game.name, reasoning="0", fresh=0.2, walk=0.4, solver=0.4, moves=8)
    examples = []
    for position in sample(CHUNK, [mixture], seed):
        past = [turn.state for turn in position.past]
        board = board_tokens(game, position.state, past)
        examples.append(Example(board, reply_tokens(game, position.state)))
    return examples


def taught(game: Game) -> Reader:
    """Train a model on the thoughts about positions of level 0, for as long as the budget lasts."""
    begin = process_time()
    examples = list[Example]()
    while process_time() - begin < SHARE * BUDGET:
        examples += drawn(game, seed=len(examples))
    known = set[str]()
    for example in examples:
        known.update(example.board, example.reply)
    words = sorted(known)
    longest = max(len(example.board) + len(example.reply) for example in examples) + 8
    torch.manual_seed(0)
    model = Reader([PAD, *words], longest)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    for step, batch in enumerate(batches(examples), start=1):
        spent = (process_time() - begin) / BUDGET
        if spent >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, step / 40, 0.02 + 2 * (1 - spent))  # the last half falls to nothing
        optimizer.zero_grad()
        model.loss(batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Limit torch to one core, since the budget is of one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", names())
def test_thoughts_teach_a_tiny_model_to_play(name: str) -> None:
    game = find(name)
    knobs = game.levels[0]
    model = taught(game)
    states = []
    boards = []
    for index in range(HELD_OUT):
        path = [game.start(deal(game, knobs, "test", index), knobs)]
        dice = Dice(index, 5)
        for _ in range(dice.below(5)):  # some moves into the deal, as far as it goes on
            after = game.step(path[-1], dice.choice(game.legal(path[-1]))).state
            if not after.over:
                path.append(after)
        states.append(path[-1])
        boards.append(board_tokens(game, path[-1], path[:-1]))
    answers = model.answers(boards)
    allowed = [game.allows(state, answer) for state, answer in zip(states, answers, strict=True)]
    assert sum(allowed) / len(allowed) > 0.9

    path = []

    def pupil(game: Game, state: State, dice: Dice) -> str:
        if state.turn == 0:
            path.clear()
        if state not in path:  # an illegal answer changes nothing
            path.append(state)
        return model.answers([board_tokens(game, state, path[:-1])])[0]

    seeds = [deal(game, knobs, "test", index) for index in range(DEALS)]
    ours = [play_baseline(game, knobs, seed, pupil).total for seed in seeds]
    chance = [play_baseline(game, knobs, seed, random).total for seed in seeds]
    # For comparison: where all legal actions serve the goal alike, as in Swap, it plays as the solver.
    lawful = [play_baseline(game, knobs, seed, legal).total for seed in seeds]
    log.info(
        "%s: %.3f legal, return %.2f, random play %.2f, random legal play %.2f",
        name,
        sum(allowed) / len(allowed),
        sum(ours) / DEALS,
        sum(chance) / DEALS,
        sum(lawful) / DEALS,
    )
    assert sum(ours) > sum(chance)
