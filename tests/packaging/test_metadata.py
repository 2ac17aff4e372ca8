"""The package as pip sees it: its entry points lead somewhere, and its wheel needs no compiler."""

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_entry_points_load() -> None:
    distribution = importlib.metadata.distribution("macro-splat")
    found = {(point.group, point.name): point.load() for point in distribution.entry_points}
    assert set(found) == {
        ("console_scripts", "macro-splat"),
        ("nerfstudio.method_configs", "macro-splat"),
        ("nerfstudio.dataparser_configs", "macro-rig-data"),
        ("torch.backends", "macro-splat"),
    }
    assert found["nerfstudio.method_configs", "macro-splat"].config.method_name == "macro-splat"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our wheel, built by the setuptools at hand from a copy of the sources (no network, nothing left behind)."""
    folder = tmp_path_factory.mktemp("wheel")
    tracked = ["pyproject.toml", "README.md", "LICENSE", "macro_splat"]
    subprocess.run(["cp", "-r", *(str(ROOT / name) for name in tracked), str(folder)], check=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder / "out", folder],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return next((folder / "out").glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_is_pure_python(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_page_part(wheel: Path) -> None:
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "macro_splat").rglob("*.py")}
    report = ROOT / "macro_splat" / "report"
    pages = {str(path.relative_to(ROOT)) for name in ("templates", "static") for path in (report / name).iterdir()}
    assert {path.rpartition(".")[2] for path in pages} == {"html", "css", "js"}
    sources |= pages
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("macro_splat/")}
    assert sources - packed == set()
