"""Commands for one game: look at it, play it, check it."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlm_gym.cli.options import GameName, Perception, Reasoning, Seed

if TYPE_CHECKING:
    from vlm_gym.play.session import Session

HOST = "127.0.0.1"
PORT = 8765
"""Where the page of `play --browser` is, unless the caller chooses otherwise."""


def games(
    name: Annotated[
        str | None, typer.Argument(metavar="[GAME]", help="Show this game's rules, knobs and levels.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="Write one picture that shows all games and all perception levels."),
    ] = None,
) -> None:
    """List the games and the knobs of perception; with a name, all about that game."""
    from rich.console import Console

    from vlm_gym.gallery.catalogue import all_games, one_game

    if picture is not None:
        from vlm_gym.gallery.front import front_picture

        front_picture().save(picture, optimize=True)
        typer.echo(f"wrote {picture}")
        return
    for part in all_games() if name is None else one_game(name):
        Console().print(part)


def show(
    name: GameName,
    perception: Perception = "0",
    reasoning: Reasoning = "2",
    seed: Seed = 0,
    moves: Annotated[
        int, typer.Option("--moves", help="Play this many moves of the solver first.", min=0)
    ] = 0,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Picture file to write; .png or .jpg.")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Print the prompt and the scene in words.")] = False,
    contact: Annotated[
        bool,
        typer.Option("--contact", help="All 5 x 5 levels on one sheet: perception across, reasoning down."),
    ] = False,
) -> None:
    """Draw the picture that a model gets.

    vlm-gym show 2048 --seed 3 -o board.png
    """
    from vlm_gym.gallery.show import contact_sheet, describe, picture

    if text:
        typer.echo(describe(name, reasoning, seed, moves))
    if out is None and not text:
        out = Path(f"{name}.png")
    if out is not None:
        image = contact_sheet(name, seed) if contact else picture(name, perception, reasoning, seed, moves)
        image.save(out)
        typer.echo(f"wrote {out} ({image.width} x {image.height})")


def play(
    name: Annotated[
        str | None, typer.Argument(metavar="[GAME]", help="A game's name; `vlm-gym games` lists them.")
    ] = None,
    perception: Perception = "0",
    reasoning: Reasoning = "2",
    seed: Seed = 0,
    suite: Annotated[
        str | None,
        typer.Option(
            help="Instead of a game: all episodes of a suite, without hint and undo; needs --record."
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            help="Append each turn to this JSONL file, at once. "
            "After an undo, turns follow with the numbers of those taken back.",
        ),
    ] = None,
    terminal: Annotated[bool, typer.Option("--terminal", help="Play in words, without a window.")] = False,
    browser: Annotated[
        bool,
        typer.Option(
            "--browser",
            help="Play on a page in your browser: for a server without a display, through a tunnel.",
        ),
    ] = False,
    host: Annotated[
        str, typer.Option(help="--browser: address to listen on; 0.0.0.0 admits other machines.")
    ] = HOST,
    port: Annotated[
        int, typer.Option(help="--browser: port of the page; 0: any free port.", min=0, max=65535)
    ] = PORT,
) -> None:
    """Play a game yourself, with the pictures that a model gets.

    Play by arrow keys and clicks, or type an action and press Enter.
    An illegal action costs a turn, as it does for a model.
    h: hint, u: undo, n: new deal, Esc: leave (q in the terminal, Ctrl-C for a page).
    Type a space first if an action begins with one of these letters.

    vlm-gym play shisen_sho --perception 2 --record games.jsonl

    On a server, a page that opens through an SSH tunnel:

    vlm-gym play tetris --browser

    All episodes of a suite, for the row of a person in an evaluation; the same command continues them:

    vlm-gym play --suite core --record me.jsonl
    """
    from vlm_gym.evaluation.suite import suite as load
    from vlm_gym.play.session import Session
    from vlm_gym.play.walk import Walk

    begin = _front_end(terminal, browser, host, port)
    if suite is not None:
        if name is not None or (perception, reasoning, seed) != ("0", "2", 0):
            raise ValueError("--suite sets games, levels and deals; leave out GAME, -p, -r and --seed")
        if record is None:
            raise ValueError("--suite needs --record FILE: the next command continues from this file")
        sitting: Session = Walk(load(suite).episodes(), record)
    elif name is not None:
        sitting = Session(name, perception, reasoning, seed, record)
    else:
        raise ValueError(
            "name a game, such as `vlm-gym play 2048`, or a suite; `vlm-gym games` lists the games"
        )
    with sitting as session, suppress(KeyboardInterrupt):
        begin(session)


def _front_end(terminal: bool, browser: bool, host: str, port: int) -> "Callable[[Session], None]":
    """Return what a person plays at."""
    if terminal and browser:
        raise ValueError("--terminal and --browser are two ways to play; choose one")
    if not browser and (host, port) != (HOST, PORT):
        raise ValueError("--host and --port are where the page of --browser is; add --browser")
    if terminal:
        from vlm_gym.play.terminal import play_in_terminal

        return play_in_terminal
    if browser:
        try:
            from vlm_gym.play.browser import play_in_browser
        except ModuleNotFoundError as error:
            raise ValueError(
                f'a page in a browser needs {error.name}, an extra: pip install "vlm-gym[browser]"; '
                "--terminal needs none"
            ) from error
        return partial(play_in_browser, host=host, port=port)
    from vlm_gym.play.window import play_in_window

    return play_in_window


def check(name: GameName) -> None:
    """Run the conformance suite on one game, ours or a third party's."""
    from vlm_gym.check import RULES, problems
    from vlm_gym.registry import find

    game = find(name)
    failed = False
    for rule in RULES:
        broken = problems(rule, game)
        failed = failed or bool(broken)
        mark = typer.style("FAIL", fg="red") if broken else typer.style("ok  ", fg="green")
        typer.echo(f"{mark}  {rule.__name__.replace('_', ' ')}")
        for problem in broken[:5]:
            typer.echo(f"        {problem}")
        if len(broken) > 5:
            typer.echo(f"        and {len(broken) - 5} more")
    raise typer.Exit(1 if failed else 0)


def card(
    name: GameName,
    episodes: Annotated[int, typer.Option(help="Episodes for each row of the table.", min=2)] = 50,
) -> None:
    """Play the baselines at every level and write a game's card: table and picture in its folder."""
    from vlm_gym.gallery.card import write_card

    typer.echo(f"wrote {write_card(name, episodes)}")


def gallery(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[GAME]...", help="Games to show; all if none.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write to.")] = Path("gallery"),
    seed: Seed = 7,
) -> None:
    """Make a contact sheet and a film of each game, and a page that shows them all.

    vlm-gym gallery snake tetris -o shown
    """
    from vlm_gym.bars import bars
    from vlm_gym.gallery.pages import write_gallery
    from vlm_gym.registry import find
    from vlm_gym.registry import names as all_names

    chosen = names or all_names()
    for name in chosen:
        find(name)
    with bars(transient=True) as progress:
        task = progress.add_task("drawing", total=2 * len(chosen) + 1)
        for path in write_gallery(chosen, out, seed):
            progress.update(task, advance=1, description=path.name)
    typer.echo(f"wrote {out}/README.md and two pictures of {len(chosen)} games")
