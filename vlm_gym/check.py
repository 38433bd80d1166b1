"""The conformance suite: what the engine requires of every game, ours or of another package.

`check_game` raises with all that is wrong; ``vlm-gym check NAME`` prints rule by rule.
"""

import json
import logging
import pickle
import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields, replace
from itertools import islice
from math import isfinite

import numpy as np
from gymnasium.utils.env_checker import check_env

from vlm_gym.dice import Dice
from vlm_gym.envs.single import GameEnv
from vlm_gym.episode import deal, held_out
from vlm_gym.game import TOLERANCE, Game, GameKnobs, State
from vlm_gym.recordings.position import to_state
from vlm_gym.registry import find
from vlm_gym.render import LOOKS, THEMES, Painter
from vlm_gym.render.reader import Reader
from vlm_gym.rollouts.baselines import play_baseline, solver
from vlm_gym.scene import Scene, Symbol
from vlm_gym.storage import dumps
from vlm_gym.thought import Thought, parse_sentence, sentences

Problems = Iterator[str]
Rule = Callable[[Game], Problems]

SEEDS = range(4)
LONGEST_WALK = 40
LONGEST_THOUGHT = 800
"""Characters of a thought at reasoning levels 0 to 2."""

log = logging.getLogger(__name__)


def check_game(game: str | Game) -> None:
    """Check one game against every rule. Raises `ValueError` that lists all problems."""
    game = find(game) if isinstance(game, str) else game
    wrong = []
    for rule in RULES:
        wrong += [f"{rule.__name__}: {problem}" for problem in problems(rule, game)]
    if wrong:
        raise ValueError(f"{game.name} breaks the contract:\n" + "\n".join(wrong))


def problems(rule: Rule, game: Game) -> list[str]:
    """List how a game breaks one rule; an error that it raises on the way is one of its problems."""
    collected: list[str] = []
    try:
        for problem in rule(game):  # those before an error are kept
            collected.append(problem)
    except Exception as error:  # a game that is wrong can raise any error
        log.debug("%s on %s", rule.__name__, game.name, exc_info=True)
        collected.append(f"raises {type(error).__name__}: {error}")
    return collected


def declares_itself(game: Game) -> Problems:
    """Name, words, five levels and documented knobs are there."""
    for attribute in ("name", "title", "form", "unit"):
        text = getattr(game, attribute, None)
        if not isinstance(text, str) or not text:
            yield f"{attribute} is missing"
    if len(game.levels) != 5:
        yield f"{len(game.levels)} levels; there are five, 0 to 4"
    for entry in fields(game.levels[0]):
        if not entry.metadata.get("effect"):
            yield f"knob {entry.name} does not tell its effect; declare it by knob(...)"
    if vars(game):
        yield f"the game has attributes, {sorted(vars(game))}; all that changes belongs in the state"
    for knobs in _difficulties(game):
        if not game.rules(knobs).strip():
            yield "rules() says nothing"
        state = game.start(0, knobs)
        actions = game.actions(knobs)
        if len(set(actions)) != len(actions):
            yield f"{len(actions)} actions, {len(set(actions))} different"
        for action in actions or game.legal(state):
            if game.read(action, state) != action or not 0 < len(action) <= 100:
                yield f"read() does not give back the action {action!r}"
                break


def deals_by_seed(game: Game) -> Problems:
    """A seed is a deal: the same whenever dealt, fresh, hashable, and the same after pickle and JSON."""
    for knobs in _difficulties(game):
        states = [game.start(seed, knobs) for seed in range(20)]
        if len({game.key(state) for state in states}) < 5:
            yield "20 seeds give fewer than five different deals, by key()"
        for seed, state in enumerate(states):
            if state != game.start(seed, knobs) or hash(state) != hash(game.start(seed, knobs)):
                yield f"seed {seed} deals two different states"
            if (state.seed, state.turn, state.over, state.score, state.knobs) != (seed, 0, False, 0, knobs):
                yield f"seed {seed} does not deal a fresh state: {state}"
            if game.success(state):
                yield f"seed {seed} is won before it begins"
            if pickle.loads(pickle.dumps(state)) != state:
                yield f"seed {seed} does not survive pickle"
            if to_state(game, json.loads(dumps(asdict(state)))) != state:
                yield f"seed {seed} does not survive JSON: fields must be numbers, words, bytes, or tuples"


