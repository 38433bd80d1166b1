"""A recipe: all that a training run is asked for, in one TOML file.

``[[task]]`` tables say which games are played and how hard, ``[model]`` what learns, ``[data]`` and
``[cold_start]`` how it is shown, ``[grpo]`` how it is rewarded, ``[evaluation]`` how it is measured. What TRL
has a name for goes under ``trl`` by that name, and is passed through.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

from vlm_gym.config import Within, build, naming, parse
from vlm_gym.evaluation.suite import Decoding, Part, Suite
from vlm_gym.game import Game, GameKnobs, State
from vlm_gym.knobs import hint
from vlm_gym.masking import masked
from vlm_gym.prompt import instructions
from vlm_gym.registry import find
from vlm_gym.render import Look, look
from vlm_gym.rollouts.policy import REMEMBERED, Past, Request
from vlm_gym.rollouts.states import Mixture
from vlm_gym.storage import from_home

from .rewards import weigh_terms

Positive = Annotated[int, Within(1)]
NotNegative = Annotated[int, Within(0)]
Amount = Annotated[float, Within(0)]
Finite = Annotated[float, Within()]
"""Ranges that several keys have."""
Size = Annotated[int, Within(1, 1_000_000)]
Rows = Annotated[int, Within(1, 100_000_000)]
Steps = Annotated[int, Within(1, 100_000_000)]
Moves = Annotated[int, Within(0, 1_000_000)]
"""Ranges of what is made, held or counted: beyond them no machine could do it, and nobody means it."""

TEACHERS = ["solver", "openai:MODEL"]

Optimizer = Literal["adamw", "muon", "muonclip"]
"""TRL's own AdamW, by all its names, or one of `muon`, which takes the learning rate and the weight decay."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A game of the run, at one level of either axis, as `knobs.spell` spells them."""

    game: str
    reasoning: str = "2"
    perception: str = "0"
    weight: Annotated[float, Within(0, above=True)] = 1.0
    """Share of this task beside others."""
    moves: Moves = 100
    """Moves that walks and the solver make, at most, before a position is taken."""

    def __post_init__(self) -> None:
        _ = self.knobs, self.look  # raises where there is no such level

    @property
    def knobs(self) -> GameKnobs:
        """The reasoning knobs."""
        return find(self.game).settle(self.reasoning)

    @property
    def look(self) -> Look:
        """The perception knobs."""
        return look(self.perception)

    def request(self, state: State, past: tuple[Past, ...] = ()) -> Request:
        """Ask for a reply to a position, with the words and the pictures that evaluation shows."""
        game = find(self.game)
        return Request(game, state, self.look, len(past), instructions(game, state.knobs), past)

    def mixture(self, shares: "Shares", **knobs: str) -> Mixture:
        """Say where positions come from; `knobs` replace those of the level."""
        reasoning = self.reasoning if "=" in self.reasoning else f"level={self.reasoning}"
        spelled = ",".join([reasoning, *(f"{name}={value}" for name, value in knobs.items())])
        return Mixture(
            game=self.game,
            reasoning=spelled if knobs else self.reasoning,
            weight=self.weight,
            moves=self.moves,
            **asdict(shares),
        )


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Where positions come from: how much of each kind of play. See `vlm_gym.rollouts.states`."""

    fresh: Amount = 0.0
    walk: Amount = 1.0
    solver: Amount = 0.0
    own: Amount = 0.0


@dataclass(frozen=True, kw_only=True)
class Model:
    """What learns: ``tiny``, built for the run, or a model of the hub or of a folder."""

    path: str = "tiny"
    family: str = "qwen3_vl"
    """Of the tiny model: one of `tiny_families.TINY`."""
    width: Annotated[int, Within(64, 16_384)] = 128
    """Of the tiny model: hidden size of its language half."""
    depth: Annotated[int, Within(1, 1_000)] = 3
    """Of the tiny model: layers of its language half."""
    pictures: dict[str, Any] = field(default_factory=dict)
    """What changes in the picture half of the processor, by its own names: ``do_image_splitting = false``."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What weights learn in. ``auto`` is float32, since half precision loses small updates; with `lora` it is
    what they were saved in, since only adapters learn."""
    vision: Literal["train", "frozen"] = "train"
    """Whether the tower that looks at pictures learns. What carries over to the language half always does."""
    lora: dict[str, Any] = field(default_factory=dict)
    """Low-rank adapters in place of all weights, by the names of peft's `LoraConfig`; without any, none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", from_home(self.path))
        if self.path == "tiny" and self.width % 64:
            raise ValueError(f"model.width={self.width} is not possible; model.width is a multiple of 64")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """What `vlm_gym.rollouts.remote.OpenAI` takes, with the ranges of it."""

    base_url: str | None = None
    temperature: Amount | Literal["omit"] = 0.0
    max_tokens: Positive = 1024
    seed: int = 0
    concurrency: Positive = 16
    per_minute: Amount = 0.0
    time_limit: Annotated[float, Within(0, above=True)] = 120.0
    retries: NotNegative = 5
    dollars_in: Amount = 0.0
    dollars_out: Amount = 0.0


