"""The `vlm-gym` command: what a user types. Every command is a thin door to a module."""

import sys
from io import TextIOWrapper

import typer

from vlm_gym import interrupts
from vlm_gym.cli.evaluating import evaluate
from vlm_gym.cli.looking import card, check, gallery, games, play, show
from vlm_gym.cli.options import WithOptions
from vlm_gym.cli.planning import plan
from vlm_gym.cli.reviewing import replay, report
from vlm_gym.cli.running import rollout
from vlm_gym.cli.serving import serve
from vlm_gym.cli.timing import bench
from vlm_gym.cli.training import data, train

app = typer.Typer(
    name="vlm-gym",
    help="Games that a vision-language model learns to play from screenshots.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    games,
    show,
    play,
    replay,
    report,
    check,
    card,
    gallery,
    bench,
    data,
    plan,
    train,
    serve,
):
    app.command()(command)
app.command("rollout", cls=WithOptions)(rollout)
app.command("eval", cls=WithOptions)(evaluate)


def main() -> None:
    """Run the command; a user's mistake ends in one clear line, not in a traceback, and so does Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no × shows ? in its place
    with interrupts.handled():
        try:
            _run()
        except KeyboardInterrupt:  # also one that comes while an error is handled
            sys.exit(interrupts.STATUS)


def _run() -> None:
    """Run the command. Exits with status 2 and one line for a user's mistake."""
    try:
        app()
    except Exception as error:
        if interrupts.came():  # libraries turn it into errors of their own
            sys.exit(interrupts.STATUS)
        if not isinstance(error, ValueError | RuntimeError | OSError):
            raise
        typer.secho(f"vlm-gym: {error}", fg="red", err=True)
        sys.exit(2)