def steps_are_pure(game: Game) -> Problems:
    """A step changes nothing but what it returns, draws on no dice but the state's, and adds up."""
    for knobs in _difficulties(game):
        known = {action: index for index, action in enumerate(game.actions(knobs))}
        for state in _walks(game, knobs):
            legal = game.legal(state)
            indices = [known.get(action, -1) for action in legal]
            if known and (indices != sorted(set(indices)) or -1 in indices):
                yield f"legal() is not in the order of actions(): {legal[:4]}"
            if bool(legal) == state.over:
                yield f"over={state.over} with {len(legal)} legal actions"
            if not all(game.allows(state, action) for action in legal):
                yield f"allows() refuses an action of legal(): {legal[:4]}"
            if game.allows(state, "no such action"):
                yield "allows() accepts 'no such action'"
            yield from _refusals(game, state, known, set(legal))
            for action in islice(legal, 3):
                yield from _one_step(game, state, action)


def _one_step(game: Game, state: State, action: str) -> Problems:
    """Check the step of one action from one state."""
    before = pickle.dumps(state), _global_generators()
    step = game.step(state, action)
    if before != (pickle.dumps(state), _global_generators()):
        yield f"{action!r} changed its state or the process-wide random generator"
    if game.step(state, action) != step:
        yield f"{action!r} played twice on one state leads to two results"
    if not (isfinite(step.reward) and -2 <= step.reward <= 2):
        yield f"{action!r} earns {step.reward}, outside of [-2, 2]"
    if not 0 <= game.progress(step.state) <= 1:
        yield f"progress() is {game.progress(step.state)} after {action!r}, outside of [0, 1]"
    if abs(state.score + step.score - step.state.score) > 1e-9:
        yield f"{action!r} scores {step.score}, but the sum goes from {state.score} to {step.state.score}"
    kept = step.state.seed, step.state.knobs, step.state.turn
    if kept != (state.seed, state.knobs, state.turn + 1):
        yield f"{action!r} changed the seed or the knobs, or did not add one turn"
    if not step.event or "\n" in step.event:
        yield f"{action!r} is not told in one line: {step.event!r}"


def _global_generators() -> tuple[object, object]:
    """Fingerprint the random generators that the whole process shares."""
    return random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tobytes()  # noqa: NPY002


def _refusals(game: Game, state: State, known: dict[str, int], legal: set[str]) -> Problems:
    """Check that `step` refuses what is no action, and two actions that are not legal."""
    illegal = (action for action in known if action not in legal)
    for action in ["no such action", *islice(illegal, 2)]:
        try:
            game.step(state, action)
        except ValueError:
            continue
        yield f"{action!r} is not legal, but step() plays it"


def scenes_tell_all(game: Game) -> Problems:
    """A scene is a function of the state, has words of its own for every symbol, and grades itself fully."""
    for knobs in _difficulties(game):
        first = game.scene(game.start(0, knobs))
        for state in _walks(game, knobs):
            scene = game.scene(state)
            if scene[:2] != first[:2] or len(scene.cells) != scene.rows * scene.cols:
                yield f"{len(scene.cells)} cells on {scene.rows} x {scene.cols}, at first {first[:2]}"
            if len(scene.notes) != len(first.notes) or (scene.objects and not first.objects):
                yield "the number of notes changes, or objects come that were not there at the start"
            if scene != game.scene(state):
                yield "one state gives two scenes"
            if scene.grade(scene.describe()) != 1.0:
                yield f"the scene does not recognise its own words: {scene.describe()!r}"
            for symbol in _symbols([scene]) | _objects([scene]):
                if symbol.words.strip() in ("", "-") or set(symbol.words) & set("|\n<>"):
                    yield f"{symbol} has words that cannot be told apart in a description"
            for item in scene.objects:
                if not (0 <= item.row <= scene.rows - 1 and 0 <= item.col <= scene.cols - 1):
                    yield f"{item} does not lie on the board"
            for note in scene.notes:
                if note != " ".join(note.split()) or not note or set(note) & set("|<>"):
                    yield f"the note {note!r} is not one plain line"


