"""The main job: a model, its cold start, GRPO, evaluation and a report; it resumes where it was stopped.

Everything is in one folder: ``run.json`` (the settings), ``model``, ``data``, ``cold_start``, ``grpo``,
``metrics.jsonl``, ``evaluation`` and ``report.html``. Finished parts are not done again. Of several processes
the main one alone writes there, except for checkpoints and evaluations, of which each process does its share.
"""

import platform
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.metadata import version
from logging import WARNING
from pathlib import Path
from typing import TYPE_CHECKING

import datasets
import torch
from accelerate import PartialState
from transformers import PreTrainedModel, PrinterCallback, ProcessorMixin, TrainingArguments
from transformers.utils import logging as transformers_logging
from trl import GRPOConfig

from vlm_gym import strict
from vlm_gym.config import build
from vlm_gym.evaluation.evaluate import Evaluation, evaluate
from vlm_gym.evaluation.run_folder import folder
from vlm_gym.report import report
from vlm_gym.storage import difference, locked_folder, read_json, write_json, write_text
from vlm_gym.workers import cores

from . import settings
from .cold_start import ColdStartTrainer
from .data.parquet import ROWS, make_rows, read_replies
from .distributed import apart, together
from .grpo import GrpoMethod
from .learners.checkpoints import Whole, checkpoints, step_number
from .learners.engines import SERVER_KEYS, check_server
from .learners.sharing_learner import SharingLearner
from .learners.trl_learner import TrlLearner
from .losses import SFTExample
from .models import tiny
from .models.prepare import finish_checkpoint, ready
from .models.restoring import STATE, read_entries
from .optimizers import muon
from .planning import dry_run
from .probe import Probe
from .recipe import Optimizer, Recipe, Table
from .recipe.renamed import renew
from .recipe.tables import is_list_of, without
from .tracking import METRICS, Screen, Tracker, cut

if TYPE_CHECKING:
    from peft import PeftConfig

MakeTrainer = Callable[[Path, Path], Whole]
"""Makes the trainer of a stage, by the model that it starts from and its folder."""
RUN = "run.json"
MODEL = "model"
DONE = "done.json"
MAY_CHANGE = ("about", "trackers", "processes", "threads", "evaluation")
"""Keys that may change when a run resumes, beside GRPO's steps, the save intervals and vLLM's address."""
LOADERS = (
    *("modeling_utils", "core_model_loading", "utils.loading_report", "integrations.peft", "trainer"),
    *("configuration_utils", "tokenization_utils_base", "processing_utils", "image_processing_base"),
)
"""Modules of transformers that load models, and warn of what does not fit."""
EVALUATED_BASELINES = ("random", "constant", "greedy", "solver")

ONLY_FOR_TRAINING = (
    *("optimizer*", "scheduler*", "rng_state*", "trainer_state*", "training_args*", "own.json"),
    *("global_step*", "latest", "zero_to_*"),  # of DeepSpeed
    "pytorch_model_fsdp*",
)
"""Files of a checkpoint that are no part of the model."""


def train(recipe: Recipe, out: Path, resume: bool = False, command: str = "") -> Path:
    """Run a recipe in a folder, and return the path of the report.

    Raises `ValueError` if the folder holds a run and `resume` is not set, or if that run has other settings;
    `OSError` and `RuntimeError` where a checkpoint or a number is bad (`checkpoints.Whole`).
    """
    hush()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    page = out / "report.html"
    with together() as processes:
        main = processes.is_main_process
        count = processes.num_processes
        longest = _longest(recipe, out, count) if main else 0
        with locked_folder(out) if main else nullcontext():
            if main:
                _prepare(recipe, out, resume, command, longest, count)
            processes.wait_for_everyone()
            start = _start(recipe, out)
            with Screen() as screen:  # which leaves the terminal to the bars of whole games
                if recipe.cold_start:
                    steps = recipe.cold_start.steps
                    imitate = _imitate(recipe, out / "data" / ROWS, count)
                    start = _stage(recipe, out, "cold_start", steps, screen, start, imitate)
                if recipe.grpo:
                    steps = recipe.grpo.steps
                    make_grpo = _reinforce(recipe, out / "data" / ROWS, count)
                    start = _stage(recipe, out, "grpo", steps, screen, start, make_grpo)
            if recipe.evaluation:
                _measure(recipe, out, processes.process_index, count)
                processes.wait_for_everyone()
            if main:
                write_text(page, report([out]))
    return page