@dataclass(frozen=True, kw_only=True)
class Data:
    """The rows of the cold start: so many positions, and who writes the replies to them."""

    rows: Rows = 1000
    shares: Shares = field(default_factory=lambda: Shares(walk=0.5, solver=0.5))
    teacher: str = "solver"
    """``solver``, or ``openai:MODEL``, which is told what there is to see."""
    options: dict[str, Any] = field(default_factory=dict)
    """What an OpenAI-compatible teacher takes: the names of `Endpoint`."""
    good: bool = True
    """Whether a teacher's reply counts only if its answer is a good move, not just a legal one."""

    def __post_init__(self) -> None:
        if self.shares.own:
            raise ValueError("data.shares.own is not possible: nobody has played yet; it is for [grpo] alone")
        _some("data.shares", self.shares)
        kind, _, name = self.teacher.partition(":")
        if self.teacher == "solver" and self.options:
            raise ValueError(f"data.options are for a model; the solver takes none of {list(self.options)}")
        if self.teacher != "solver" and (kind != "openai" or not name):
            raise ValueError(
                f"unknown data.teacher {self.teacher!r}{hint(self.teacher, TEACHERS)}; "
                f"teachers: {', '.join(TEACHERS)}"
            )
        _ = self.endpoint  # raises where there is no such option

    @property
    def endpoint(self) -> Endpoint:
        """The options with all that they leave open."""
        return build(Endpoint, self.options, "data.options.")