def pictures_can_be_read(game: Game) -> Problems:
    """At every perception level, a reader that knows the look recovers the scene exactly."""
    for knobs in _difficulties(game):
        states = list(_walks(game, knobs))[::20][:5]
        scenes = [game.scene(state) for state in states]
        symbols = _symbols(scenes)
        objects = _objects(scenes)
        if objects:  # to find them takes a hundred times as long as to read a board
            states = states[::2]
            scenes = scenes[::2]
        all_notes = [scene.notes for scene in scenes]
        notes = [sorted(set(texts)) for texts in zip(*all_notes, strict=True)]
        for level in range(len(LOOKS)):
            # One theme a level, since every sprite of every symbol is drawn; the renderer is tested on all.
            look = replace(LOOKS[level], size=224, theme=[*THEMES][level % len(THEMES)])
            reader = Reader(look, *scenes[0][:2], symbols, objects, notes)
            painter = Painter(look)
            for state, scene in zip(states, scenes, strict=True):
                read = reader.read(painter.paint(scene, state.seed, state.turn), state.seed)
                if scene.grade(read.describe()) != 1.0:
                    yield f"perception {level}: {scene.describe()!r} reads as {read.describe()!r}"


def nothing_hidden_shows(game: Game) -> Problems:
    """A state and its imagined siblings look alike, allow the same, and get the same advice and thoughts."""
    for knobs in _difficulties(game):
        for number, state in enumerate(islice(_walks(game, knobs), 0, None, 20)):
            dice = Dice(number, 1 << 33)  # a turn that no episode reaches, so no state has the same dice
            for _ in range(3):
                other = game.imagine(state, dice)
                if game.scene(other) != game.scene(state):
                    yield f"imagine() changes the scene of {state}"
                if game.legal(other) != game.legal(state):
                    yield f"imagine() changes the legal actions of {state}"
                if (other.knobs, other.turn, other.split) != (state.knobs, state.turn, state.split):
                    yield f"imagine() changes the knobs, the turn or the stream of {state}"
                if game.solve(other) != game.solve(state) or game.think(other) != game.think(state):
                    yield f"solve() or think() knows what is hidden or to come at {state}"
                if game.facts(other) != game.facts(state):
                    yield f"facts() knows what is hidden or to come at {state}"


def solver_advises(game: Game) -> Problems:
    """The solver judges exactly the legal actions, in [0, 1], the same each time."""
    for knobs in _difficulties(game):
        for state in islice(_walks(game, knobs), 0, None, 20):
            values = game.values(state)
            plan = game.solve(state)
            if plan is None:
                continue
            if not values:
                judged = [game.value(state, action) for action in (plan.action, *game.legal(state)[:3])]
                if not _in_range(judged) or max(judged) > judged[0] + TOLERANCE:
                    yield f"value() judges outside of [0, 1], or another action above solve()'s: {judged}"
            elif set(values) != set(game.legal(state)) or not _in_range(values.values()):
                yield f"values() judges other actions than the legal ones, or outside of [0, 1]: {values}"
            elif any(game.value(state, action) != value for action, value in islice(values.items(), 3)):
                yield "value() judges an action otherwise than values() does"
            if not game.allows(state, plan.action) or plan != game.solve(state):
                yield f"solve() advises {plan}, which is not legal or not the same each time"


def _in_range(values: Iterable[float]) -> bool:
    return all(0 <= value <= 1 for value in values)


def thoughts_can_be_checked(game: Game) -> Problems:
    """A thought, if the game has any, is true step by step, and its action follows from its steps alone.

    Each step is one of the facts, once. The steps conclude nothing before the last one: a step may say what
    an action does, but none decides for it. At levels 0 to 2 a thought has at most `LONGEST_THOUGHT`
    characters. Facts are sentences of the grammar.
    """
    for knobs in _difficulties(game):
        for state in islice(_walks(game, knobs), 0, None, 10):
            thought = game.think(state)
            if thought is None:
                if game.grammar and not state.over:
                    yield "think() gives no thought, though the game has a grammar"
                continue
            yield from _one_thought(game, state, thought)
            if knobs in game.levels[:3] and len(thought.words) > LONGEST_THOUGHT:
                yield f"a thought of {len(thought.words)} characters; the limit is {LONGEST_THOUGHT}"


