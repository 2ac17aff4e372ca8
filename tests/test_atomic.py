"""Atomic files: whole or as before, nothing else left in the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from macro_splat.atomic import atomic_write


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with atomic_write(path) as file:
        file.write(b"\x00\xff")
        assert not path.exists()
    assert path.read_bytes() == b"\x00\xff"
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_write(path, "w") as file:
        assert file.encoding == "utf-8"
        file.write("µm\n")
    assert path.read_bytes() == b"\xc2\xb5m\n"


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old, and longer than the new")
    with atomic_write(path, "w") as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old, and longer than the new"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("existed", [True, False])
def test_an_exception_leaves_all_as_it_was(tmp_path: Path, error: type[BaseException], existed: bool) -> None:
    path = tmp_path / "a.txt"
    if existed:
        path.write_text("old")

    def write() -> None:
        with atomic_write(path, "w") as file:
            file.write("half")
            file.flush()
            raise error("half-way")

    with pytest.raises(error, match="half-way"):
        write()
    assert [p.name for p in tmp_path.iterdir()] == (["a.txt"] if existed else [])
    assert not existed or path.read_text() == "old"


def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "a.txt"
    with atomic_write(path, "w") as file:
        file.write("x")
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert os.umask(umask) == umask, "the process's umask is another one afterwards"


def test_the_unfinished_file_lies_where_it_is_told_to(tmp_path: Path) -> None:
    (tmp_path / "final").mkdir()
    path = tmp_path / "final" / "a.bin"
    with atomic_write(path, temporary_folder=tmp_path) as file:
        file.write(b"x")
        file.flush()
        assert list(path.parent.iterdir()) == []
        assert [p.suffix for p in tmp_path.iterdir() if p.is_file()] == [".unfinished"]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.bin", "final"]


@pytest.mark.parametrize("missing", ["target", "temporary"])
def test_a_missing_folder_is_an_error(tmp_path: Path, missing: str) -> None:
    path, temporary = tmp_path / "nowhere" / "a.txt", None
    if missing == "temporary":
        path, temporary = tmp_path / "a.txt", tmp_path / "nowhere"
    with pytest.raises(OSError, match="nowhere"), atomic_write(path, "w", temporary_folder=temporary) as file:
        file.write("x")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_cannot_be_replaced_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(OSError, match="folder"), atomic_write(path, "w") as file:
        file.write("x")
    assert list(tmp_path.iterdir()) == [path]


def test_a_relative_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with atomic_write(Path("a.txt"), "w") as file:
        file.write("x")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
