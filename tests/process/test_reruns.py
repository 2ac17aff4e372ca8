"""A second run does what is missing, and no run loses a good capture."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from macro_splat.capture import read_capture
from macro_splat.errors import MacroSplatError
from macro_splat.process import run
from macro_splat.process.run import process
from macro_splat.process.sfm import solve
from macro_splat.report.capture_report import write_capture_report
from tests.process.cards import SLICES, VIEWS, by_name, originals


def test_a_rerun_does_what_has_changed_and_nothing_else(
    card: Path, rig: Path, tmp_path: Path, work_done: Counter[str]
) -> None:
    count = VIEWS * SLICES
    process(by_name(card, tmp_path / "out", rig=rig))
    assert work_done == {"sharpness_map": count, "write_image": count}
    process(by_name(card, tmp_path / "out", rig=rig))
    assert work_done == {"sharpness_map": count, "write_image": count}

    with Image.open(card / "002_1.png") as image:
        turned = image.rotate(180)
    turned.save(card / "002_1.png")
    process(by_name(card, tmp_path / "out", rig=rig))
    assert work_done == {"sharpness_map": count + 1, "write_image": count + 1}
    assert (tmp_path / "out" / "images" / "002_1.png").read_bytes() == (card / "002_1.png").read_bytes()

    (tmp_path / "out" / "images" / "000_0.png").unlink()
    process(by_name(card, tmp_path / "out", rig=rig))
    assert work_done == {"sharpness_map": count + 1, "write_image": count + 2}

    process(by_name(card, tmp_path / "out", rig=rig, max_image_edge=48))
    assert work_done == {"sharpness_map": count + 1, "write_image": 2 * count + 2}
    assert read_capture(tmp_path / "out").frames[0].intrinsics.width == 48


@pytest.mark.parametrize("stage", ["Sharpness", "Images"])
def test_an_interrupted_run_goes_on(card: Path, rig: Path, tmp_path: Path, work_done: Counter[str], stage: str) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if what == stage and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process(by_name(card, tmp_path / "out", rig=rig), progress=interrupt)
    assert not (tmp_path / "out" / "transforms.json").exists()
    assert not list((tmp_path / "out").rglob("*.unfinished"))
    process(by_name(card, tmp_path / "out", rig=rig))
    assert len(read_capture(tmp_path / "out").frames) == VIEWS * SLICES
    count = VIEWS * SLICES
    # One more may have begun while the run was told to stop.
    assert work_done["sharpness_map"] <= count + 1
    assert work_done["write_image"] <= count + 1


def test_without_poses_a_report_is_written_and_the_capture_stays(
    card: Path, rig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reconstruct(*_: Any, **__: Any) -> None:
        raise MacroSplatError("no poses could be found for a.jpg; photograph with more overlap")

    monkeypatch.setattr(solve.StructureFromMotion, "reconstruct", reconstruct)
    kept = "The capture of an earlier run is kept: transforms.json and images are not of this run."
    for earlier in (False, True):
        before = {}
        if earlier:
            process(by_name(card, tmp_path / "out", rig=rig))
            before = originals(tmp_path / "out" / "images")
        with pytest.raises(MacroSplatError, match=r"no poses could be found.*report\.html"):
            process(by_name(card, tmp_path / "out"), write_report=write_capture_report)
        record = json.loads((tmp_path / "out" / "process.json").read_text())
        assert {
            "severity": "error",
            "what": "no poses could be found for a.jpg",
            "do": "photograph with more overlap",
        } in record["problems"]
        assert record["poses"]["source"] is None
        assert not any(p["used"] for p in record["photographs"])
        assert (tmp_path / "out" / "report.html").exists()
        assert (tmp_path / "out" / "transforms.json").exists() is earlier
        assert (kept in [problem["what"] for problem in record["problems"]]) is earlier
        if earlier:
            assert originals(tmp_path / "out" / "images") == before
            assert len(read_capture(tmp_path / "out").frames) == VIEWS * SLICES


@pytest.mark.parametrize("stage", ["Sharpness", "Images"])
def test_an_interrupted_rerun_leaves_the_earlier_capture(card: Path, rig: Path, tmp_path: Path, stage: str) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if what == stage and done == 5:
            raise KeyboardInterrupt

    process(by_name(card, tmp_path / "out", rig=rig))
    before = originals(tmp_path / "out" / "images")
    with pytest.raises(KeyboardInterrupt):
        process(by_name(card, tmp_path / "out", rig=rig, max_image_edge=48), progress=interrupt)
    assert originals(tmp_path / "out" / "images") == before
    assert read_capture(tmp_path / "out").frames[0].intrinsics.width == 96


def test_an_unreadable_new_capture_replaces_no_earlier_one(
    card: Path, rig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process(by_name(card, tmp_path / "out", rig=rig))
    before = originals(tmp_path / "out" / "images")

    def refuse(path: Path) -> None:
        raise MacroSplatError("nothing can be in focus; correct the unit")

    with monkeypatch.context() as patched:
        patched.setattr(run, "read_capture", refuse)
        with pytest.raises(MacroSplatError, match="nothing can be in focus"):
            process(by_name(card, tmp_path / "out", rig=rig, max_image_edge=48))
    assert originals(tmp_path / "out" / "images") == before
    assert len(read_capture(tmp_path / "out").frames) == VIEWS * SLICES
