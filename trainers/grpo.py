"""Group-relative policy optimization on games (GRPO; Shao et al., 2024, arXiv:2402.03300): the whole method.

P start states are dealt, and G completions of T tokens are sampled from each. A completion o_i is graded by
forking its state: r_i = sum_k w_k term_k(o_i). Then

    advantage   A_i = (r_i - mean_j r_j) / std_j r_j                                          (equation 3)
    ratio       rho_it = pi(o_it | q, o_i<t) / pi_old(o_it | q, o_i<t)
    loss        -mean_it min(rho_it A_i, clip(rho_it, 1 - eps, 1 + eps) A_i) + beta KL(pi | pi_ref)

where the engine behind `learner.Learner` has the loss, its variants (DAPO, Dr. GRPO, ...), and the update.
Departures from the paper, each off by default:

- ``scale``: A is divided by the spread of all groups of the task, or by nothing, or each term by its own.
- ``advantage_by``: tokens answer for the reward terms of their section or sentence alone (`advantages`).
- ``turns``: completions continue to plays of N turns, each a row with an advantage by ``turn_credit``
  (`plays`, `credit`).
- ``dynamic_sampling``: zero-advantage groups are sampled again, as in DAPO (arXiv:2503.14476).
- ``anchor``: a second loss on known replies to the same states (`losses`).
- ``shares.on_policy``: start states come from games that the policy plays during the run (`start_states`).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import losses
from .assign import THOUGHT_SECTIONS, assign, rewards_of
from .distributed import everyone
from .learner import Completion, Learner
from .losses import SFTExample
from .models.protocols import Tokenizer
from .plays import Plays, TurnRow
from .recipe import Recipe
from .rewards import Grade, grade_completion
from .start_states import Start, StartStates

Group = list[Completion]
"""The completions of one start state, (G,)."""
EQUAL_REWARDS = 1e-6
"""Rewards that differ by less are equal."""


class GrpoMethod:
    """The method on the tasks of a recipe. Its only state is the policy's own games."""

    def __init__(
        self, recipe: Recipe, group: int, tokenizer: Tokenizer, rows: Sequence[SFTExample] = ()
    ) -> None:
        """Set the method up for groups of `group` completions, written with `tokenizer`.

        `rows` are those of the cold start, for ``anchor.source = "cold_start"``.
        """
        assert recipe.grpo is not None
        self.starts = StartStates(recipe, recipe.grpo)
        self._asked = recipe.grpo
        self._group = group
        self._tokenizer = tokenizer
        self._seed = recipe.seed
        self._rows = rows
        self._turns = recipe.turns
        self._context = recipe.context

    def step(self, learner: Learner, numbers: Sequence[int]) -> None:
        """Make one batch and update the learner by it. `numbers`, (P,), count the groups of the run."""
        log = defaultdict[str, list[float]](list)
        numbers = numbers[:: self._turns]  # a group of N turns fills the rows of N groups
        starts = self._deal(numbers)  # (P,)
        groups = self._sample(learner, starts, log, self._group)  # (P, G), graded
        self._sample_again(learner, numbers, groups, log)
        rows = self._play(learner, numbers, groups, log)  # (B,), B = P * N * G
        batch = assign(rows, self._asked, self._group, self._tokenizer)  # (B,), with advantages
        learner.update(batch, log, self._examples(numbers, groups))
        self._follow(groups)

    def save(self, folder: Path) -> None:
        """Write the state of the policy's own games."""
        self.starts.save(folder)

    def load(self, folder: Path) -> None:
        """Load the games that `save` wrote."""
        self.starts.load(folder)

    def _deal(self, numbers: Sequence[int], attempt: int = 0) -> list[Start]:
        """Deal start states, (P,). Every attempt deals others."""
        dealt = dict[int, list[Start]]()
        starts = list[Start]()
        for number in numbers:
            step, index = divmod(number, self._asked.prompts_per_step)
            if step not in dealt:  # completions for several steps may be sampled at once
                dealt[step] = self.starts.deal(step, attempt)
            starts.append(dealt[step][index])
        return starts

    def _sample(
        self, learner: Learner, starts: Sequence[Start], log: dict[str, list[float]], n: int
    ) -> list[Group]:
        """Sample and grade n completions of each start state."""
        groups = list[Group]()
        sampled = learner.sample([start.request for start in starts], n)
        for start, completions in zip(starts, sampled, strict=True):
            grades = dict[str, Grade]()  # most completions of a group are equal to others
            group = Group()
            for completion in completions:
                text = completion.text
                if text not in grades:
                    grades[text] = grade_completion(start.request, text, self._asked.turn_credit == "solver")
                group.append(replace(completion, start=start, grade=grades[text]))
            groups.append(group)
            self._count(start.request.game.name, group, log)
        return groups

    def _count(self, game: str, group: Group, log: dict[str, list[float]]) -> None:
        """Log the numbers of a group under the name of its game."""
        for completion in group:
            assert completion.grade is not None
            numbers = completion.grade.numbers()
            numbers["reward"] = completion.grade.reward(self._asked.weights)
            numbers["length"] = float(len(completion.ids))
            for name, value in numbers.items():
                log[f"{game}/{name}"].append(value)
        if len(group) > 1:
            log[f"{game}/zero_advantage"].append(float(self.equal(group)))

    def _play(
        self, learner: Learner, numbers: Sequence[int], groups: Sequence[Group], log: dict[str, list[float]]
    ) -> list[TurnRow]:
        """Play on from the first completions of the groups, N turns in all; every turn is a row."""
        starts = list[Start]()  # (P,)
        for group in groups:
            assert group[0].start is not None
            starts.append(group[0].start)
        plays = Plays(self._asked, self._group, self._context, numbers, starts, self.starts.again)
        first = list[Completion]()  # (P * G,), group by group, as `Plays` counts its plays
        for group in groups:
            first += group
        rows = plays.take(first)
        for _ in range(1, self._turns):
            turn = self._sample(learner, plays.next_starts(), log, 1)  # (P * G, 1)
            rows += plays.take([completion for (completion,) in turn])
        return rows

    def _sample_again(
        self, learner: Learner, numbers: Sequence[int], groups: list[Group], log: dict[str, list[float]]
    ) -> None:
        """Replace zero-advantage groups by groups of other states, at most ``dynamic_sampling`` times."""
        for attempt in range(1, self._asked.dynamic_sampling + 1):
            equal = list[int]()  # indices of zero-advantage groups
            for index, group in enumerate(groups):
                if self.equal(group):
                    equal.append(index)
            # Every process has to take part in the same number of samplings.
            # A process with more of them leaves the rest as they are.
            chosen = equal[: min(everyone([len(equal)]))]
            if not chosen:
                break
            starts = self._deal([numbers[index] for index in chosen], attempt)
            for index, group in zip(chosen, self._sample(learner, starts, log, self._group), strict=True):
                groups[index] = group

    def equal(self, group: Group) -> bool:
        """Check whether all completions of a group earn the same, so that there is nothing to learn from it.

        With ``advantage_by = "section"``, only what the thought and the answer earn counts.
        """
        # With credit by section, a difference in perception alone gives play no advantage.
        sections = None if self._asked.advantage_by == "reply" else THOUGHT_SECTIONS
        rewards = rewards_of(group, self._asked.weights, sections)
        return max(rewards) - min(rewards) < EQUAL_REWARDS

    def _examples(self, numbers: Sequence[int], groups: Sequence[Group]) -> list[SFTExample]:
        """Return what the second loss is on, (P,): nothing without a weight for it."""
        source = self._asked.anchor.source
        if not self._asked.anchor.weight:
            return []
        if source == "cold_start":
            return [losses.drawn(self._rows, number, self._seed) for number in numbers]
        make_example = losses.teacher if source == "teacher" else losses.perception
        return [make_example(group[0].request, group[0].prompt) for group in groups]

    def _follow(self, groups: Sequence[Group]) -> None:
        """Advance the policy's own games. Every process uses the completions of all processes."""
        played = list[tuple[Start | None, list[str]]]()
        for group in groups:
            texts = [completion.text for completion in group]
            played.append((group[0].start, texts))
        # All processes advance all episodes, so that they deal the same start states at the next step.
        replies = list[tuple[Start, list[str]]]()
        for start, texts in everyone(played):
            if start is not None:
                replies.append((start, texts))
        self.starts.follow(replies)
