"""Atomic files: whole or as before, nothing else left in the folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from macro_splat.utils.atomic import atomic_folder, atomic_write, remove_leftovers


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


def test_the_longest_name_that_there_is(tmp_path: Path) -> None:
    for name in (250 * "a" + ".json", 83 * "あ"):
        with atomic_write(tmp_path / name, "w") as file:
            file.write("x")
        assert (tmp_path / name).read_text() == "x"


def test_a_relative_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with atomic_write(Path("a.txt"), "w") as file:
        file.write("x")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a folder cannot be opened")
def test_a_name_is_safe_on_the_disk_as_well_as_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a failure of the power undoes the rename."""
    done: list[str | int] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        done.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def noted_replace(*paths: Path) -> None:
        done.append("renamed")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    with atomic_write(tmp_path / "a.bin") as file:
        file.write(b"a")
    assert done == [(tmp_path / "a.bin").stat().st_ino, "renamed", tmp_path.stat().st_ino]
    for place in ("new", "there already"):
        done.clear()
        with atomic_folder(tmp_path / "out") as folder:
            (folder / "b").write_text(place)
        beside = tmp_path if place == "new" else tmp_path / "out"
        assert done == [(tmp_path / "out/b").stat().st_ino, "renamed", beside.stat().st_ino]


WRITE_FOR_EVER = """
import sys, time
from pathlib import Path
from macro_splat.utils.atomic import atomic_folder, atomic_write
with atomic_write(Path(sys.argv[1], "a.bin")) as file, atomic_folder(Path(sys.argv[1], "films")) as folder:
    file.write(b"half")
    file.flush()
    (folder / "0000.png").write_bytes(b"half")
    print("there", flush=True)
    time.sleep(1000)
"""


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """A process in the middle of writing a file and a folder."""
    process = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_what_a_killed_process_leaves_is_removed(
    writing: subprocess.Popen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = {path.name for path in tmp_path.iterdir()}
    assert len(theirs) == 2
    assert all(name.endswith(".unfinished") for name in theirs)
    others = tmp_path / ".notes.unfinished"  # named by somebody else
    others.touch()
    with atomic_write(tmp_path / "b.bin") as file:
        file.write(b"x")
    assert theirs < {path.name for path in tmp_path.iterdir()}, "its owner lives"
    writing.kill()
    writing.wait()
    monkeypatch.setattr("macro_splat.utils.atomic._cleaned", set())  # as another process would begin
    with atomic_write(tmp_path / "b.bin") as file:
        file.write(b"y")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.unfinished", "b.bin"]


def test_own_unfinished_files_stay(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.bin") as file, atomic_folder(tmp_path / "b") as folder:
        file.write(b"a")
        (folder / "c").write_bytes(b"c")
        remove_leftovers(tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == b"a"
    assert (tmp_path / "b/c").read_bytes() == b"c"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_a_file_that_is_taken_for_a_leftover_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may look between the making of a file and its lock."""
    make, made = tempfile.mkstemp, []

    def made_and_removed(*args, **kwargs):
        descriptor, name = make(*args, **kwargs)
        made.append(name)
        if len(made) == 1:
            remove_leftovers(tmp_path)
            assert not os.path.exists(name)
        return descriptor, name

    monkeypatch.setattr(tempfile, "mkstemp", made_and_removed)
    with atomic_write(tmp_path / "a.bin") as file:
        file.write(b"a")
    assert (tmp_path / "a.bin").read_bytes() == b"a"
    assert len(made) == 2


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    link = tmp_path / ".a.abcdefgh.unfinished"
    link.symlink_to(tmp_path / "precious")
    remove_leftovers(tmp_path)
    assert (tmp_path / "precious").read_text() == "x"


def test_a_new_folder_appears_at_once(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "deep").mkdir()
        (folder / "deep/a").write_text("a")
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out/deep/a").read_text() == "a"


def test_an_old_folder_keeps_what_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_text("old")
    (out / "b").write_text("old")
    with atomic_folder(out) as folder:
        (folder / "a").write_text("new")
        (folder / "deep").mkdir()
        (folder / "deep/c").write_text("new")
        assert (out / "a").read_text() == "old"
    assert {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()} == {
        "a": "new",
        "b": "old",
        "deep/c": "new",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_folder_that_makes_way_is_never_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int) -> None:
    """Ctrl-C before any of the two renames, and after both."""
    out, replace, done = tmp_path / "out", os.replace, 0
    out.mkdir()
    (out / "old").write_text("old")

    def replace_some(*paths: Path) -> None:
        nonlocal done
        done += 1
        if done == renames + 1:
            raise KeyboardInterrupt
        replace(*paths)

    monkeypatch.setattr(os, "replace", replace_some)
    try:
        with atomic_folder(out, replace=True) as folder:
            (folder / "new").write_text("new")
    except KeyboardInterrupt:
        assert renames < 2
    assert [path.name for path in out.iterdir()] == ["new" if renames == 2 else "old"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_that_fails_vanishes(tmp_path: Path) -> None:
    def fill() -> None:
        with atomic_folder(tmp_path / "out") as folder:
            (folder / "a").write_text("a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_a_folders_record_appears_only_with_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between any two of the renames."""
    replace = os.replace
    for renames in range(5):
        out = tmp_path / str(renames)
        for text in ("old", "new"):
            left = renames if text == "new" else 100

            def replace_some(*paths: Path) -> None:
                nonlocal left
                if left == 0:
                    raise KeyboardInterrupt
                left -= 1
                replace(*paths)

            monkeypatch.setattr(os, "replace", replace_some)
            try:
                with atomic_folder(out, "export.json") as folder:
                    for name in ("a.ply", "export.json", "mesh/m.ply", "z.ply"):
                        (folder / name).parent.mkdir(exist_ok=True)
                        (folder / name).write_text(text)
            except KeyboardInterrupt:
                assert text == "new"
        found = {str(path.relative_to(out)): path.read_text() for path in out.rglob("*") if path.is_file()}
        assert len(found) == (4 if renames == 4 else 3)
        assert ("export.json" in found) == (renames == 4)
        assert list(found.values()).count("new") == renames
