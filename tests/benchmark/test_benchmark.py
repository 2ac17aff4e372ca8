"""The whole benchmark on a tiny capture: train, judge, write; one seed, one result; resume; failing runs.

Six views of 48×36 pixels and 600 Gaussians; every run is a process of its own, which takes seconds to start. The lens
is far wider than real ones, for so small pictures hardly show the blur of those: plain splats of the sharp photographs
are then a decibel better than of the blurry ones, after 40 steps already and on every processor.
"""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from macro_splat.benchmark.config import BenchmarkConfig
from macro_splat.benchmark.modes import MODES, VARIANTS, choose
from macro_splat.benchmark.plan import plan
from macro_splat.benchmark.report import run_and_report, run_benchmark
from macro_splat.benchmark.run import RESULT
from macro_splat.benchmark.suite import run_all
from macro_splat.errors import MacroSplatError
from tests.captures import write_capture

pytestmark = pytest.mark.slow

FEW = {"pipeline.model.num_init_gaussians": 300}
NOT_OF_THE_SEED = ("seconds", "cpu_seconds", "source", "gap_closed", "gap_closed_exact_poses")
"""What may differ between two runs: times, and what follows from other runs or from an edit of the source."""


def modes(*names: str, **more: object) -> list:
    return [
        dataclasses.replace(mode, overrides={**mode.overrides, **FEW, **more}) for mode in choose("modes", MODES, names)
    ]


def variants(*names: str) -> list:
    return choose("variants", VARIANTS, names)


def config(capture: Path, output: Path) -> BenchmarkConfig:
    return BenchmarkConfig((capture,), iterations=40, output=output, seed=7)


@pytest.fixture(scope="module")
def ball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_capture(tmp_path_factory.mktemp("captures") / "ball", views=6, f_number=0.7)


@pytest.fixture(scope="module")
def output(ball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After a benchmark of three modes."""
    folder = tmp_path_factory.mktemp("benchmark")
    assert run_and_report(config(ball, folder), modes("off", "image", "oracle"), variants("given")) == 0
    return folder


def rows(folder: Path) -> dict[str, dict]:
    return {row["mode"]: row for row in json.loads((folder / "results.json").read_text())["rows"]}


def decided(result: dict) -> dict:
    """What the seed decides, to the last digit."""
    return {key: value for key, value in result.items() if key not in NOT_OF_THE_SEED}


def test_every_figure_is_there(output: Path) -> None:
    results = rows(output)
    assert list(results) == ["off", "image", "oracle"]
    for name, row in results.items():
        assert row["judged_on"] == "sharp"
        assert not row["poses_optimised"]
        assert row["held_out_views"] == 2
        assert row["gaussians"] == 600  # the sparse points
        for key in ("psnr", "psnr_object", "ssim", "sharpness_ratio", "depth_error", "seconds", "cpu_seconds"):
            assert np.isfinite(row[key]), f"{name}: {key}"
        assert row["psnr"] == pytest.approx(np.mean([view["psnr"] for view in row["by_view"]]))
        assert ("focus_error" in row) == ("coc_radius_error_px" in row) == (name == "image")
    # The lens began where the capture says.
    assert results["image"]["focus_error_relative"] < 0.02
    assert results["oracle"]["gap_closed"] == 1.0
    assert "PSNR" in (output / "table.txt").read_text()
    assert "data:image/jpeg" in (output / "index.html").read_text()


def test_finished_runs_are_kept_and_interrupted_ones_repeated(ball: Path, output: Path, tmp_path: Path) -> None:
    shutil.copytree(output / "runs", tmp_path / "runs")
    entries = plan(config(ball, tmp_path), modes("off", "image"), variants("given"))
    started: list[str] = []

    def note(run: str, done: int, total: int) -> None:
        if run not in started:
            started.append(run)

    first = run_all(entries, tmp_path, progress=note)
    assert started == []
    assert [row.result["mode"] for row in first if row.result] == ["off", "image"]

    interrupted = next((tmp_path / "runs/ball").glob("given-image-*"))
    before = json.loads((interrupted / RESULT).read_text())
    (interrupted / RESULT).unlink()
    (interrupted / "left_over").write_text("")
    again = run_all(entries, tmp_path, progress=note)
    assert started == ["[2/2] ball, given, image"]
    assert not (interrupted / "left_over").exists()
    assert again[1].result is not None
    assert decided(again[1].result) == decided(before)


def test_a_failing_run_is_reported_and_does_not_stop_the_others(ball: Path, output: Path, tmp_path: Path) -> None:
    shutil.copytree(output / "runs", tmp_path / "runs")
    # Pictures too small for the structural similarity.
    broken = dataclasses.replace(modes("splat", **{"pipeline.datamanager.max_image_edge": 8})[0], name="broken")
    code = run_and_report(config(ball, tmp_path), [broken, *modes("off")], variants("given"))
    assert code == 1
    results = rows(tmp_path)
    assert "failed: " in results["broken"]["reason"]
    assert "smaller than the 11 x 11 window" in results["broken"]["reason"]
    assert results["off"]["psnr"] == rows(output)["off"]["psnr"]


def test_without_truth_photographs_are_judged_by_a_fitted_lens(tmp_path: Path) -> None:
    folder = write_capture(tmp_path / "real", views=6, test_views=0, sharp=False, depth=False, split_lists=False)
    assert run_and_report(config(folder, tmp_path / "out"), modes("splat"), variants("given")) == 0
    (row,) = rows(tmp_path / "out").values()
    assert row["judged_on"] == "reblurred"
    assert np.isfinite(row["psnr"])
    assert "depth_error" not in row
    assert "psnr_object" not in row


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"captures": ()}, "no capture given"),
        ({}, "nowhere does not exist"),
        ({"modes": ("blurry",)}, "--modes blurry: there are these"),
        ({"variants": ("vague",)}, "--variants vague: there are these"),
        ({"iterations": 0}, "--iterations 0"),
        ({"output": Path("file")}, "a file lies where a folder is needed"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(
    words: dict, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(MacroSplatError, match=message):
        run_benchmark(BenchmarkConfig(**{"captures": (Path("nowhere"),), **words}))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_command_tells_bad_input_in_one_line(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("macro-splat")
    command = [str(program), "benchmark", "nowhere", "--modes", "off", "oracle", "--seed", "3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "nowhere does not exist" in line
