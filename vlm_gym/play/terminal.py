"""Play in words, line by line: for a machine without a display, and for pipes."""

import typer

from vlm_gym.game import few
from vlm_gym.play.session import Session

_COLORS = {"illegal": "red", "hint": "blue", "won": "green", "lost": "yellow"}


def play_in_terminal(session: Session) -> None:
    """Play on standard input and output until `q`, the end of input or Ctrl-C."""
    keys = "".join(f"{key}: {command.effect}, " for key, command in session.commands.items())
    typer.echo(f"Type an action and Enter. {keys}q: leave.")
    while True:
        if session.note.about == "rules":
            typer.secho(f"\n{session.game.title} · {session.deal}", bold=True)
            typer.echo(f"Action: {session.game.form}")
        heading = typer.style(session.note.heading, fg=_COLORS.get(session.note.about), bold=True)
        typer.echo(f"\n{heading}\n{session.note.text}")
        if session.note.about != "hint":
            typer.echo(f"\n{board_text(session)}")
        try:
            line = input("> ")
        except EOFError:
            typer.echo()
            return
        if line == "q":
            return
        if line in session.commands:
            session.commands[line].do()
        elif line.strip():
            session.play(line.strip())


def board_text(session: Session) -> str:
    """Write the board with its row and column numbers, objects and notes, legal actions, and the score."""
    grid = session.run.scene.grid()
    head = ["", *map(str, range(1, len(grid[0]) + 1))]
    rows = [head]
    for number, row in enumerate(grid, 1):
        rows.append([str(number), *row])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padded = [word.rjust(width) for word, width in zip(row, widths, strict=True)]
        lines.append("  ".join(padded).rstrip())
    scene = session.run.scene
    lines += [item.words for item in scene.placed()]
    lines += scene.notes
    board = "\n".join(lines)
    legal = f"legal: {few(session.run.legal)}" if not session.run.ended else "the episode has ended"
    return (
        f"{board}\n{session.run.state.score:g} {session.game.unit}, {session.turns_left} turns left; {legal}"
    )
