"""A tiny model that has learnt to answer, rightly or not, so that its replies differ in what they earn."""

from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback
from vlm_gym.trainers import settings
from vlm_gym.trainers.learner import Completion
from vlm_gym.trainers.learners.sharing_learner import SharingLearner
from vlm_gym.trainers.learners.trl_learner import TrlLearner
from vlm_gym.trainers.models.encoding import Prompt, encode_prompt
from vlm_gym.trainers.models.tiny import build_model
from vlm_gym.trainers.models.transformers_policy import encode_requests, load_model
from vlm_gym.trainers.recipe import Grpo, Recipe, Shares, Task
from vlm_gym.trainers.rewards import grade_completion
from vlm_gym.trainers.start_states import Start, StartStates
from vlm_gym.trainers.train import reinforce

from vlm_gym.dice import Dice
from vlm_gym.registry import find
from vlm_gym.rollouts.policy import Request

TASKS = (
    Task(game="2048", reasoning="0", perception="level=0,size=64", moves=4),
    Task(game="swap", reasoning="0", perception="level=0,size=96", moves=4, weight=2),
)
LENGTH = 16
"""Tokens that an answer takes, and a few more."""


def asked(task: Task, seed: int = 0) -> Request:
    """Request a reply to a deal."""
    return task.request(find(task.game).start(seed, task.knobs))


def build_talker(folder: Path, steps: int = 60) -> Path:
    """Teach a model short answers in a few seconds, and save it."""
    torch.set_num_threads(1)
    build_model(folder, [(task.game, task.reasoning) for task in TASKS], width=64, depth=1)
    (model, processor), dice = load_model(folder), Dice(0)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(steps):
        requests = [asked(task, dice.below(1000)) for task in TASKS for _ in range(4)]
        words = [f"<answer>{_action(request, dice)}</answer><|im_end|>" for request in requests]
        shown = encode_requests(processor, requests)
        said = processor.tokenizer(words, padding=True, padding_side="right", return_tensors="pt")
        labels = said["input_ids"].masked_fill(said["attention_mask"] == 0, -100)
        optimizer.zero_grad()
        model(
            pixel_values=shown["pixel_values"],
            image_grid_thw=shown["image_grid_thw"],
            input_ids=torch.cat([shown["input_ids"], said["input_ids"]], 1),
            attention_mask=torch.cat([shown["attention_mask"], said["attention_mask"]], 1),
            mm_token_type_ids=torch.nn.functional.pad(shown["mm_token_type_ids"], (0, labels.shape[1])),
            labels=torch.cat([torch.full_like(shown["input_ids"], -100), labels], 1),
        ).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    return folder


def grouped(
    path: Path,
    out: Path,
    tasks: tuple[Task, ...] = TASKS,
    trl: Any = None,
    kind: type[TrlLearner] = SharingLearner,
    processes: int = 1,
    history: int | None = None,
    **asked_for: Any,
) -> TrlLearner:
    """Make a trainer with short groups, that learns from a few positions."""
    told = {"num_generations": 4, "max_completion_length": LENGTH, "learning_rate": 1e-3, **(trl or {})}
    spread = Shares(fresh=0.5, walk=0.5)
    grpo = Grpo(
        **{
            "steps": 2,
            "prompts_per_step": 4,
            "save": 100,
            "shares": spread,
            "reward": "progress",
            **asked_for,
        },
        trl=told,
    )
    recipe = Recipe(task=tasks, grpo=grpo, history=history)
    made = reinforce(recipe, *load_model(path), settings.grpo(recipe, out, processes), learner_type=kind)
    made.remove_callback(PrinterCallback)
    return made


class Listener(TrainerCallback):
    """Hears what is logged, and which positions were replied to."""

    def __init__(self, trainer: TrlLearner) -> None:
        self.lines: list[dict[str, Any]] = []
        self.rows: list[list[Completion]] = []
        self._update, trainer.update = trainer.update, self._note
        self._batch: list[Completion] = []
        trainer.add_callback(self)

    def _note(self, batch: list[Completion], *rest: Any) -> None:
        self._batch = batch
        self._update(batch, *rest)

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs:
            self.lines.append(dict(logs))
            self.rows.append(self._batch)


class Watcher:
    """Keeps the pictures that a model is run on, and the tokens that it writes from."""

    def __init__(self, model: Any) -> None:
        self.pictures: list[torch.Tensor] = []
        self.prompts: list[torch.Tensor] = []
        model.register_forward_pre_hook(self._look, with_kwargs=True)
        self._generate, model.generate = model.generate, self._note

    def _look(self, model: Any, given: Any, inputs: dict[str, Any]) -> None:
        if inputs.get("pixel_values") is not None:
            self.pictures.append(inputs["pixel_values"])

    def _note(self, **inputs: Any) -> Any:
        self.prompts.append(inputs["input_ids"])
        return self._generate(**inputs)


def groups(rows: list[Completion], size: int = 4) -> list[list[Completion]]:
    return [rows[at : at + size] for at in range(0, len(rows), size)]


def drawn(trainer: TrlLearner) -> dict[str, Any]:
    """Sample and grade the first batch of TRL's loader."""
    trainer.model.train()
    return trainer._generate_and_score_completions(next(iter(trainer.get_train_dataloader())))


def rewards_of(trainer: TrlLearner, rows: list[Completion]) -> list[float]:
    return [row.grade.reward(trainer._asked.weights) for row in rows]


def write(made: TrlLearner, requests: list[Request]) -> list[str]:
    """Sample replies as in training."""
    prompts = [encode_prompt(made.processing_class, request) for request in requests]
    replies, _ = made.write(requests, prompts, 1)
    return made.processing_class.batch_decode(replies, skip_special_tokens=True)


def _action(request: Request, dice: Dice) -> str:
    game, state = request.game, request.state
    return dice.choice(game.legal(state) if dice.chance(0.8) else game.actions(state.knobs))


def completed(request: Request, text: str) -> Completion:
    """Make a graded completion, with a prompt of no tokens."""
    grade = grade_completion(request, text)
    return Completion(request=request, prompt=Prompt({}, {}, ()), ids=[1], text=text, grade=grade)


def said(action: str) -> str:
    """Write a reply that is an answer alone."""
    return f"<answer>{action}</answer>"


def each(requests: list[Request], n: int) -> list[Request]:
    """List what is asked for, reply by reply."""
    return [request for request in requests for _ in range(n)]


def of_attempts(made: TrlLearner, attempts: int) -> list[list[Start]]:
    """List the start states of the first step, as they are dealt at first and when groups are drawn again."""
    starts = StartStates(Recipe(task=made.method.starts._tasks, grpo=made._asked), made._asked)
    return [starts.deal(0, attempt) for attempt in range(attempts + 1)]