def hush() -> None:
    """Silence progress bars and notices of libraries, but no warning about the loading of a model."""
    transformers_logging.set_verbosity_error()
    for module in LOADERS:
        transformers_logging.get_logger(f"transformers.{module}").setLevel(WARNING)
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    for module in ("transformers", "accelerate", "torch.distributed"):
        warnings.filterwarnings("ignore", category=FutureWarning, module=module)


def _longest(recipe: Recipe, out: Path, processes: int) -> int:
    """Check the settings, and return the limit of GRPO's replies in tokens; 0 without GRPO."""
    args = settings.both(recipe, out, processes)
    apart()
    if args is None:
        return 0
    check_server(args)
    return args.max_completion_length or 0


def _prepare(recipe: Recipe, out: Path, resume: bool, command: str, longest: int, processes: int) -> None:
    """Check that the run can start, and make its inputs: the tiny model and the data."""
    run = _open(recipe, out, resume, command) | {"processes": processes}
    _check_ours(out)
    if not _begun(out):
        (out / METRICS).unlink(missing_ok=True)
    write_json(out / RUN, run)
    start = _start(recipe, out, build=True)
    dry_run.check_loadable(recipe, start, longest)
    if recipe.cold_start:
        # With a GPU all CPU cores are idle; without one, the recipe sets the number of cores to use.
        workers = cores() if torch.cuda.is_available() else processes
        make_rows(recipe, out / "data", workers if workers > 1 else 0)


def _check_ours(out: Path) -> None:
    """Raise `ValueError` if files that a run would replace are of something else."""
    if (out / RUN).exists():
        if "recipe" not in read_json(out / RUN):
            raise ValueError(
                f"{out / RUN} is of something else than a training run; choose another folder with -o"
            )
        return
    for name in (METRICS, MODEL, "report.html", "cold_start", "grpo"):
        if (out / name).exists():
            raise ValueError(f"{out / name} is of no run that is here; choose another folder with -o")


def _open(recipe: Recipe, out: Path, resume: bool, command: str) -> Table:
    """Return the record of the run. Raises `ValueError` if a run in the folder has other settings."""
    machine = {
        "versions": {name: version(name) for name in ("vlm-gym", "torch", "transformers", "trl", "numpy")},
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }
    run: Table = {"recipe": recipe.resolved(), "commands": [command], **machine}
    vacant(out, resume)
    if _begun(out):
        before = {"earlier": [], **read_entries(out / RUN, recipe=dict, commands=list)}
        for name in ("commands", "earlier"):
            expected = str if name == "commands" else dict
            if not is_list_of(expected, before[name]):
                raise ValueError(f"{out / RUN} is broken: {name} is {strict.shown(before[name])}")
        try:  # parsed again, since an earlier vlm-gym may lack some of the keys, or name them otherwise
            begun = build(Recipe, renew(before["recipe"])).resolved()
        except ValueError as error:
            raise ValueError(f"{out} was begun by another vlm-gym: {error}; choose another folder") from error
        if changed := difference(_kept(begun), _kept(run["recipe"]), "recipe"):
            raise ValueError(f"{out} was begun with other settings: {changed}; choose another folder with -o")
        run["commands"] = list(dict.fromkeys([*before["commands"], command]))
        run["earlier"] = before["earlier"]
        if (earlier := {name: before.get(name) for name in machine}) != machine:
            run["earlier"].append(earlier)
    return run


def vacant(out: Path, resume: bool) -> None:
    """Raise `ValueError` if a folder holds a run and `resume` is not set."""
    if _begun(out) and not resume:
        raise ValueError(f"{out} holds a run already; go on with --resume, or choose another folder with -o")


