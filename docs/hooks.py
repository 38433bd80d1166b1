"""What the site has beside the documents: the front page, games, reference, and files that documents link to.

All of it is made when the site is built, from the code and the files of the repository.
"""

import re
import shutil
from pathlib import Path, PurePosixPath
from posixpath import normpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from vlm_gym.gallery.document import example_picture, game_page, games_page
from vlm_gym.registry import find, names

ROOT = Path(__file__).parents[1]
FRONT = "README.md"
"""The page that is the front page of the site."""
ELSEWHERE = (FRONT, "CONTRIBUTING.md", "CHANGELOG.md", "assets/README.md")
"""Pages that are not in the folder of documents."""
LINK = re.compile(r"(?<=\]\()([^):#\s]+)(?=[)#])")


def on_startup(command: str, dirty: bool) -> None:
    """Lay the code out as it is installed, before the reference looks for it."""
    layout = ROOT / "build/api"
    shutil.rmtree(layout, ignore_errors=True)
    for room, installed in (("vlm_gym", "vlm_gym"), ("trainers", "vlm_gym/trainers")):
        for path in (ROOT / room).rglob("*.py"):
            copy = layout / installed / path.relative_to(ROOT / room)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def on_config(config: MkDocsConfig) -> None:
    """Add the pages of games and packages to the navigation."""
    games = [{find(name).title: f"games/{name}.md"} for name in names()]
    packages = [{package: f"api/{package}.md"} for package in modules()]
    for section in config.nav or []:
        for heading, pages in section.items():
            if heading == "Games":
                pages[1:1] = games
            elif heading == "Reference":
                pages += packages


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the files that are made here, and those of the repository that documents link to."""

    def add(place: str, content: str | bytes) -> None:
        files.append(File.generated(config, place, content=content))

    for place in ELSEWHERE:
        add(site_place(place), (ROOT / place).read_text())
    add("games/index.md", games_page())
    for name in names():
        add(f"games/{name}.md", game_page(name, "../gallery", f"{name}.png"))
        add(f"games/{name}.png", example_picture(name))
    add("api/index.md", reference())
    for package, members in modules().items():
        add(f"api/{package}.md", package_page(package, members))
    for file in list(files):
        if file.is_documentation_page():
            for target in LINK.findall(file.content_string):
                place = normpath(PurePosixPath(source_of(file.src_uri)).parent / target)
                linked = site_place(place)
                if files.get_file_from_path(linked) is None and (ROOT / place).is_file():
                    add(linked, (ROOT / place).read_bytes())


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links out of the folder of documents: the files they name stand elsewhere in the site."""
    source = PurePosixPath(source_of(page.file.src_uri))
    up = "../" * (len(PurePosixPath(page.file.src_uri).parts) - 1)

    def moved(link: re.Match[str]) -> str:
        place = normpath(source.parent / link[1])
        return up + site_place(place) if (ROOT / place).exists() else link[1]

    return LINK.sub(moved, markdown)


def source_of(place: str) -> str:
    """Return where in the repository a page of the site comes from."""
    for elsewhere in ELSEWHERE:
        if site_place(elsewhere) == place:
            return elsewhere
    return f"docs/{place}"


def site_place(place: str) -> str:
    """Return where in the site a file of the repository is."""
    if place == FRONT:
        return "index.md"
    if place.startswith("docs/"):
        return place.removeprefix("docs/")
    folder = re.fullmatch(r"games/(\w+)(?:/README\.md)?", place)
    return f"games/{folder[1].removeprefix('_')}.md" if folder else place


def modules() -> dict[str, list[str]]:
    """List the public modules of each package, by the names under which they are installed."""
    found: dict[str, list[str]] = {}
    for room in (ROOT / "vlm_gym", ROOT / "trainers"):
        for path in sorted(room.rglob("*.py")):
            parts = list(path.relative_to(ROOT).with_suffix("").parts)
            if parts[0] != "vlm_gym":
                parts.insert(0, "vlm_gym")
            if not parts[-1].startswith("_"):
                found.setdefault(".".join(parts[:-1]), []).append(".".join(parts))
    return found


def reference() -> str:
    """Write the page that leads to the packages."""
    lines = ["# Reference\n", "What a docstring says, package by package.\n"]
    lines += [f"- [`{package}`]({package}.md)" for package in modules()]
    return "\n".join(lines) + "\n"


def package_page(package: str, members: list[str]) -> str:
    """Write the page of a package: all its public modules."""
    return "\n\n".join([f"# {package}", *(f"::: {member}" for member in members)]) + "\n"
