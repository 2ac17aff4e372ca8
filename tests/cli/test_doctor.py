"""`macro-splat doctor`: 0 where a training would run, 1 with a remedy where it would not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from macro_splat.cli import checks, doctor
from macro_splat.cli.checks import Check, Result, State


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("macro-splat"), *arguments],
        env=os.environ | {"COLUMNS": "200"} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_this_environment_is_well() -> None:
    done = command("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    for found in ("nerfstudio", "ns-train macro-splat", "macro-rig-data", "rasterizer", "ffmpeg", "Ready."):
        assert found in done.stdout
    assert "a test picture and its gradient" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_help_needs_no_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, macro_splat.cli.main; print({'torch', 'nerfstudio'} & set(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


@pytest.fixture
def run_with(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the doctor with the given checks; returns the exit code and what it printed."""

    def run(*some: Check) -> tuple[int, str]:
        monkeypatch.setattr(checks, "all_checks", lambda: iter(some))
        code = doctor.doctor()
        return code, " ".join(capsys.readouterr().out.split())

    return run


def test_a_note_does_not_fail(run_with) -> None:
    code, printed = run_with(Check("LPIPS", lambda: Result(State.NOTE, "no weights", "fetch [them]"), "unused"))
    assert code == 0
    assert "note LPIPS: fetch [them]" in printed
    assert "Ready." in printed


def test_a_failed_check_shows_its_remedy_and_the_rest_still_runs(run_with) -> None:
    def broken() -> Result:
        raise ImportError("no module\nnamed x")

    code, printed = run_with(
        Check("torch", broken, "pip install torch"), Check("disk", lambda: Result(State.OK, "1 GB"), "")
    )
    assert code == 1
    assert "ImportError: no module" in printed
    assert "broken torch: pip install torch" in printed
    assert "1 GB" in printed
    assert "Not ready." in printed


def test_a_method_that_nerfstudio_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    from nerfstudio.configs import dataparser_configs, method_configs

    assert checks._method().state is State.OK
    assert checks._dataparser().state is State.OK
    monkeypatch.delitem(method_configs.all_methods, "macro-splat")
    monkeypatch.delitem(dataparser_configs.all_dataparsers, "macro-rig-data")
    assert checks._method().state is State.BROKEN
    assert checks._dataparser().state is State.BROKEN


def test_a_wrong_picture_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    import macro_splat.ops.rasterizer as rasterizer

    right = rasterizer.rasterization
    assert checks._rasterizer().state is State.OK

    def wrong(*args, **kwargs):
        image, alpha, info = right(*args, **kwargs)
        return image * 0.9, alpha, info

    monkeypatch.setattr(rasterizer, "rasterization", wrong)
    assert checks._rasterizer().state is State.BROKEN


def test_a_card_that_torch_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(checks, "_has_nvidia_card", lambda: True)
    monkeypatch.setattr("torch.version.cuda", None)
    found = checks._gpu()
    assert found.state is State.NOTE
    assert "CPU build" in found.remedy


@pytest.mark.slow
def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "file").touch()
    done = command("doctor", MACRO_SPLAT_CACHE_DIR=str(tmp_path / "file" / "folder"))
    assert done.returncode == 1
    assert "broken kernel cache: set MACRO_SPLAT_CACHE_DIR" in done.stdout


def test_a_full_disk_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1e9})())
    assert checks._disk().state is State.NOTE


@pytest.mark.slow
def test_the_users_errors_take_one_line() -> None:
    program = (
        "import macro_splat.cli.main as m\n"
        "from macro_splat.errors import MacroSplatError\n"
        "def fail() -> None:\n    raise MacroSplatError('capture: no images: add some')\n"
        "m.COMMANDS.append(fail)\n"
        "import sys; sys.argv = ['macro-splat', 'fail']; m.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: capture: no images: add some\n")
