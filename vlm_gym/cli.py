"""The `vlm-gym` command: what a user types. Every command is a thin door to a module."""

import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="vlm-gym",
    help="Games that a vision-language model learns to play from screenshots.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

GameName = Annotated[str, typer.Argument(metavar="GAME", help="A game's name; `vlm-gym games` lists them.")]
Perception = Annotated[
    str,
    typer.Option(
        "--perception", "-p", help="How hard to read: a level 0-4, or knobs such as `level=2,size=128`."
    ),
]
Reasoning = Annotated[
    str,
    typer.Option(
        "--reasoning",
        "-r",
        help="How hard to solve: a level 0-4, `paper`, or knobs such as `rows=8,kinds=9`.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", "-s", help="The deal: the same as env.reset(seed=...).")]


@app.command()
def games(
    name: Annotated[
        str | None, typer.Argument(metavar="[GAME]", help="Show this game's rules, knobs and levels.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Write a sheet of all games and perception levels.")
    ] = None,
) -> None:
    """List the games and the knobs of perception; with a name, all about that game."""
    from rich.console import Console

    from vlm_gym.catalogue import all_games, one_game

    if picture is not None:
        from vlm_gym.show import gallery

        gallery().save(picture)
        typer.echo(f"wrote {picture}")
        return
    for part in all_games() if name is None else one_game(name):
        Console().print(part)


@app.command()
def show(
    name: GameName,
    perception: Perception = "0",
    reasoning: Reasoning = "2",
    seed: Seed = 0,
    moves: Annotated[
        int, typer.Option("--moves", help="Let the solver play this many moves first.", min=0)
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
    from vlm_gym.show import contact_sheet, describe, picture

    if text:
        typer.echo(describe(name, reasoning, seed, moves))
    if out is None and not text:
        out = Path(f"{name}.png")
    if out is not None:
        image = contact_sheet(name, seed) if contact else picture(name, perception, reasoning, seed, moves)
        image.save(out)
        typer.echo(f"wrote {out} ({image.width} x {image.height})")


@app.command()
def play(
    name: GameName,
    perception: Perception = "0",
    reasoning: Reasoning = "2",
    seed: Seed = 0,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            help="Append each turn to this JSONL file, at once. "
            "After an undo, turns follow with the numbers of those taken back.",
        ),
    ] = None,
    terminal: Annotated[bool, typer.Option("--terminal", help="Play in words, without a window.")] = False,
) -> None:
    """Play a game yourself, on the very picture that a model sees.

    Arrow keys and clicks on tiles play; or type an action and press Enter.
    An illegal action costs 1 and a turn, as it does a model.
    h: hint, u: undo, n: new deal, Esc: leave (q in the terminal).
    A space first types a word that begins with such a letter.

    vlm-gym play shisen_sho --perception 2 --record games.jsonl
    """
    from vlm_gym.play.session import Session

    if terminal:
        from vlm_gym.play.terminal import play_in_terminal as begin
    else:
        from vlm_gym.play.window import play_in_window as begin
    with Session(name, perception, reasoning, seed, record) as session, suppress(KeyboardInterrupt):
        begin(session)


@app.command()
def rollout(
    games: Annotated[str, typer.Option(help="Games, separated by commas; their episodes take turns.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="File for the turns: .jsonl or .jsonl.zst.")],
    policy: Annotated[str, typer.Option(help="Who plays: random, legal, greedy, solver, ...")] = "solver",
    episodes: Annotated[int, typer.Option(help="Episodes of each game.", min=1)] = 100,
    first: Annotated[int, typer.Option(help="Index of the first episode.", min=0)] = 0,
    split: Annotated[str, typer.Option(help="Stream of deals: train, test, or free (seeds).")] = "train",
    perception: Perception = "0",
    reasoning: Reasoning = "2",
    workers: Annotated[int, typer.Option(help="Processes to play in; 0: this one.", min=0)] = 0,
    lanes: Annotated[int, typer.Option(help="Episodes in play at the same time.", min=1)] = 64,
    ray: Annotated[
        str | None, typer.Option(help="Play on a Ray cluster instead: auto, local, or HOST:PORT.")
    ] = None,
    policy_actors: Annotated[
        int,
        typer.Option(help="With --ray: policies in actors of their own, on GPUs if there are any.", min=0),
    ] = 0,
) -> None:
    """Play episodes and write down every turn. The same command goes on where it was stopped.

    vlm-gym rollout --games 2048,swap --policy solver --episodes 1000 --workers 2 -o turns.jsonl.zst
    """
    from vlm_gym.collect import addresses, collect
    from vlm_gym.policy import Baseline

    if ray is not None and workers:
        raise ValueError("--workers and --ray cannot both say where to play")
    if ray is None and policy_actors:
        raise ValueError("--policy-actors live on a cluster; say which with --ray")
    asked = addresses(games.split(","), perception, reasoning, split, range(first, first + episodes))
    player = partial(Baseline, policy)
    try:
        if ray is None:
            collect(out, asked, player(), workers, lanes)
            return
        from vlm_gym.cluster import Cluster

        with Cluster(ray) as cluster:
            actors = cluster.policy(player, policy_actors) if policy_actors else player()
            collect(out, asked, actors, cluster, lanes)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def check(name: GameName) -> None:
    """Run the conformance suite on one game, ours or a third party's."""
    from vlm_gym.check import RULES, problems
    from vlm_gym.registry import find

    game, failed = find(name), False
    for rule in RULES:
        found = problems(rule, game)
        failed = failed or bool(found)
        mark = typer.style("FAIL", fg="red") if found else typer.style("ok  ", fg="green")
        typer.echo(f"{mark}  {rule.__name__.replace('_', ' ')}")
        for problem in found[:5]:
            typer.echo(f"        {problem}")
        if len(found) > 5:
            typer.echo(f"        and {len(found) - 5} more")
    raise typer.Exit(1 if failed else 0)


@app.command()
def card(
    name: GameName,
    episodes: Annotated[int, typer.Option(help="Episodes for each row of the table.", min=2)] = 50,
) -> None:
    """Play the baselines at every level and write a game's card: table and picture in its folder."""
    from vlm_gym.card import write_card

    typer.echo(f"wrote {write_card(name, episodes)}")


@app.command()
def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GAME]...", help="Games to time; all, and installed peers, if none."),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Each figure is the best of so many.", min=1)] = 5,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the figures here; `-` prints them, and no table.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Print new / old, old from a file of --json.")
    ] = None,
) -> None:
    """Time resets, rules and pictures, in copies of a frame measured in the same run.

    vlm-gym bench 2048 --json before.json
    """
    from rich.console import Console

    from vlm_gym.bench import from_json, measure_all, tables, to_json

    old = None if against is None else from_json(against.read_text())
    rows = measure_all(names or [], rounds)
    if json == Path("-"):
        typer.echo(to_json(rows))
        return
    if json is not None:
        json.write_text(to_json(rows))
    for table in (*tables(rows), *(tables(rows, old) if old else ())):
        Console().print(table)


def main() -> None:
    """Run the command; a user's mistake ends in one clear line, not in a traceback."""
    try:
        app()
    except (ValueError, RuntimeError, OSError) as error:
        typer.secho(f"vlm-gym: {error}", fg="red", err=True)
        sys.exit(2)
