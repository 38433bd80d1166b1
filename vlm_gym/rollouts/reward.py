"""What a reply earns, term by term: as data, so that training, evaluation and people count alike."""

from collections.abc import Iterable
from functools import lru_cache

from vlm_gym.actions import Reply, parse_for
from vlm_gym.game import Game, State, Step
from vlm_gym.thought import Sentence, agreement, fold, sentences
from vlm_gym.thought import grade_sentences as mark


def fork(game: Game, state: State, replies: Iterable[str]) -> list[Step]:
    """Score replies to one state, each as if it were the only one.

    A reply without exactly one legal answer leaves the state as it is, earns `Game.illegal`, and its error is
    the event. Equal replies get equal steps, whatever their order, number or process.
    """
    legal = game.legal(state)
    known = dict[str, Step]()
    steps = list[Step]()
    for reply in replies:
        if reply not in known:
            known[reply] = take(game, state, parse_for(game, state, reply, legal))
        steps.append(known[reply])
    return steps


def take(game: Game, state: State, reply: Reply) -> Step:
    """Take the step of one reply, as `fork` does."""
    if reply.action is None:
        return Step(state, game.illegal(state.knobs), 0.0, reply.error)
    return game.step(state, reply.action)


def perception_accuracy(game: Game, state: State, reply: Reply) -> float | None:
    """Score the perception of a reply: the share of true cells, in [0, 1]; None if it has none."""
    return None if reply.perception is None else game.scene(state).grade(reply.perception)


def thinking(game: Game, state: State, reply: Reply) -> tuple[Sentence, ...]:
    """Grade the sentences of a reply's thought; none without a thought, or where the game has no grammar."""
    if reply.thought is None or not game.grammar:
        return ()
    return mark(reply.thought, game.grammar, _facts(game, state))


def following(game: Game, state: State, reply: Reply) -> float | None:
    """Score in [0, 1] how far a reply's thought is that of the game, and whether the answer follows from it.

    See `vlm_gym.thought.agreement`. None if the reply has no thought or the game does not think here.
    """
    thought = None if reply.thought is None else game.think(state)
    if thought is None or reply.thought is None:
        return None
    follows = reply.action is not None and game.conclude(sentences(reply.thought)) == reply.action
    return agreement(thought.steps, reply.thought, follows)


def terms(
    reply: Reply, step: Step, perceived: float | None, follows: float | None = None
) -> dict[str, float]:
    """Grade one reply by its step, its `perception_accuracy` and its `following`.

    ``game`` is in [-2, 2], ``format`` 0 or 1, ``perception`` in [0, 1], by cell, ``thought`` in [0, 1].
    """
    return {
        "game": step.reward,
        "format": float(reply.well_formed and reply.perception is not None and reply.thought is not None),
        "perception": perceived or 0.0,
        "thought": follows or 0.0,
    }


@lru_cache(maxsize=256)
def _facts(game: Game, state: State) -> frozenset[str]:
    """Return the folded facts of a state; the replies of a group share them."""
    return frozenset([fold(fact) for fact in game.facts(state)])
