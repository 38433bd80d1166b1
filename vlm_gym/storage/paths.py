"""Names of files and folders."""

from pathlib import Path

ENDINGS = (".jsonl.zst", ".jsonl")
"""Of files of lines. The longest one is first."""


def bare_name(path: Path) -> str:
    """Return the name of a run or a recording: a known ending is left out, other dots stay.

    ``qwen2.5-vl-7b`` stays as it is, ``v1.2.jsonl.zst`` is ``v1.2``.
    """
    for ending in ENDINGS:
        if path.name.endswith(ending) and path.name != ending:
            return path.name.removesuffix(ending)
    return path.name


def from_home(path: str) -> str:
    """Replace ``~`` at the beginning of a path. Anything else, such as a name on a hub, stays as it is."""
    return str(Path(path).expanduser()) if path.startswith("~") else path
