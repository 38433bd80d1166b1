"""The rows of a cold start in the formats of other trainers, beside the rows themselves."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from shutil import rmtree

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, List, Value

from vlm_gym.actions import SECTIONS
from vlm_gym.knobs import suggest
from vlm_gym.storage import locked_folder

from .cold_start_rows import DataRow

PICTURE = "<image>"
"""The placeholder of a picture in the text of other trainers."""
DATA_SET = "vlm_gym"
"""The name of the data set in LLaMA-Factory's ``dataset_info.json``."""

_FOLDER = 1000
"""Pictures in a folder."""

_EASYR1 = Features(
    {
        "problem": Value("string"),
        "answer": Value("string"),
        "position": Value("string"),
        "images": List(Image()),
    }
)


def export(path: Path, form: str) -> Path:
    """Write rows in a format, and return the path that a trainer reads.

    Existing files are not written again. Raises `ValueError` for an unknown format, or if a reply holds the
    mark that stands for a picture.
    """
    write = writer(form)
    if write is None:
        return path
    out = path.parent / form
    with locked_folder(path.parent, wait=True):
        if out.exists():
            return out
        aside = out.with_name(f"{form}.part")
        if aside.exists():
            rmtree(aside)
        aside.mkdir()
        write(path, aside)
        aside.replace(out)
    return out


def writer(form: str) -> Callable[[Path, Path], None] | None:
    """Return the function that writes a format into an empty folder; None for the format of the rows.

    Raises `ValueError` that lists the formats.
    """
    if form not in FORMATS:
        known = list(FORMATS)
        raise ValueError(f"unknown format {form!r}{suggest(form, known)}; formats: {', '.join(known)}")
    return FORMATS[form]


def read_rows(path: Path) -> Iterator[DataRow]:
    """Read rows as they are on disk, pictures as PNG, as many at a time as were written at once."""
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield from file.read_row_group(number).to_pylist()


def _llamafactory(path: Path, out: Path) -> None:
    """Write ShareGPT's JSON, a file for every picture, and the description that LLaMA-Factory looks up."""
    with (out / "rows.json").open("w", encoding="utf-8") as file:
        for number, row in enumerate(read_rows(path)):
            pictures = []
            for index, image in enumerate(row["images"]):
                name = Path("images") / f"{number // _FOLDER:03}" / f"{number:06}-{index}.png"
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                (out / name).write_bytes(image["bytes"])
                pictures.append(name.as_posix())
            conversation = [*row["prompt"], *row["completion"]]
            messages = list[dict[str, str]]()
            for message in conversation:
                messages.append({"role": message["role"], "content": _text(message["content"])})
            _check(messages, pictures)
            entry = {"messages": messages, "images": pictures}
            file.write(("[\n" if number == 0 else ",\n") + json.dumps(entry, ensure_ascii=False))
        file.write("\n]\n")
    description = {
        "file_name": "rows.json",
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
        },
    }
    (out / "dataset_info.json").write_text(
        json.dumps({DATA_SET: description}, indent=2) + "\n", encoding="utf-8"
    )


def _easyr1(path: Path, out: Path) -> None:
    """Write EasyR1's Parquet: problem, teacher's action, and position, by which any reply can be scored."""
    schema = _EASYR1.arrow_schema
    with pq.ParquetWriter(out / "rows.parquet", schema) as file, pq.ParquetFile(path) as rows:
        for number in range(rows.num_row_groups):
            problems = list(map(_problem, rows.read_row_group(number).to_pylist()))
            file.write_table(pa.Table.from_pylist(problems, schema))


def _problem(row: DataRow) -> DataRow:
    if len(row["prompt"]) > 1:
        raise ValueError("easyr1 has no place for turns before; make the data with history=0, or for trl")
    (asked,) = row["prompt"]
    (message,) = row["completion"]
    opening = f"<{SECTIONS[-1]}>"
    closing = f"</{SECTIONS[-1]}>"
    return {
        "problem": _text(asked["content"]),
        "answer": _text(message["content"]).rpartition(opening)[2].removesuffix(closing),
        "position": json.dumps({"game": row["game"], "state": json.loads(row["state"])}, ensure_ascii=False),
        "images": row["images"],
    }


def _text(blocks: Sequence[Mapping[str, str]]) -> str:
    """Write typed blocks as one text, with a mark in the place of every picture."""
    texts = list[str]()
    for block in blocks:
        texts.append(PICTURE if block["type"] == "image" else block["text"])
    return "".join(texts)


def _check(messages: Sequence[Mapping[str, str]], pictures: Sequence[str]) -> None:
    marks = sum(message["content"].count(PICTURE) for message in messages)
    if marks != len(pictures):
        raise ValueError(
            f"{marks} marks {PICTURE} for {len(pictures)} pictures in {messages[-1]['content']!r}"
        )


FORMATS: Mapping[str, Callable[[Path, Path], None] | None] = {
    "trl": None,
    "llamafactory": _llamafactory,
    "easyr1": _easyr1,
}
"""The function that writes each format; TRL reads the rows as they are."""