def _begun(out: Path) -> bool:
    """Return whether a folder holds a run with a checkpoint or a finished stage. Others can be replaced."""
    stages = ("cold_start", "grpo") if (out / RUN).exists() else ()
    return any(checkpoints(out / stage) or (out / stage / DONE).exists() for stage in stages)


def _kept(plain: Table) -> Table:
    """Return the settings without the keys that may change."""
    kept = without(plain, MAY_CHANGE)
    for stage in ("cold_start", "grpo"):
        if kept[stage]:
            changeable = ("save", "steps") if stage == "grpo" else ("save",)
            settings_kept = without(kept[stage], changeable)
            settings_kept["trl"] = without(settings_kept["trl"], SERVER_KEYS)
            kept[stage] = settings_kept
    return kept


def _start(recipe: Recipe, out: Path, build: bool = False) -> Path:
    """Return the path of the model that the run starts from. The tiny model is built if `build` is set."""
    if recipe.model.path != "tiny":
        return Path(recipe.model.location)
    if not build:
        return out / MODEL
    if not _begun(out):  # a model that is there may be for another recipe
        shutil.rmtree(out / MODEL, ignore_errors=True)
    if not (out / MODEL).exists():
        with _aside(out / MODEL) as aside:
            tasks = [(task.game, task.reasoning) for task in recipe.task]
            asked = recipe.model
            side = max(task.look.size for task in recipe.task)
            tiny.build_model(
                aside,
                tasks,
                recipe.seed,
                asked.width,
                asked.depth,
                family=asked.family,
                side=side,
                positions=asked.positions,
                attention=asked.attention,
            )
    return out / MODEL


def _imitate(recipe: Recipe, data: Path, processes: int) -> MakeTrainer:
    def make_trainer(start: Path, out: Path) -> ColdStartTrainer:
        args = settings.cold_start(recipe, out, processes)
        model, processor, options = ready(recipe.model, start)
        assert recipe.cold_start is not None
        trainer = ColdStartTrainer(model, processor, args, data, **options)
        trainer.by_task = recipe.cold_start.by_task
        trainer.optimizing = _optimizer(recipe.cold_start.optimizer, args)
        return trainer

    return make_trainer


def reinforce(
    recipe: Recipe,
    model: PreTrainedModel,
    processor: ProcessorMixin,
    args: GRPOConfig,
    rows: Sequence[SFTExample] = (),
    learner_type: type[TrlLearner] = SharingLearner,
    peft_config: "PeftConfig | None" = None,
) -> TrlLearner:
    """Make the learner of a recipe's GRPO, with its method; `args` and `peft_config` go to TRL's trainer."""
    assert recipe.grpo is not None
    assert args.num_generations is not None
    method = GrpoMethod(recipe, args.num_generations, processor.tokenizer, rows)
    return learner_type(recipe.grpo, recipe.games, method, model, processor, args, peft_config)


def _reinforce(recipe: Recipe, data: Path, processes: int) -> MakeTrainer:
    def make_trainer(start: Path, out: Path) -> TrlLearner:
        args = settings.grpo(recipe, out, processes)
        model, processor, options = ready(recipe.model, start)
        assert recipe.grpo is not None
        anchor = recipe.grpo.anchor
        rows = list[SFTExample]()
        if anchor.weight and anchor.source == "cold_start":
            rows = [SFTExample(request, text, whole=True) for request, text in read_replies(recipe, data)]
        trainer = reinforce(recipe, model, processor, args, rows, **options)
        trainer.optimizing = _optimizer(recipe.grpo.optimizer, args)
        return trainer

    return make_trainer


def _optimizer(
    name: Optimizer, args: TrainingArguments
) -> Callable[[torch.nn.Module], torch.optim.Optimizer] | None:
    """Return a factory for an optimizer that TRL lacks; None for AdamW."""
    if name == "adamw":
        return None
    return partial(
        muon.make_optimizer, name=name, learning_rate=args.learning_rate, weight_decay=args.weight_decay
    )


