"""No room imports from a floor above or beside it, no files of a room import each other in a circle.

The contracts are in pyproject.toml, under `[tool.importlinter]`. That they see what they should is tried on a package
of empty rooms: the same contracts, one bad import.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from importlinter.api import read_configuration
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
FLOORS: list[str] = read_configuration(str(PYPROJECT))["contracts_options"][0]["layers"]
IN_FUNCTION = "def late():\n    from {module} import thing\n    return thing\n"
TYPE_CHECKING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from {module} import thing\n"


@pytest.fixture(autouse=True)
def _keep_import_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let import-linter find the package of empty rooms, and take back what it adds to the import path itself."""
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """Return the folder of a package `rooms` with our rooms, all empty, and our contracts beside it."""
    contracts = PYPROJECT.read_text(encoding="utf-8").partition("[tool.importlinter]\n")
    (tmp_path / "pyproject.toml").write_text("".join(contracts[1:]).replace("macro_splat", "rooms"), encoding="utf-8")
    for name in [room.strip() for floor in FLOORS for room in floor.split("|")]:
        write(tmp_path / "rooms" / name / "__init__.py")
    write(tmp_path / "rooms" / "__init__.py")
    return tmp_path / "rooms"


def write(path: Path, content: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def keeps_contracts(pyproject: Path) -> bool:
    return lint_imports(config_filename=str(pyproject), no_cache=True, no_logo=True) == EXIT_STATUS_SUCCESS


def test_the_package_keeps_its_floors(capsys: pytest.CaptureFixture[str]) -> None:
    kept = keeps_contracts(PYPROJECT)
    assert kept, capsys.readouterr().out


def test_empty_rooms_and_downward_imports_are_allowed(rooms: Path) -> None:
    write(rooms / "ops" / "blur.py", "thing = 1\n")
    write(rooms / "model" / "model.py", "from rooms.ops.blur import thing\n")
    assert keeps_contracts(rooms.parent / "pyproject.toml")


@pytest.mark.parametrize("importing", [IN_FUNCTION, TYPE_CHECKING], ids=["in a function", "under TYPE_CHECKING"])
@pytest.mark.parametrize("above", ["rooms.model.model", "rooms.photographs.load"], ids=["above", "beside"])
def test_an_import_from_above_or_beside_is_found(
    rooms: Path, capsys: pytest.CaptureFixture[str], above: str, importing: str
) -> None:
    write(rooms / Path(*above.split(".")[1:]).with_suffix(".py"), "thing = 1\n")
    write(rooms / "ops" / "blur.py", importing.format(module=above))
    assert not keeps_contracts(rooms.parent / "pyproject.toml")
    assert f"rooms.ops.blur -> {above}" in capsys.readouterr().out


@pytest.mark.parametrize("importing", [IN_FUNCTION, TYPE_CHECKING], ids=["in a function", "under TYPE_CHECKING"])
def test_a_circle_between_files_of_a_room_is_found(
    rooms: Path, capsys: pytest.CaptureFixture[str], importing: str
) -> None:
    write(rooms / "ops" / "disc.py", "from rooms.ops.nearest import thing\n")
    write(rooms / "ops" / "nearest.py", importing.format(module="rooms.ops.disc"))
    assert not keeps_contracts(rooms.parent / "pyproject.toml")
    assert "No cycles are allowed in rooms.ops" in capsys.readouterr().out


def test_a_new_room_needs_a_floor(rooms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(rooms / "attic" / "__init__.py")
    assert not keeps_contracts(rooms.parent / "pyproject.toml")
    assert "attic" in capsys.readouterr().out
