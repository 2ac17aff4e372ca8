"""`lens.json`: what a run, resumed or not, knows about its lenses, in scene units, written with every checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from macro_splat.defocus import Origin, PerViewLens
from macro_splat.model.lens_file import lens_record, write_lens
from macro_splat.training.trainer import MacroSplatTrainer
from tests.captures import FOCAL_LENGTH_MM, WORKING_DISTANCE_MM, edit_transforms, write_capture
from tests.model.trainers import begin, do_step

Build = Callable[..., MacroSplatTrainer]
FIRST_FOCUS_MM = WORKING_DISTANCE_MM - 6.0 - 10.0 / 3
PUPIL_MM = FOCAL_LENGTH_MM / 1.4 / 2


def save(trainer: MacroSplatTrainer, step: int) -> dict[str, Any]:
    trainer.save_checkpoint(step)
    return json.loads((trainer.base_dir / "lens.json").read_text())


def test_the_capture_s_own_values_come_back(build: Build) -> None:
    trainer = build(mode="image")
    begin(trainer)
    record = save(trainer, 0)
    assert record["units"]["length"] == "mm"
    assert record["units"]["mm_per_unit"] == 1.0
    assert [view["name"] for view in record["views"]] == [f"images/{i:03d}.png" for i in range(8)]
    first = record["views"][0]
    assert first["focus_distance"] == {
        "value": pytest.approx(FIRST_FOCUS_MM, rel=1e-5),
        "value_mm": pytest.approx(FIRST_FOCUS_MM, rel=1e-5),
        "change": pytest.approx(0.0, abs=1e-4),
        "start_from": "given",
        "start_uncertainty": None,
    }
    assert first["aperture_radius"]["value"] == pytest.approx(PUPIL_MM, rel=1e-5)
    assert first["f_number"] == pytest.approx(1.4, rel=1e-5)
    assert first["focal_length_mm"] == FOCAL_LENGTH_MM
    # The strength's law: sigma = half the circle's radius.
    assert record["shared"]["strength"] == pytest.approx(PUPIL_MM * first["focal_length_px"] / 2, rel=1e-5)


def test_names_are_the_capture_s_wherever_it_was_called_from(
    build: Build, capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(capture.parent)
    trainer = build(data=Path(capture.name) / "transforms.json", mode="image")
    begin(trainer)
    assert [view["name"] for view in save(trainer, 0)["views"]] == [f"images/{i:03d}.png" for i in range(8)]


def test_changes_are_signed_and_in_scene_units(build: Build) -> None:
    trainer = build(mode="image")
    lens = begin(trainer).lens
    assert lens is not None
    with torch.no_grad():
        lens.focus_offset_px[0], lens.focus_offset_px[1] = 1.0, -1.0
        lens.log_aperture_shared.fill_(-0.1)
    record = save(trainer, 0)
    near, far = record["views"][0]["focus_distance"], record["views"][1]["focus_distance"]
    # One pixel of sigma of the lens at the start.
    strength = PUPIL_MM * record["views"][0]["focal_length_px"] / 2
    assert near["value"] == pytest.approx(1 / (1 / FIRST_FOCUS_MM + 1 / strength), rel=1e-5)
    assert near["change"] == pytest.approx(near["value"] - FIRST_FOCUS_MM, abs=1e-3)
    assert near["change"] < 0 < far["change"]
    radius = record["views"][0]["aperture_radius"]
    assert radius["value"] == pytest.approx(PUPIL_MM * 2.718281828**-0.1, rel=1e-5)
    assert radius["change"] == pytest.approx(radius["value"] - PUPIL_MM, abs=1e-3)
    assert record["shared"]["aperture_factor"] == pytest.approx(2.718281828**-0.1, rel=1e-5)


def test_without_optics_and_scale_it_says_so(build: Build, tmp_path: Path) -> None:
    folder = write_capture(
        tmp_path / "bare", width=96, height=72, f_number=2.0, optics=False, scene_unit=None, sharp=False
    )
    trainer = build(data=folder, mode="splat")
    begin(trainer)
    record = save(trainer, 0)
    assert record["units"]["mm_per_unit"] is None
    assert "unknown" in record["units"]["length"]
    for view in record["views"]:
        assert view["focus_distance"]["start_from"] == "estimated"
        # In scene units, though their size is unknown: the same numbers as the poses.
        assert 0.8 * WORKING_DISTANCE_MM < view["focus_distance"]["value"] < 1.2 * WORKING_DISTANCE_MM
        assert 0.1 < view["focus_distance"]["start_uncertainty"] < 30
        assert view["aperture_radius"]["start_uncertainty"] > 0
        assert view["f_number"] is None
        assert view["focus_distance"]["value_mm"] is None


@pytest.mark.slow
def test_a_resumed_run_remembers_the_start(build: Build, tmp_path: Path) -> None:
    def forget_two(transforms: dict[str, Any]) -> None:
        for frame in transforms["frames"][:2]:
            del frame["focus_distance"]

    folder = edit_transforms(
        write_capture(tmp_path / "some", views=6, width=96, height=72, f_number=2.0, sharp=False, depth=False),
        forget_two,
    )
    first = build(data=folder, mode="splat")
    for step in range(8):
        do_step(first, step)
    before = save(first, 7)
    assert [v["focus_distance"]["start_from"] for v in before["views"]] == 2 * ["estimated"] + 4 * ["given"]
    assert all(abs(v["focus_distance"]["change"]) > 1e-6 for v in before["views"][:2])

    second = build(data=folder, mode="splat")
    second.config.load_dir = first.checkpoint_dir
    second._load_checkpoint()
    second.base_dir, second.checkpoint_dir = tmp_path / "second", tmp_path / "second/models"
    begin(second, 8)
    assert save(second, 8) == before


def test_no_lens_no_file(build: Build) -> None:
    trainer = build(mode="off")
    begin(trainer)
    trainer.save_checkpoint(0)
    assert list(trainer.checkpoint_dir.glob("*.ckpt"))
    assert not (trainer.base_dir / "lens.json").exists()


def test_a_full_disk_costs_the_record_alone(
    build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("macro_splat.training.trainer.write_lens", full)
    trainer = build(mode="image")
    begin(trainer)
    trainer.save_checkpoint(0)
    assert "lens.json: could not be written (No space left on device)" in " ".join(capsys.readouterr().out.split())
    assert list(trainer.checkpoint_dir.glob("*.ckpt"))


def test_infinity_and_pinholes_are_no_numbers_of_json(tmp_path: Path) -> None:
    lens = PerViewLens(2)
    lens.set_start(torch.tensor([2.0, 2.0]), torch.tensor([0.1, 0.0]), torch.tensor([100.0, 100.0]))
    with torch.no_grad():
        lens.focus_offset_px[0] = -1e6
    write_lens(tmp_path / "lens.json", lens, ["a", "b"], {})
    first, second = json.loads((tmp_path / "lens.json").read_text())["views"]
    assert first["focus_distance"]["value"] is None
    assert first["focus_distance"]["change"] is None
    assert first["focus_distance"]["start_from"] == "unknown"
    assert second["aperture_radius"]["value"] == 0
    assert second["f_number"] is None
    record = lens_record(lens, ["a", "b"], {})
    assert record["units"]["length"] == "model units"


def test_every_origin_has_a_name() -> None:
    lens = PerViewLens(5)
    lens.set_start(torch.ones(5), torch.ones(5), torch.ones(5))
    lens.focus_origin.copy_(torch.tensor([int(o) for o in Origin]))
    names = [view["focus_distance"]["start_from"] for view in lens_record(lens, list("abcde"), {})["views"]]
    assert names == ["unknown", "guessed", "estimated", "given", "exif"]


def test_a_file_that_cannot_be_written_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "lens.json"
    path.write_text("old")
    lens = PerViewLens(1)
    lens.set_start(torch.ones(1), torch.ones(1), torch.ones(1))
    with pytest.raises(TypeError, match="serializable"):
        write_lens(path, lens, [object()], {})  # type: ignore[list-item]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