def _stage(
    recipe: Recipe, run: Path, name: str, steps: int, screen: Screen, start: Path, make_trainer: MakeTrainer
) -> Path:
    """Run a stage from its last checkpoint to its end, and return the path of its model.

    The model is the last checkpoint without what only training needs, with adapters merged, and as
    precise as the model that the run was given.
    """
    out = run / name
    processes = PartialState()
    if (out / DONE).exists() and read_entries(out / DONE, asked=int)["asked"] == steps:
        return out / MODEL
    past = _past(out, steps) if steps else []
    if past and past == checkpoints(out):
        reached = step_number(past[-1])
        raise ValueError(
            f"{out} is {reached} steps on, and no checkpoint of {steps} or fewer is left; "
            f"ask for that many with --set {name}.steps={reached}, or choose another folder with -o"
        )
    processes.wait_for_everyone()  # all processes have checked the files
    if processes.is_main_process:
        for path in [*_played(run, out / MODEL), out / MODEL, *past]:
            shutil.rmtree(path, ignore_errors=True)
        if steps:
            cut(run / METRICS, name, steps)
    processes.wait_for_everyone()
    last = next(reversed(checkpoints(out)), None)
    if last is None or step_number(last) < (steps or read_entries(last / STATE, max_steps=int)["max_steps"]):
        _go_on(recipe, run, name, screen, make_trainer(start, out), last)
        apart()  # the trainer's memory and its ZeRO-3 settings would hinder the next stage
        last = checkpoints(out)[-1]
    if processes.is_main_process:
        with _aside(out / MODEL) as aside:
            shutil.copytree(last, aside, ignore=shutil.ignore_patterns(*ONLY_FOR_TRAINING))
            finish_checkpoint(aside, start)
        write_json(out / DONE, {"asked": steps})
    processes.wait_for_everyone()
    return out / MODEL


def _go_on(recipe: Recipe, run: Path, name: str, screen: Screen, trainer: Whole, last: Path | None) -> None:
    """Train to the end. No reference to the trainer is left then, so that its memory is free."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Tracker(run / METRICS, name, screen))
    if recipe.evaluation:
        trainer.probe = Probe(recipe, recipe.evaluation)
    trainer.go_on(last)
    trainer.accelerator.free_memory()


def _past(out: Path, steps: int) -> list[Path]:
    """List the checkpoints of a stage after its last step."""
    later = list[Path]()
    for path in checkpoints(out):
        if step_number(path) > steps:
            later.append(path)
    return later


def _played(run: Path, model: Path) -> list[Path]:
    """List the folders of a model's episodes, one for each evaluation."""
    return [folder(each, f"hf:{model}") for each in (run / "evaluation").glob("*")]


def _measure(recipe: Recipe, out: Path, rank: int, count: int) -> None:
    """Evaluate the models of the run and the baselines on held-out episodes.

    The models are those after each stage. Without a cold start, the model of the recipe is evaluated, too,
    as GRPO started from it. The process `rank` of `count` takes its share of the temperatures, and only
    the main process shows progress.
    """
    asked = recipe.evaluation
    assert asked is not None
    models = list[Path]()
    for stage in ("cold_start", "grpo"):
        if (out / stage / MODEL).exists():
            models.append(out / stage / MODEL)
    if recipe.cold_start is None:
        models.insert(0, _start(recipe, out))
    for temperature in asked.temperatures[rank::count]:
        evaluation = Evaluation(
            suite=recipe.suite(asked, temperature),
            policies=[*EVALUATED_BASELINES, *(f"hf:{model}" for model in models)],
            options={"batch": asked.batch, "pictures": recipe.model.pictures},
            parallel_episodes=asked.batch,
            quiet=rank > 0,
        )
        path = out / "evaluation" / (f"temperature-{temperature:g}" if temperature else "greedy")
        suite = evaluation.settings()["suite"]
        if (path / RUN).exists() and read_entries(path / RUN, suite=dict)["suite"] != suite:
            shutil.rmtree(path)  # its settings have changed; the evaluation is repeated
        evaluate(evaluation, path)


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `path` once it is complete."""
    aside = path.with_name(f"{path.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    yield aside
    aside.rename(path)
