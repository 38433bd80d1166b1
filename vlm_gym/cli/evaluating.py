"""The `eval` command: evaluate policies, and check leaderboard files."""

import shlex
import sys
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlm_gym.cli.options import MODELS_PANEL, BaseUrl, Options, model_options

if TYPE_CHECKING:
    from vlm_gym.evaluation.suite import Suite
    from vlm_gym.rollouts.history import Replies

WHAT = "What is played"
BOARD = "Leaderboard"
"""Headings of the help."""


def evaluate(
    policies: Annotated[
        list[str] | None,
        typer.Option(
            "--policy", help="Policies: legal, openai:NAME, hf:PATH, vllm:PATH; by commas, or repeat it."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder of the run; the same command resumes in it.")
    ] = None,
    baselines: Annotated[
        bool, typer.Option(help="Also evaluate random, greedy and solver; normalised scores need them.")
    ] = True,
    guests: Annotated[
        list[Path] | None,
        typer.Option(
            "--with", help="Add rows for recordings, such as those of people, or for another run's folder."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes for baselines and judging; default: one a core.", min=0),
    ] = None,
    parallel_episodes: Annotated[int, typer.Option(help="Episodes in play at the same time.", min=1)] = 64,
    suite: Annotated[
        str | None,
        typer.Option(help="core (the default), paper, quick, or a .toml file.", rich_help_panel=WHAT),
    ] = None,
    games: Annotated[
        str | None, typer.Option(help="Instead of a suite: games by commas, or all.", rich_help_panel=WHAT)
    ] = None,
    perception: Annotated[
        list[str] | None,
        typer.Option("--perception", "-p", help="Levels by commas: 0,2,4.", rich_help_panel=WHAT),
    ] = None,
    reasoning: Annotated[
        list[str] | None,
        typer.Option("--reasoning", "-r", help="Levels by commas: 0,2,4, or paper.", rich_help_panel=WHAT),
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(help="Episodes of each game and levels.", min=1, rich_help_panel=WHAT)
    ] = None,
    turn_limit: Annotated[
        int | None, typer.Option(help="Turn limit, replaces that of the level.", min=1, rich_help_panel=WHAT)
    ] = None,
    history: Annotated[
        int | None, typer.Option(help="Past turns that a model is shown.", min=0, rich_help_panel=WHAT)
    ] = None,
    history_replies: Annotated[
        str | None,
        typer.Option(
            metavar="whole|answer",
            help="How the replies of past turns are shown.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    base_url: BaseUrl = None,
    option: Options = None,
    reply_budget: Annotated[
        float,
        typer.Option(
            help="Seconds that all replies of an episode may take together; later turns are lost.",
            min=0,
            show_default=False,
            rich_help_panel=MODELS_PANEL,
        ),
    ] = inf,
    submit: Annotated[
        Path | None,
        typer.Option(
            help="Write a leaderboard file: suite, numbers, hashes, and a digest.", rich_help_panel=BOARD
        ),
    ] = None,
    verify: Annotated[
        Path | None, typer.Option(help="Check a leaderboard file; no model plays.", rich_help_panel=BOARD)
    ] = None,
    turns: Annotated[
        list[Path] | None,
        typer.Option(help="With --verify: play these turns again; files or folders.", rich_help_panel=BOARD),
    ] = None,
) -> None:
    """Evaluate policies on held-out games, beside baselines.

    vlm-gym eval --policy openai:NAME --base-url http://localhost:8000/v1 --suite core -o runs/name

    vlm-gym eval --policy openai:NAME --option concurrency=32 --option dollars_out=10 -o runs/name

    vlm-gym eval --games all --perception 0,2,4 --episodes 50 -o runs/baselines
    """
    from rich.console import Console

    from vlm_gym.evaluation.evaluate import Evaluation
    from vlm_gym.evaluation.evaluate import evaluate as run
    from vlm_gym.evaluation.leaderboard import check_place
    from vlm_gym.evaluation.leaderboard import submit as write
    from vlm_gym.evaluation.scoreboard import score_tables
    from vlm_gym.masking import masked
    from vlm_gym.workers import cores

    count = cores() if workers is None else workers
    if verify is not None:
        _verify(verify, turns or [], count)
        return
    if turns:
        raise ValueError("--turns are what --verify checks; name the file of a leaderboard with --verify")
    if out is None:
        raise ValueError("give the folder of the run: -o FOLDER")
    if submit is not None:
        check_place(submit)  # checked before any episode is played
    name, played = _suite(suite, games, perception, reasoning)
    options = model_options(base_url, option)
    players = list[str]()
    for text in policies or []:
        players += _policies(text)
    asked = Evaluation(
        suite=played.with_limits(episodes, turn_limit, history, _replies(history_replies)),
        name=name,
        policies=players,
        options=options,
        baselines=baselines,
        guests=guests or [],
        workers=count,
        parallel_episodes=parallel_episodes,
        reply_budget=reply_budget,
        command=masked(shlex.join(["vlm-gym", *sys.argv[1:]])),
    )
    try:
        results = run(asked, out)
    except KeyboardInterrupt:
        typer.echo(f"stopped; what was played is in {out}, and the same command goes on from there", err=True)
        raise typer.Exit(130) from None
    console = Console(markup=False)  # names of models and words of endpoints may hold brackets
    for part in score_tables(results):
        console.print(part)
    if submit is not None and results["complete"]:
        write(out, submit)
        typer.echo(f"wrote {submit}")
    if not results["complete"]:
        typer.secho(f"not complete; the same command goes on from there: see {out}", fg="red", err=True)
        raise typer.Exit(1)


def _policies(text: str) -> list[str]:
    """Split names of policies at commas, but for those inside of a model's name: ``hf:runs/a,b/model``."""
    from vlm_gym.rollouts.baselines import PLAYERS
    from vlm_gym.rollouts.policy import MODELS

    names: list[str] = []
    for piece in text.split(","):
        begins = piece in PLAYERS or piece.partition(":")[0] in MODELS
        if names and ":" in names[-1] and not begins:
            names[-1] += f",{piece}"
        else:
            names.append(piece)
    return names


def _suite(
    name: str | None, games: str | None, perception: list[str] | None, reasoning: list[str] | None
) -> tuple[str, "Suite"]:
    """Load the suite by its name, or make one of the options for games and levels."""
    from vlm_gym.evaluation.suite import Part, Suite, levels, suite

    if not (games or perception or reasoning):
        return name or "core", suite(name or "core")
    if name is not None:
        raise ValueError(f"--suite {name} says which games and levels are played; leave them out")
    part = Part(
        games=tuple((games or "all").split(",")),
        perception=levels(perception or ["0"]),
        reasoning=levels(reasoning or ["2"]),
    )
    return "by hand", Suite(part=(part,))


def _replies(word: str | None) -> "Replies | None":
    """Check a word of the command line."""
    from vlm_gym.config import read_value
    from vlm_gym.rollouts.history import Replies

    checked: Replies | None = read_value(Replies | None, word, "--history-replies")
    return checked


def _verify(path: Path, turns: list[Path], workers: int) -> None:
    from vlm_gym.evaluation.leaderboard import check_leaderboard

    checked = check_leaderboard(path, turns, workers)
    for problem in checked.problems:
        typer.secho(problem, fg="red")
    if checked.problems:
        raise typer.Exit(1)
    for policy in checked.replayed:
        typer.echo(f"{policy}: played again")
    summary = "no turns were given"
    if turns:
        summary = f"{checked.turns:,} turns played again, all numbers as they should be"
    if checked.unproved:
        summary += f", so nothing is proved about {', '.join(checked.unproved)}: give the turns with --turns"
    typer.echo(f"{path} is as it was written; {summary}")
