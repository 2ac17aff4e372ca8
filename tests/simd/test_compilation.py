"""Where compiled kernels are kept, when they are compiled again, and what is said about it.

Each process here compiles a kernel of two lines from a folder of its own, with a cache folder of its own.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from macro_splat.errors import MacroSplatError
from macro_splat.simd import compilation

ROOT = Path(__file__).resolve().parents[2]

KERNELS = """
import numpy as np
from factor import FACTOR
from macro_splat.simd import kernel, run, take
from macro_splat.simd.lanes import load, store

@kernel
def scale(queue, numbers):
    while take(queue) >= 0:
        store(numbers, 0, load(numbers, 0) * FACTOR)

numbers = np.ones(8, np.float32)
run(scale, 1, numbers)
print(numbers[0])
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "kernels.py").write_text(KERNELS)
    (folder / "factor.py").write_text("FACTOR = 2.0\n")
    return folder


def call(source: Path, **environment: object) -> subprocess.CompletedProcess:
    inherited = {k: v for k, v in os.environ.items() if k not in (compilation.CACHE_VARIABLE, "NUMBA_CACHE_DIR")}
    given = {k: str(v) for k, v in environment.items()}
    return subprocess.run(
        [sys.executable, str(source / "kernels.py")],
        env={**inherited, "PYTHONPATH": str(ROOT), **given},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


def compiled(folder: Path) -> dict[Path, int]:
    """Compiled files, with the times they were written."""
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*.nb[ic]")}


@pytest.mark.slow
def test_compiles_once_and_says_so(source, tmp_path):
    cache = tmp_path / "cache"
    first = call(source, MACRO_SPLAT_CACHE_DIR=cache)
    assert first.stdout == "2.0\n"
    assert first.stderr.count("Compiling the CPU kernels, once") == 1
    files = compiled(cache)
    assert files
    second = call(source, MACRO_SPLAT_CACHE_DIR=cache)
    assert second.stdout == "2.0\n"
    assert second.stderr == ""
    assert compiled(cache) == files


@pytest.mark.slow
def test_an_edit_of_an_imported_file_is_noticed(source, tmp_path):
    cache = tmp_path / "cache"
    assert call(source, MACRO_SPLAT_CACHE_DIR=cache).stdout == "2.0\n"
    (source / "factor.py").write_text("FACTOR = 3.0\n")
    edited = call(source, MACRO_SPLAT_CACHE_DIR=cache)
    assert edited.stdout == "3.0\n"
    assert "Compiling" in edited.stderr


@pytest.mark.slow
def test_numbas_own_cache_folder_is_left_alone(source, tmp_path):
    users = tmp_path / "users"
    users.mkdir()
    call(source, MACRO_SPLAT_CACHE_DIR=tmp_path / "cache", NUMBA_CACHE_DIR=users)
    assert not list(users.iterdir())
    assert not compiled(source)


@pytest.mark.slow
def test_user_cache_folder_then_temporary_folder(source, tmp_path):
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    call(source, XDG_CACHE_HOME="", HOME=home, TMPDIR=temporary)
    assert compiled(home / ".cache" / "macro-splat")
    assert not compiled(temporary)

    # A home that cannot be written, for root neither: a file stands where the cache folder would be made.
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / ".cache").write_text("")
    first = call(source, XDG_CACHE_HOME="", HOME=blocked, TMPDIR=temporary)
    assert "Compiling" in first.stderr
    (folder,) = temporary.glob("macro-splat-*")
    assert compiled(folder)
    assert folder.stat().st_mode & 0o077 == 0
    assert call(source, XDG_CACHE_HOME="", HOME=blocked, TMPDIR=temporary).stderr == ""


@pytest.mark.slow
def test_processes_may_fill_one_cache_at_the_same_time(source, tmp_path):
    cache = tmp_path / "cache"
    with ThreadPoolExecutor(4) as pool:
        calls = list(pool.map(lambda _: call(source, MACRO_SPLAT_CACHE_DIR=cache), range(4)))
    assert [c.stdout for c in calls] == ["2.0\n"] * 4
    assert call(source, MACRO_SPLAT_CACHE_DIR=cache).stderr == ""


@pytest.fixture
def fresh(monkeypatch):
    compilation.cache_folder.cache_clear()
    yield monkeypatch
    compilation.cache_folder.cache_clear()


def test_a_cache_folder_that_cannot_be_written_is_an_error(fresh, tmp_path):
    (tmp_path / "file").write_text("")
    fresh.setenv(compilation.CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    with pytest.raises(MacroSplatError, match=r"MACRO_SPLAT_CACHE_DIR=.*file/cache: cannot be written"):
        compilation.cache_folder(str(tmp_path))


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner on this system")
def test_compiled_code_of_others_is_not_trusted(fresh, tmp_path):
    (tmp_path / ".cache").write_text("")
    fresh.delenv(compilation.CACHE_VARIABLE, raising=False)
    fresh.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    fresh.setattr(compilation.tempfile, "tempdir", str(tmp_path))
    mine = tmp_path / f"macro-splat-{os.getuid()}"
    mine.mkdir(mode=0o700)
    assert mine in compilation.cache_folder(str(tmp_path)).parents
    compilation.cache_folder.cache_clear()
    mine.chmod(0o777)
    with pytest.raises(MacroSplatError, match="set MACRO_SPLAT_CACHE_DIR"):
        compilation.cache_folder(str(tmp_path))


def test_old_states_are_dropped(fresh, tmp_path):
    cache, source = tmp_path / "cache", tmp_path / "source"
    source.mkdir()
    fresh.setenv(compilation.CACHE_VARIABLE, str(cache))
    folders = []
    for version in range(12):
        (source / "kernels.py").write_text(f"# {version}")
        compilation.cache_folder.cache_clear()
        folder = compilation.cache_folder(str(source))
        os.utime(folder, (version, version))
        folders.append(folder)
    assert len(set(folders)) == 12
    assert [folder.exists() for folder in folders] == [False] * 4 + [True] * 8
