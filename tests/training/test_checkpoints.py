"""A damaged checkpoint is found out, told, and passed over for the one before it, by every way that a run is loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.utils import eval_utils

from macro_splat.errors import MacroSplatError
from macro_splat.runs.load import load_run
from macro_splat.training.checkpoints import check_whole, checkpoints_in, damage, newest_whole
from tests.captures import write_capture
from tests.training.test_training import ns_train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two checkpoints; not to be changed."""
    capture = write_capture(tmp_path_factory.mktemp("capture"), views=6, width=32, height=24)
    folder = tmp_path_factory.mktemp("trained")
    words = ("--max-num-iterations", 40, "--steps-per-save", 19)
    done = ns_train(folder, capture, *words)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (config,) = folder.rglob("config.yml")
    return config.parent


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it whose config says where it is."""
    folder = tmp_path.joinpath(*trained.parts[-3:])
    shutil.copytree(trained, folder)
    config = folder / "config.yml"
    text = config.read_text()
    assert f"- {trained.parents[2].name}\n" in text
    parts = "".join(f"- {part}\n" for part in tmp_path.parts)
    start = text.index("output_dir:")
    end = text.index("\n", text.index(f"- {trained.parents[2].name}\n")) + 1
    config.write_text(f"{text[:start]}output_dir: !!python/object/apply:pathlib.PosixPath\n{parts}{text[end:]}")
    return folder


def models(run: Path) -> Path:
    return run / "nerfstudio_models"


def spoil_a_tensor(path: Path) -> None:
    """Flip one bit in the middle of the largest record."""
    with zipfile.ZipFile(path) as archive:
        record = max(archive.infolist(), key=lambda record: record.file_size)
    data = bytearray(path.read_bytes())
    data[record.header_offset + record.file_size // 2] ^= 0x10
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.slow
def test_two_checkpoints_are_kept(trained: Path) -> None:
    assert list(checkpoints_in(models(trained))) == [39, 38]


def test_torch_itself_does_not_notice(tmp_path: Path) -> None:
    """Why the sums are checked here; should torch begin to check them, this module can shrink."""
    path = tmp_path / "step-000000001.ckpt"
    torch.save({"a": torch.zeros(5000)}, path)
    assert damage(path) is None
    spoil_a_tensor(path)
    assert not torch.equal(torch.load(path, weights_only=True)["a"], torch.zeros(5000))
    assert damage(path) == "its record 0 is damaged"


def test_no_flipped_bit_changes_what_is_loaded(tmp_path: Path) -> None:
    """Wherever a bit flips, the file is found to be damaged or loads as it was."""
    path = tmp_path / "step-000000001.ckpt"
    state = {"a": torch.arange(64.0), "b": {"name": "x", "step": 3}}
    torch.save(state, path)
    data = path.read_bytes()
    random, outcomes = np.random.default_rng(0), {"found": 0, "harmless": 0}
    for place in random.choice(len(data), 600, replace=False):
        flipped = bytearray(data)
        flipped[place] ^= 1 << random.integers(8)
        path.write_bytes(flipped)
        if damage(path) is not None:
            outcomes["found"] += 1
            continue
        loaded = torch.load(path, weights_only=True)
        assert torch.equal(loaded["a"], state["a"]), place
        assert loaded["b"] == state["b"], place
        outcomes["harmless"] += 1
    assert min(outcomes.values()) > 50


@pytest.mark.parametrize("size", [0, 1, 100, 0.3, 0.9, 0.999])
def test_cut_files_are_damaged(tmp_path: Path, size: float) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"a": torch.zeros(500)}, path)
    os.truncate(path, int(size if size >= 1 else size * path.stat().st_size))
    assert damage(path)
    with pytest.raises(MacroSplatError, match=r"a\.ckpt is broken \(.+\); restore it"):
        check_whole(path)


def test_compressed_records_are_none_of_torch_s(tmp_path: Path) -> None:
    # Unpacked they could be of any size.
    with zipfile.ZipFile(tmp_path / "bomb.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 20))
    assert "compressed" in str(damage(tmp_path / "bomb.ckpt"))


def test_which_one_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MacroSplatError, match="there is no checkpoint"):
        newest_whole(tmp_path)
    paths = {step: tmp_path / f"step-{step:09d}.ckpt" for step in (9, 10, 1000000000)}
    for path in paths.values():
        torch.save({}, path)
    (tmp_path / "step-000000011.ckpt.bak").touch()
    assert list(checkpoints_in(tmp_path)) == [1000000000, 10, 9]
    assert newest_whole(tmp_path) == 1000000000
    assert capsys.readouterr().out == ""
    cut(paths[1000000000])
    cut(paths[10])
    assert newest_whole(tmp_path) == 9
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("step-000000009.ckpt, the one before it, is used") == 2
    assert newest_whole(tmp_path, 9) == 9
    with pytest.raises(MacroSplatError, match=r"step-000000010\.ckpt is broken"):
        newest_whole(tmp_path, 10)
    with pytest.raises(MacroSplatError, match=r"step-000000012\.ckpt: no such checkpoint"):
        newest_whole(tmp_path, 12)
    cut(paths[9])
    with pytest.raises(
        MacroSplatError, match=r"1000000000\.ckpt is broken \(.*\), and so are the 2 before it; restore"
    ):
        newest_whole(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [spoil_a_tensor, cut])
def test_load_run_takes_the_one_before(run: Path, spoil, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_run(run).step == 39
    spoil(models(run) / "step-000000039.ckpt")
    loaded = load_run(run)
    assert loaded.step == 38
    state = torch.load(models(run) / "step-000000038.ckpt", weights_only=True)["pipeline"]
    assert torch.equal(loaded.model.means, state["_model.gauss_params.means"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "is broken" in line]  # however long the path
    assert str(models(run)) in line
    assert line.endswith("step-000000038.ckpt, the one before it, is used")


@pytest.mark.slow
def test_nerfstudio_s_commands_take_the_one_before(run: Path, tmp_path: Path) -> None:
    spoil_a_tensor(models(run) / "step-000000039.ckpt")
    program = Path(sys.executable).with_name("ns-eval")
    words = [program, "--load-config", run / "config.yml", "--output-path", tmp_path / "eval.json"]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    said = " ".join(done.stdout.split())
    assert "step-000000039.ckpt is broken (its record" in said
    assert "step-000000038.ckpt, the one before it, is used" in said
    assert json.loads((tmp_path / "eval.json").read_text())["checkpoint"].endswith("step-000000038.ckpt")


@pytest.mark.slow
def test_other_methods_load_as_ever(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`eval_setup` in this process: what is put before the loading concerns our configs alone."""
    _, _, path, step = eval_utils.eval_setup(run / "config.yml")
    assert (path.name, step) == ("step-000000039.ckpt", 39)

    class Other:
        load_dir, load_step = models(run), 12

    with pytest.raises(AssertionError, match=r"step-000000012\.ckpt does not exist"):
        eval_utils.eval_load_checkpoint(Other(), None)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_resumed_training_takes_the_one_before(run: Path, tmp_path: Path) -> None:
    """And leaves two whole checkpoints where it goes on in the same folder."""
    spoil_a_tensor(models(run) / "step-000000039.ckpt")
    capture = load_run(run).data
    words = ("--max-num-iterations", 60, "--steps-per-save", 30, "--experiment-name", run.parts[-3])
    words += ("--timestamp", run.name, "--load-dir", models(run))
    done = ns_train(tmp_path, capture, *words)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "step-000000038.ckpt, the one before it, is used" in " ".join(done.stdout.split())
    assert list(checkpoints_in(models(run))) == [59, 38]
    assert load_run(run, data=capture).step == 59


@pytest.mark.slow
def test_an_explicit_checkpoint_that_is_broken_is_an_error(run: Path, tmp_path: Path) -> None:
    spoil_a_tensor(models(run) / "step-000000039.ckpt")
    capture = load_run(run).data
    words = ("--max-num-iterations", 60, "--load-checkpoint", models(run) / "step-000000039.ckpt")
    done = ns_train(tmp_path / "again", capture, *words)
    assert done.returncode == 1
    assert "step-000000039.ckpt is broken (its record" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
