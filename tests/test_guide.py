"""What the project's pages name is there: paths, modules, and a line for every room on its floor."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from importlinter.api import read_configuration

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *(ROOT / "assets").rglob("*.md"), *(ROOT / "tests").rglob("*.md")]
GUIDE = ROOT / "assets" / "guide" / "architecture.md"
PATHS = re.compile(r"(?<![\w/.-])(?:macro_splat|tests|assets|\.ci)/[\w./*-]*")
MODULES = re.compile(r"python -m ((?:tests|macro_splat)\.[a-z_.]+)")  # capitals stand for any name
FILES_IN_GUIDE = re.compile(r"`([\w*]+\.(?:py|md|toml))`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_and_modules_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = {path for path in PATHS.findall(text) if not any(ROOT.glob(path.rstrip("./")))}
    missing |= {module for module in MODULES.findall(text) if importlib.util.find_spec(module.rstrip(".")) is None}
    assert missing == set()


def test_files_that_the_guide_names_without_a_folder_exist() -> None:
    names = FILES_IN_GUIDE.findall(GUIDE.read_text(encoding="utf-8"))
    assert [name for name in names if not any((ROOT / "macro_splat").rglob(name)) and not (ROOT / name).is_file()] == []


def test_every_room_has_its_line_on_its_floor() -> None:
    layers = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"][0]["layers"]
    floors = {room.strip(): height for height, floor in enumerate(reversed(layers)) for room in floor.split("|")}
    rows = re.findall(r"^\| (\d+) \| `(\w+)(?:/|\.py)` \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {room: int(height) for height, room in rows} == floors
    assert [int(height) for height, _ in rows] == sorted((int(height) for height, _ in rows), reverse=True)
