"""Recordings for tests: a pupil that fails in every way a model does, and plays of it on disk."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from vlm_gym.episode import Episode
from vlm_gym.recordings.record import Recorder
from vlm_gym.rollouts.baselines import own_dice
from vlm_gym.rollouts.policy import Policy, Request
from vlm_gym.rollouts.rollout import rollout


class Pupil:
    """Replies as a model does that has learned half: misreads, misplans, breaks rules and the form."""

    name = "pupil"
    sees = True
    portable = True

    def act(self, requests: Sequence[Request]) -> list[str]:
        return [self._reply(request) for request in requests]

    def _reply(self, request: Request) -> str:
        game, state = request.game, request.state
        dice, legal = own_dice(state.seed, request.number), game.legal(state)
        grid = game.scene(state).grid()
        mishap = dice.below(6)
        if mishap == 0:
            return f"I would say <answer>{legal[0]}"
        if mishap == 1:
            return f"<perception>{_words(grid)}</perception><think>Why not?</think><answer>sideways</answer>"
        if mishap in (2, 3):
            for _ in range(3):
                row = dice.choice(grid)
                row[dice.below(len(row))] = "<b>purple heart</b>"
            # For `str.splitlines` a line ends with each of these.
            think = "It looks like\x85a heart.\u2028\u2029\x0b\x0c\x1c\x1d\x1e\r\n"
            action = dice.choice(legal)
        else:
            plan = game.solve(state)
            assert plan is not None
            thought = game.think(state)
            think = thought.words if thought else ""
            if mishap == 4 and request.number % 2 and not game.step(state, legal[-1]).state.over:
                # True of the board after the move: not all of it is true of this one.
                think = "\n".join(sorted(game.facts(game.step(state, legal[-1]).state)))
            action = plan.action if mishap == 5 else legal[-1]
        return f"<perception>{_words(grid)}</perception>\n<think>{think}</think>\n<answer>{action}</answer>"


def _words(grid: list[list[str]]) -> str:
    return "\n".join(" | ".join(row) for row in grid)


def record(path: Path, policy: Policy, episodes: Iterable[Episode]) -> Path:
    """Play episodes into a file."""
    with Recorder(path) as recorder:
        recorder.write(*rollout(episodes, policy))
    return path