def _one_thought(game: Game, state: State, thought: Thought) -> Problems:
    """Check the thought on one state."""
    facts = game.facts(state)
    if thought != game.think(state) or facts != game.facts(state):
        yield "think() or facts() gives two results on one state"
    for fact in sorted(facts):
        if parse_sentence(fact, game.grammar) is None or sentences(fact) != [fact]:
            yield f"the fact {fact!r} is not one sentence of the grammar"
            break
    for step in thought.steps:
        if step not in facts:
            yield f"the step {step!r} is not among the facts"
            break
    if not thought.steps:
        yield "the thought has no steps"
    plan = game.solve(state)
    values = game.values(state)
    if plan is None or (plan.action, plan.value) != (thought.action, thought.value):
        yield f"solve() advises {plan}, not the action and value of the thought: {thought.action}"
    if values and values.get(thought.action, -1.0) < max(values.values()) - TOLERANCE:
        yield f"values() judges the action of the thought as bad: {thought.action} of {values}"
    in_capitals = [f" {step.upper()} " for step in thought.steps]
    for steps in (thought.steps, in_capitals):
        if game.conclude(steps) != thought.action:
            yield f"{steps} conclude {game.conclude(steps)!r}, not {thought.action!r}"
    for count in range(len(thought.steps)):
        if early := game.conclude(thought.steps[:count]):
            yield f"{early!r} is decided before the last step: {thought.steps[:count]}"


def level_0_is_easy(game: Game) -> Problems:
    """The solver, if there is one, wins level 0 in under ten moves."""
    if game.solve(game.start(0, game.levels[0])) is None:
        return
    knobs = game.levels[0]
    quick = 0
    for index in range(8):
        outcome = play_baseline(game, knobs, deal(game, knobs, "train", index), solver)
        quick += outcome.success and outcome.turns < 10
    if quick < 7:
        yield f"the solver won {quick} of 8 games of level 0 in under ten moves"


def streams_never_meet(game: Game) -> Problems:
    """No test game begins where a training game begins, at any level."""
    for knobs in game.levels:
        for split, held in (("train", False), ("test", True)):
            for index in range(3):
                state = game.start(deal(game, knobs, split, index), knobs)
                if state.split != split or held_out(game, state) != held:
                    yield f"deal {index} of {split} is on the wrong side"


def works_in_gymnasium(game: Game) -> Problems:
    """Gymnasium's own checker passes at all corners of both axes, without a warning."""
    for perception in (0, 4):
        for reasoning in (game.levels[0], game.levels[4]):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                env = GameEnv(game, perception, reasoning)
                try:
                    check_env(env, skip_render_check=True)
                finally:
                    env.close()
            for warning in caught:
                yield f"check_env warns: {warning.message}"


RULES: tuple[Rule, ...] = (
    declares_itself,
    deals_by_seed,
    steps_are_pure,
    scenes_tell_all,
    pictures_can_be_read,
    nothing_hidden_shows,
    solver_advises,
    thoughts_can_be_checked,
    level_0_is_easy,
    streams_never_meet,
    works_in_gymnasium,
)
"""Every rule: a function from a game to what is wrong; its docstring says what it holds."""


def _symbols(scenes: Iterable[Scene]) -> set[Symbol]:
    symbols = set[Symbol]()
    for scene in scenes:
        symbols.update(cell for cell in scene.cells if cell is not None)
    return symbols


def _objects(scenes: Iterable[Scene]) -> set[Symbol]:
    symbols = set[Symbol]()
    for scene in scenes:
        symbols.update(item.symbol for item in scene.objects)
    return symbols


def _difficulties(game: Game) -> list[GameKnobs]:
    return [*game.levels, *game.presets.values()]


def _walks(game: Game, knobs: GameKnobs) -> Iterator[State]:
    """Visit states of play: random legal moves from a few deals of both streams."""
    for seed in (*SEEDS, deal(game, knobs, "test", 0)):
        state = game.start(seed, knobs)
        dice = Dice(seed, 1 << 32)  # a turn that no episode reaches
        for _ in range(LONGEST_WALK):
            yield state
            if state.over:
                break
            state = game.step(state, dice.choice(game.legal(state))).state
