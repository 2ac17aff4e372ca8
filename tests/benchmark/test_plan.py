"""Which runs there are, which are the same one, and which cannot be."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macro_splat.benchmark.config import BenchmarkConfig
from macro_splat.benchmark.modes import MODES, VARIANTS, choose
from macro_splat.benchmark.plan import Entry, plan
from macro_splat.capture import read_capture
from macro_splat.errors import MacroSplatError
from tests.captures import write_capture


def entries_of(folder: Path, *, modes: list[str], variants: list[str], tmp_path: Path) -> list[Entry]:
    chosen = choose("modes", MODES, modes), choose("variants", VARIANTS, variants)
    return plan(BenchmarkConfig((folder,), iterations=100, seed=1, output=tmp_path), *chosen)


@pytest.fixture
def ball(tmp_path: Path) -> Path:
    return write_capture(tmp_path / "ball", views=5)


def test_modes_without_a_lens_share_the_run_of_an_unknown_lens(ball: Path, tmp_path: Path) -> None:
    entries = entries_of(ball, modes=["off", "splat", "oracle"], variants=["given", "unknown"], tmp_path=tmp_path)
    keys = {(e.variant.name, e.mode.name): e.spec.key() for e in entries if e.spec}
    assert len(keys) == 6
    assert keys["given", "off"] == keys["unknown", "off"]
    assert keys["given", "oracle"] == keys["unknown", "oracle"]
    assert len(set(keys.values())) == 4


def test_the_key_depends_only_on_what_decides_the_result(ball: Path, tmp_path: Path) -> None:
    (entry,) = entries_of(ball, modes=["splat"], variants=["given"], tmp_path=tmp_path)
    spec = entry.spec
    assert spec is not None
    key = spec.key()
    moved = shutil.copytree(ball, tmp_path / "elsewhere")
    same = {"data": str(moved / "transforms.json"), "reference": str(moved / "transforms.json")}
    assert dataclasses.replace(spec, **same).key() == key
    assert dataclasses.replace(spec, seed=2).key() != key
    assert dataclasses.replace(spec, iterations=101).key() != key
    overrides = {**spec.overrides, "pipeline.model.num_init_gaussians": 5}
    assert dataclasses.replace(spec, overrides=overrides).key() != key
    picture = ball / "images/000.png"
    Image.fromarray(255 - np.array(Image.open(picture))).save(picture)
    assert spec.key() != key


def test_a_spec_survives_its_file(ball: Path, tmp_path: Path) -> None:
    (entry,) = entries_of(ball, modes=["pixel-kernel"], variants=["unknown"], tmp_path=tmp_path)
    assert entry.spec is not None
    entry.spec.write(tmp_path / "run.json")
    assert type(entry.spec).read(tmp_path / "run.json") == entry.spec


def test_what_the_capture_lacks_is_skipped_with_the_reason(tmp_path: Path) -> None:
    folder = write_capture(tmp_path / "real", views=5, sharp=False)
    entries = entries_of(folder, modes=["off", "fuse", "oracle"], variants=["given", "noisy"], tmp_path=tmp_path)
    reasons = {(e.variant.name, e.mode.name): e.skipped for e in entries}
    assert reasons["given", "off"] == ""
    assert "sharp_file_path" in reasons["given", "oracle"]
    assert "stack_id" in reasons["given", "fuse"]
    assert "transforms_noisy.json" in reasons["noisy", "off"]
    assert [e.spec is None for e in entries] == [bool(e.skipped) for e in entries]


def test_noisy_poses_are_trained_on_and_true_ones_judged_with(ball: Path, tmp_path: Path) -> None:
    shutil.copy(ball / "transforms.json", ball / "transforms_noisy.json")
    (entry,) = entries_of(ball, modes=["splat"], variants=["noisy"], tmp_path=tmp_path)
    assert entry.spec is not None
    assert entry.spec.data == str(ball / "transforms_noisy.json")
    assert entry.spec.reference == str(ball / "transforms.json")
    assert entry.spec.config().pipeline.model.camera_optimizer.mode == "SO3xR3"


def test_fusing_trains_on_a_capture_of_its_own(tmp_path: Path) -> None:
    folder = write_capture(tmp_path / "stacks", views=3, slices=3)
    (entry,) = entries_of(folder, modes=["fuse"], variants=["given"], tmp_path=tmp_path)
    assert entry.spec is not None
    fused = read_capture(entry.spec.data)
    assert len(fused.splits["train"]) == 3
    assert Path(entry.spec.data).is_relative_to(tmp_path / "prepared")
    (again,) = entries_of(folder, modes=["fuse"], variants=["given"], tmp_path=tmp_path)
    assert again.spec is not None
    assert again.spec.key() == entry.spec.key()


def test_bad_captures_are_told_before_anything_runs(ball: Path, tmp_path: Path) -> None:
    modes, variants = choose("modes", MODES, ["off"]), choose("variants", VARIANTS, ["given"])
    with pytest.raises(MacroSplatError, match="does not exist"):
        plan(
            BenchmarkConfig(
                (
                    ball,
                    tmp_path / "nowhere",
                ),
                output=tmp_path,
            ),
            modes,
            variants,
        )
    with pytest.raises(MacroSplatError, match="give the capture's folder"):
        plan(BenchmarkConfig((ball / "transforms.json",), output=tmp_path), modes, variants)
    other = shutil.copytree(ball, tmp_path / "copy" / "ball")
    with pytest.raises(MacroSplatError, match="two captures are named ball"):
        plan(
            BenchmarkConfig(
                (
                    ball,
                    other,
                ),
                output=tmp_path,
            ),
            modes,
            variants,
        )
