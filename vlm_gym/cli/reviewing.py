"""Commands that look back at what was played: pages, films and proofs."""

from pathlib import Path
from typing import Annotated

import typer

Most = Annotated[
    int, typer.Option("--turns", help="Largest number of turns on the page, divided evenly.", min=1)
]

_PAGE = b"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
"""What stands in the head of every page of ours: the policy that keeps it from the network."""


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording: .jsonl or .jsonl.zst.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Page to write; default: FILE.html."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Play every line again, and report lines that break the rules.")
    ] = False,
    gif: Annotated[Path | None, typer.Option("--gif", help="Write one episode as an animation.")] = None,
    mp4: Annotated[Path | None, typer.Option("--mp4", help="The same as a video (extra `video`).")] = None,
    episode: Annotated[int, typer.Option(help="Number of the episode to film, from 1.", min=1)] = 1,
    turns: Most = 20_000,
) -> None:
    """Look at a recording: as a page that opens without a network, as a film, or line by line.

    vlm-gym replay turns.jsonl -o turns.html

    vlm-gym replay turns.jsonl --verify
    """
    if verify:
        _verify(file)
    if gif is not None or mp4 is not None:
        _film(file, episode, [path for path in (gif, mp4) if path is not None])
    if out is not None or not (verify or gif or mp4):
        from vlm_gym.replays.replay import plays
        from vlm_gym.report import replay as page
        from vlm_gym.storage import bare_name

        _write(out or file.with_name(f"{bare_name(file)}.html"), page(file.name, plays(file), turns))


def report(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Folders of runs, recordings, numbers by step.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Page to write.")] = Path("report.html"),
    turns: Most = 20_000,
) -> None:
    """Write one page over runs: tables, curves, what went wrong, and every turn to look at.

    vlm-gym report runs/* -o report.html
    """
    from vlm_gym.report import report as page

    _check_page(out)  # checked before an hour of judging
    _write(out, page(paths, turns))


def _verify(file: Path) -> None:
    from vlm_gym.replays.replay import verify

    verified = verify(file)
    for problem in verified.problems:
        typer.secho(str(problem), fg="red")
    summary = f"{verified.turns:,} turns played again, {verified.pictures:,} pictures drawn again"
    if verified.problems:
        count = len({problem.line for problem in verified.problems})
        typer.echo(f"{summary}; {count} line{'s' * (count > 1)} cannot be true")
        raise typer.Exit(1)
    if verified.earlier:
        summary += f", {verified.earlier:,} turns by the knobs of an earlier version"
    typer.echo(f"{summary}; all as recorded")


def _film(file: Path, episode: int, paths: list[Path]) -> None:
    from vlm_gym.replays.film import write_film
    from vlm_gym.replays.replay import plays

    played = plays(file)
    if episode > len(played):
        raise ValueError(f"{file} has no episode {episode}; it holds {len(played)}")
    for path in paths:
        write_film(played[episode - 1], path)
        typer.echo(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")


def _check_page(path: Path) -> None:
    """Raise `ValueError` if a path holds something else than a page of ours, which a new one may replace."""
    if not path.is_file() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        if _PAGE not in file.read(1000):
            raise ValueError(f"{path} holds something else than a page of vlm-gym; choose another with -o")


def _write(path: Path, text: str) -> None:
    from vlm_gym.storage import write_text

    _check_page(path)
    write_text(path, text)
    typer.echo(f"wrote {path} ({len(text) / 1e6:.1f} MB)")
