"""Advantages assigned to completions: rewards by section, compared in their groups or over turns, and scaled.

B rows in groups of G that stand together; T tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from vlm_gym.episode import held_out
from vlm_gym.thought import Sentence

from .advantages import by_group, by_sections, by_sentences, by_term, over_batch, spread_by_task
from .credit.choose import over_turns, scaled
from .credit.turns import CreditTurn, less_mean
from .distributed import everyone, of_mine
from .learner import Completion
from .models.protocols import Tokenizer
from .plays import TurnRow, with_rewards
from .recipe import Grpo
from .rewards import Section, names_of
from .sections import Spans, spans

GAME = "game"
"""The reward term of what the game pays."""
PLAY: tuple[Section, ...] = ("answer",)
THOUGHT_SECTIONS: tuple[Section, ...] = ("answer", "thought")
PERCEPTION_SECTIONS: tuple[Section, ...] = ("perception",)
"""The sections whose reward terms the tokens of the answer, the thought and the perception answer for."""


def assign(rows: Sequence[TurnRow], asked: Grpo, group: int, tokenizer: Tokenizer) -> list[Completion]:
    """Compute the advantages of graded rows, (B,), as a recipe asks; every process has to call it.

    Plays may reach positions of the test stream. Credit counts these turns, but nothing is learned from their
    replies: their advantage is 0.
    """
    completions = [row.completion for row in rows]
    by_reply = asked.advantage_by == "reply"
    values = (
        compare_rewards(rows, asked, group, None) if by_reply else _of_tokens(rows, asked, group, tokenizer)
    )
    assigned = []
    for each, value in zip(completions, values, strict=True):  # () or (T,)
        advantages = value if by_reply else value[: len(each.ids)]
        if held_out(each.request.game, each.request.state):
            advantages = torch.zeros_like(advantages)
        assigned.append(replace(each, advantages=advantages))
    return assigned


def rewards_of(
    completions: Sequence[Completion], weights: Mapping[str, float], sections: tuple[Section, ...] | None
) -> list[float]:
    """Compute the rewards of completions, (B,), by all terms or by those of some sections."""
    rewards = list[float]()
    for completion in completions:
        assert completion.grade is not None
        rewards.append(completion.grade.reward(weights, sections))
    return rewards


def compare_rewards(
    rows: Sequence[TurnRow], asked: Grpo, group: int, sections: tuple[Section, ...] | None
) -> Tensor:
    """Compare the rewards of rows, (B,), by the terms of some sections, and scale them."""
    if asked.turns != "one":
        return _compare_turns(rows, asked, sections)
    completions = [row.completion for row in rows]
    if asked.scale == "term":
        weights = {name: asked.weights[name] for name in names_of(sections)}
        rewards_by_term = list[list[float]]()
        for each in completions:
            rewards_by_term.append([each.terms[name] for name in weights])
        terms = torch.tensor(rewards_by_term)  # (B, K)
        mine = by_term(terms, torch.tensor(list(weights.values())), group)
        return over_batch(mine, torch.cat(everyone([mine])))
    rewards = torch.tensor(rewards_of(completions, asked.weights, sections))
    advantages = by_group(rewards, group, asked.scale == "group")
    if asked.scale == "game":
        tasks = torch.tensor([row.task for row in rows])
        every = everyone([(advantages, tasks)])  # of all processes
        advantages_of_all = torch.cat([part for part, _ in every])  # (processes * B,)
        tasks_of_all = torch.cat([part for _, part in every])  # (processes * B,)
        # Over all processes, so that the result does not depend on their number.
        spread = spread_by_task(advantages_of_all, tasks_of_all, int(tasks_of_all.max()) + 1)  # (tasks,)
        advantages = advantages / spread[tasks]
    return advantages


def _compare_turns(rows: Sequence[TurnRow], asked: Grpo, sections: tuple[Section, ...] | None) -> Tensor:
    """Compare rows over turns: the game's term by ``turn_credit``, other terms with those of their turn.

    Only the game's term adds up over a play. A term such as ``format`` is earned by every reply: in a sum
    over turns, an early end of the game would lose what the turns after it earn, and longer play would win.
    States are merged over all processes, so that results do not depend on their number.
    """
    names = names_of(sections)
    earned = list[float]()  # (B,), by the game's term
    extra = list[float]()  # (B,), by all others
    for row in rows:
        terms = row.completion.terms
        earned.append(asked.weights[GAME] * terms[GAME])
        extra.append(sum(asked.weights[name] * terms[name] for name in names if name != GAME))
    turns = with_rewards(rows, earned)
    tasks = [row.task for row in rows]
    every = everyone(list(zip(turns, tasks, extra, strict=True)))
    turns_of_all = list[CreditTurn]()
    tasks_of_all = list[int]()
    extra_of_all = list[float]()
    for turn, task, more in every:
        turns_of_all.append(turn)
        tasks_of_all.append(task)
        extra_of_all.append(more)
    # Form, perception and thought of a turn answer for that turn alone: no credit flows to earlier turns.
    advantages = less_mean(extra_of_all, [(turn.group, turn.number) for turn in turns_of_all])
    if GAME in names:
        credit = over_turns(asked.turn_credit, turns_of_all, tasks_of_all, asked.discount, asked.ahead)
        advantages = [one + other for one, other in zip(advantages, credit, strict=True)]
    if asked.scale == "group":
        advantages = scaled(advantages, [turn.group for turn in turns_of_all])
    elif asked.scale == "game":
        advantages = scaled(advantages, tasks_of_all)
    return torch.tensor(of_mine(advantages))


def _of_tokens(rows: Sequence[TurnRow], asked: Grpo, group: int, tokenizer: Tokenizer) -> Tensor:
    """Compute the advantages of tokens, (B, T), each by the terms that its section answers for."""
    by_sentence = asked.advantage_by == "sentence"
    ids = list[list[int]]()  # (B,) lists of T tokens, T of its own each
    graded = list[Sequence[Sentence]]()  # (B,)
    for row in rows:
        assert row.completion.grade is not None
        ids.append(list(row.completion.ids))
        graded.append(row.completion.grade.sentences)
    longest = max(map(len, ids))
    # Many replies of a group are equal. Those to two games may differ in sentences.
    known = dict[tuple[tuple[int, ...], tuple[Sentence, ...]], Spans]()
    spans_of = list[Spans]()  # (B,)
    for reply, sentences in zip(ids, graded, strict=True):
        key = (tuple(reply), tuple(sentences) if by_sentence else ())
        if key not in known:
            known[key] = spans(tokenizer, reply, key[1])
        spans_of.append(known[key])
    advantages = by_sections(
        compare_rewards(rows, asked, group, PERCEPTION_SECTIONS),
        compare_rewards(rows, asked, group, PLAY if by_sentence else THOUGHT_SECTIONS),
        compare_rewards(rows, asked, group, PLAY),
        spans_of,
        longest,
    )
    if by_sentence:
        # A thought that does not follow the perception has no tokens of its own for credit.
        located = list[Sequence[Sentence]]()  # (B,)
        for sentences, reply_spans in zip(graded, spans_of, strict=True):
            located.append(sentences if reply_spans.sentences else ())
        truth = by_sentences(located, spans_of, group, longest)
        advantages = advantages + asked.weights["thought"] * truth
    return advantages
