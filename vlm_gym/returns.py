"""The return of an episode: the goal, the progress towards it, and the cost of turns.

A legal turn from state s to s' earns

    r = GOAL * [s' reaches the goal] + Phi(s') - Phi(s) - LEGAL / T

where Phi is `Game.progress`, the share of the goal done, and T is the turn limit. An illegal turn earns
-ILLEGAL / T. Summed over an episode:

    R = GOAL * success + Phi(end) - Phi(start) - (LEGAL * legal turns + ILLEGAL * illegal turns) / T

R lies in [-1, 2] if Phi(end) >= Phi(start). Of two episodes that reach the goal, the one with fewer turns
earns more. The shaping term, with gamma = 1, is that of Ng et al. (1999, "Policy invariance under reward
transformations"). We depart from it at the end of an episode, where Phi keeps its value: an episode that
fails near the goal earns more than one that fails far from it.
"""

GOAL = 1.0
"""Reward for reaching the goal."""
LEGAL = 0.25
"""Cost of an episode that uses all its turns with legal actions."""
ILLEGAL = 1.0
"""Cost of an episode that uses all its turns with illegal actions."""
FAILED = -1.0
"""Reward of a turn that is illegal, or scores nothing, where a turn earns from -1 to 1: in the paper
(arXiv:2505.13426), and by the solver's judgement."""


def legal_turn(before: float, after: float, success: bool, limit: int) -> float:
    """Compute the reward of a legal turn, in [-2, 2], from the progress before and after it.

    `before` and `after` are in [0, 1], `success` says that the turn reaches the goal, and `limit` is the turn
    limit of the episode.
    """
    goal = GOAL if success else 0.0
    return goal + after - before - LEGAL / limit


def illegal_turn(limit: int) -> float:
    """Compute the reward of an illegal turn, in [-1, 0), for an episode of at most `limit` turns."""
    return -ILLEGAL / limit