@dataclass(frozen=True, kw_only=True)
class ColdStart:
    """Supervised learning of the rows by TRL's `SFTTrainer`."""

    batch: Size = 32
    """Rows a step, over all devices."""
    steps: Annotated[int, Within(0, 100_000_000)] = 0
    """0: as many as one pass over the rows, or TRL's ``num_train_epochs``, takes."""
    save: Steps = 100
    """Steps between checkpoints."""
    optimizer: Optimizer = "adamw"
    trl: dict[str, Any] = field(default_factory=dict)
    """By the names of TRL's `SFTConfig`."""


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A second loss of GRPO, on known replies, against forgetting: cross-entropy, as in a cold start."""

    weight: Amount = 0.0
    source: Literal["perception", "teacher", "cold_start"] = "perception"
    """What is learned: the true perception of the step's positions, the whole reply of the game's teacher to
    them, or rows of the cold start."""


@dataclass(frozen=True, kw_only=True)
class Grpo:
    """Reinforcement learning by TRL's `GRPOTrainer`: group-relative policy optimisation."""

    steps: Steps = 400
    states: Size = 128
    """Positions a step, over all devices; TRL's ``num_generations`` is the number of replies to each."""
    shares: Shares = field(default_factory=Shares)
    episodes: Size = 64
    """Episodes of each task that the policy plays all along, for its share of ``own`` positions."""
    greedy: Annotated[float, Within(0, 1)] = 0.0
    """Share of those that go on by what most replies to a position say; in the others, by one of them."""
    reward: Literal["paper", "goal", "progress", "value"] = "paper"
    """The game's term: that of its knob ``reward``, or with ``value`` the value lost, by the solver."""
    weights: dict[str, Finite] = field(default_factory=dict)
    """What the terms of a reward count, by the names of `rewards.table`; those that are left out have the
    weight that stands there."""
    scale: Literal["group", "game", "term", "none"] = "group"
    """What advantages are divided by: the spread of the group, of all groups of the game, of each term in its
    group (arXiv:2601.05242), or nothing."""
    credit: Literal["reply", "section", "sentence"] = "reply"
    """What a reply's tokens answer for: all of them for the whole reward, as in the paper; or by section, the
    perception for its own term, the thought for its own and for the play, the answer for the play. By
    ``sentence``, each sentence of the thought answers for its own truth in place of the thought's term."""
    anchor: Anchor = field(default_factory=Anchor)
    """A second loss, on known replies."""
    turns: Literal["one", "all"] | Annotated[int, Within(1, 100_000)] = "one"
    """Turns that the plays of a group go on for: ``all`` is the longest turn limit of the tasks. A step has
    ``states * num_generations`` rows, whatever this is: ``states / turns`` groups of plays begin in it."""
    turn_credit: Literal["turn", "return", "gigpo", "graph", "ahead"] = "turn"
    """How a turn of a play is credited with what the answer and the form of replies earn (`credit`)."""
    ahead: Annotated[int, Within(0, 1_000)] = 0
    """Turns that ``turn_credit = "ahead"`` looks ahead."""
    discount: Annotated[float, Within(0, 1)] = 0.9
    """What a reward counts a turn later."""
    illegal: Literal["costs", "ends"] = "costs"
    """What an illegal reply does in a play: it costs its turn, or ends the play."""
    redraw: Annotated[int, Within(0, 255)] = 0
    """Times that groups whose rewards are all equal are drawn again, with other positions."""
    save: Steps = 50
    """Steps between checkpoints."""
    optimizer: Optimizer = "adamw"
    trl: dict[str, Any] = field(default_factory=dict)
    """By the names of TRL's `GRPOConfig`."""

    def __post_init__(self) -> None:
        _some("grpo.shares", self.shares)
        try:
            object.__setattr__(self, "weights", weigh_terms(self.weights))
        except ValueError as error:
            raise ValueError(f"grpo.weights: {error}") from error
        if self.turns == 1:
            object.__setattr__(self, "turns", "one")
        if self.turns != "one" and self.redraw:
            raise ValueError(
                "grpo.redraw is for grpo.turns=1: what a first reply earns does not decide a play"
            )
        if self.turns != "one" and self.scale == "term":
            raise ValueError('grpo.scale="term" is for grpo.turns=1; choose group, game or none')
        if self.turns == "one" and (self.turn_credit != "turn" or self.illegal != "costs"):
            raise ValueError("grpo.turn_credit and grpo.illegal take grpo.turns of 2 or more, or all")
        if self.ahead and self.turn_credit != "ahead":
            raise ValueError('grpo.ahead takes grpo.turn_credit="ahead"')
        if isinstance(self.turns, int) and self.ahead >= self.turns:
            raise ValueError(f"grpo.ahead={self.ahead} is beyond the grpo.turns={self.turns} of a play")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Whole games on held-out episodes, after every stage, beside players that do not learn."""

    episodes: Size = 50
    """Of each task."""
    turns: Size | None = None
    """Turn limit, in place of that of the level."""
    temperatures: tuple[Amount, ...] = (0.0, 1.0)
    """How models decode; each gets a table of its own. 0 is greedy."""
    max_tokens: Size = 1024
    batch: Size = 64

    def __post_init__(self) -> None:
        if len(set(self.temperatures)) < len(self.temperatures):
            raise ValueError(f"evaluation.temperatures={list(self.temperatures)} names one twice")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run. Without ``[cold_start]`` it is GRPO alone, without ``[grpo]`` the cold start alone."""

    about: str = ""
    seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    model: Model = field(default_factory=Model)
    task: tuple[Task, ...]
    data: Data = field(default_factory=Data)
    cold_start: ColdStart | None = None
    grpo: Grpo | None = None
    evaluation: Measure | None = None
    history: Annotated[int, Within(0, 8)] | None = None
    """Turns before the present one that a request shows, with pictures, replies and feedback: in plays of
    ``grpo.turns`` and in evaluation alike. Without it, games that need memory show `REMEMBERED` turns."""
    trackers: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = ()
    """Where numbers go beside ``metrics.jsonl``."""
    processes: Annotated[int, Within(1, 4_096)] = 1
    """Processes that train without a GPU, unless the command says how many."""
    threads: Annotated[int, Within(0, 1_024)] = 0
    """Threads of torch; 0: as many as it likes."""

    def __post_init__(self) -> None:
        anchor = self.grpo.anchor if self.grpo else Anchor()
        if anchor.weight and anchor.source == "cold_start":
            _check_rows(self.task, self.cold_start)
        if not self.task:
            raise ValueError("a recipe takes one [[task]] or more")
        if len({(task.game, task.knobs, task.look) for task in self.task}) < len(self.task):
            raise ValueError("a [[task]] is there twice; give one a larger weight instead")
        if self.cold_start is None and self.grpo is None:
            raise ValueError("a recipe takes [cold_start], [grpo] or both")
        stages = [stage for stage in (self.cold_start, self.grpo) if stage is not None]
        if self.model.lora and any(stage.optimizer != "adamw" for stage in stages):
            raise ValueError("model.lora takes the optimizer adamw; muon is for whole matrices")
        if self.evaluation is not None:
            try:
                self.suite(self.evaluation, 0.0)
            except ValueError as error:
                raise ValueError(f"[evaluation]: {error}") from error

    def shown(self, game: Game[Any]) -> int:
        """Return the number of turns before that a request to a game shows, as in `rollout`."""
        if self.history is None:
            return REMEMBERED if game.memory else 0
        return self.history

    @property
    def turns(self) -> int:
        """The number of turns that the plays of a group go on for."""
        asked = self.grpo.turns if self.grpo else "one"
        if asked == "all":
            return max(task.knobs.turns for task in self.task)
        return 1 if asked == "one" else asked

    @property
    def games(self) -> list[str]:
        """The games that are played."""
        return list(dict.fromkeys(task.game for task in self.task))

    def suite(self, asked: Measure, temperature: float) -> Suite:
        """Say what is played after a stage. Raises `ValueError` where the turn limit is none of a game's."""
        parts = tuple(
            Part(
                games=(task.game,),
                perception=(task.perception,),
                reasoning=(task.reasoning,),
                episodes=asked.episodes,
                turns=asked.turns,
            )
            for task in self.task
        )
        decoding = Decoding(temperature=temperature, max_tokens=asked.max_tokens, seed=self.seed)
        return Suite(about=self.about, part=parts, history=self.history, decoding=decoding)

    def resolved(self) -> dict[str, Any]:
        """Spell all out as plain data, which `build` reads back; credentials in an address are masked."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        options = plain["data"]["options"]
        if isinstance(options.get("base_url"), str):
            options["base_url"] = masked(options["base_url"])
        return plain


def _check_rows(tasks: Sequence[Task], cold_start: ColdStart | None) -> None:
    """Raise `ValueError` where a second loss of GRPO cannot be on rows of the cold start."""
    if cold_start is None:
        raise ValueError('grpo.anchor.source="cold_start" takes a [cold_start], whose rows it learns from')
    for task in tasks:
        if find(task.game).memory:
            raise ValueError(
                f'grpo.anchor.source="cold_start" is not possible with {task.game}, whose rows show turns '
                "before; choose teacher or perception"
            )


def _some(place: str, shares: Shares) -> None:
    """See that positions come from somewhere."""
    if not any(asdict(shares).values()):
        raise ValueError(f"{place} are all 0; one of them has to be above")


def load(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a TOML file, or from one of the shipped ones by name, and change some of it.

    `changes` are written ``grpo.steps=80``, ``task.0.weight=2`` or ``model.path=Qwen/Qwen3-VL-2B-Instruct``.
    Raises `ValueError` for what is unknown or impossible, `OSError` without a file.
    """
    known = shipped()
    if not path.exists() and str(path) in known:
        path = known[str(path)]
    if path.is_dir() or not path.exists():
        near = hint(path.stem, list(known))
        raise FileNotFoundError(
            f"there is no recipe {path}{near}; give the path of a .toml file, or one of {', '.join(known)}"
        )
    with naming(path):
        data = parse(path)
        for change in changes:
            _change(data, change)
        return build(Recipe, data)


def shipped() -> dict[str, Path]:
    """List the recipes that come with the package, by name."""
    folder = Path(str(import_module("vlm_gym.configs").__file__)).parent
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def _change(data: dict[str, Any], change: str) -> None:
    """Put one value in the place of another."""
    place, equals, text = change.partition("=")
    if not equals:
        raise ValueError(f"{change!r} is not possible; changes are written as grpo.steps=80")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *path, last = place.strip().split(".")
    at: Any = data
    for word in path:
        at = _entry(at, word, change) if isinstance(at, list) else at.setdefault(word, {})
        if not isinstance(at, dict | list):
            raise ValueError(f"{change!r} is not possible; {word} holds no further keys")
    if isinstance(at, list):
        raise ValueError(f"{change!r} is not possible; name a key of one of the {len(at)} entries")
    stays = isinstance(at.get(last), str) and not isinstance(value, str)  # the game 2048 is no number
    at[last] = text if stays else value


def _entry(entries: Sequence[Any], word: str, change: str) -> Any:
    if not word.isdigit() or int(word) >= len(entries):
        raise ValueError(f"{change!r} is not possible; entries are numbered from 0 to {len(entries) - 1}")
    return entries[int(word)]


def passed(
    kind: type, given: Mapping[str, Any], elsewhere: Mapping[str, str], fixed: Mapping[str, Any], place: str
) -> dict[str, Any]:
    """Check names that are passed through to a configuration class of TRL.

    `elsewhere` maps names that a recipe decides to where that is, `fixed` those that a run sets itself to the
    values. Raises `ValueError` for these, and for unknown names with the nearest known one.
    """
    known = [entry.name for entry in fields(kind)]
    for name in given:
        if name in elsewhere:
            raise ValueError(f"{place}.{name} is not possible; say {elsewhere[name]} instead")
        if name in fixed:
            raise ValueError(f"{place}.{name} is not possible; a run always sets it to {fixed[name]!r}")
        if name not in known:
            wrong = f"unknown key {place + '.' + name!r}{hint(name, known)}"
            raise ValueError(f"{wrong}; the names are those of {kind.__name__}")
    return dict(given)
