"""From photographs to a capture: rig or structure from motion, masks, scale, reruns, interruptions, complaints."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from macro_splat.capture import Capture, read_capture
from macro_splat.errors import MacroSplatError
from macro_splat.process.config import ProcessConfig
from macro_splat.process.run import process
from macro_splat.report.capture_report import write_capture_report
from tests.captures import sample_ball, write_capture
from tests.process.cards import SLICES, VIEWS, by_name, originals

# --- with a rig ---------------------------------------------------------------------------------------------------


def test_photographs_and_a_rig_give_the_capture_that_they_are_of(
    card: Path, rig: Path, truth: Capture, tmp_path: Path
) -> None:
    before = originals(card)
    command = ["macro-splat", "process"]
    record = process(by_name(card, tmp_path / "out", rig=rig), command=command, write_report=write_capture_report)
    assert originals(card) == before

    made = read_capture(tmp_path / "out")
    assert made.scene_unit == "mm"
    for ours, true in zip(made.frames, truth.frames, strict=True):
        assert ours.name == true.name
        np.testing.assert_allclose(ours.camera_to_world, true.camera_to_world, atol=1e-9)
        assert ours.intrinsics.fl_x == pytest.approx(true.intrinsics.fl_x)
        assert ours.optics.focus_distance == pytest.approx(true.optics.focus_distance)
        assert ours.optics.aperture_radius == pytest.approx(true.optics.aperture_radius)
        assert (ours.stack_id, ours.stack_index) == (true.stack_id, true.stack_index)
        assert ours.image.read_bytes() == true.image.read_bytes()

    assert record == json.loads((tmp_path / "out" / "process.json").read_text())
    assert record["poses"]["source"] == record["scale"]["source"] == "rig"
    assert [len(stack["photographs"]) for stack in record["stacks"]] == [SLICES] * VIEWS
    assert all(p["used"] and p["pose"] == "rig" and p["why_not"] is None for p in record["photographs"])
    assert (tmp_path / "out" / "report.html").stat().st_size > 1000
    for photograph in record["photographs"]:
        name = photograph["name"]
        with Image.open(tmp_path / "out" / ".process" / "thumbnails" / f"{name}.jpg") as thumbnail:
            assert thumbnail.size == (96, 72)
        values = np.load(tmp_path / "out" / ".process" / "sharpness" / f"{name}.npy")
        assert values.mean() == pytest.approx(photograph["sharpness"], rel=1e-5)


def test_progress_reaches_the_end_of_every_stage(card: Path, rig: Path, tmp_path: Path) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}
    process(
        by_name(card, tmp_path / "out", rig=rig, masks="make"),
        progress=lambda what, done, total: seen.setdefault(what, []).append((done, total)),
    )
    assert list(seen) == ["Sharpness", "Stacks", "Masks", "Points", "Images"]
    for what, steps in seen.items():
        count = VIEWS if what in ("Stacks", "Points") else VIEWS * SLICES
        assert steps == [(i, count) for i in range(count + 1)]


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"scale_factor": 2.0}, "--scale-factor 2.0 is not used: the rig tells its poses in mm."),
        ({"markers": "loose:10"}, "--markers loose:10 is not used: the rig tells its poses in mm."),
        ({"scale_factor": 2.0, "poses": "none"}, "--scale-factor 2.0 is not used: there are no poses."),
    ],
)
def test_a_scale_that_is_not_used_is_told(
    card: Path, rig: Path, tmp_path: Path, settings: dict[str, Any], what: str
) -> None:
    record = process(by_name(card, tmp_path / "out", rig=rig, **settings))
    assert what in [problem["what"] for problem in record["problems"]]


# --- by structure from motion -------------------------------------------------------------------------------------


def test_structure_from_motion_gets_stacks_scores_and_maps(
    card: Path, truth: Capture, tmp_path: Path, found_poses: dict[str, Any]
) -> None:
    record = process(by_name(card, tmp_path / "out"))
    assert [len(stack.photographs) for stack in found_poses["stacks"]] == [SLICES] * VIEWS
    assert found_poses["scores"] == {p["name"]: p["sharpness"] for p in record["photographs"]}
    assert {values.shape for values in found_poses["sharpness"].values()} == {(9, 12)}
    # Made before a plain ground, to keep features off it; training tells the ground itself.
    assert set(found_poses["masks"]) == {p["name"] for p in record["photographs"]}
    assert {p["mask"] for p in record["photographs"]} == {"made"}
    made = read_capture(tmp_path / "out")
    assert made.scene_unit is None
    assert made.frames[0].mask is None
    assert made.points is not None
    assert len(made.points.xyz) == 200
    assert record["poses"] == {"source": "sfm", "reprojection_error_px": 0.4, "points": 200, "unregistered": []}
    assert record["scale"] is None


def test_a_ground_that_few_photographs_show_is_none(card: Path, tmp_path: Path, found_poses: dict[str, Any]) -> None:
    names = sorted(path.name for path in card.iterdir() if path.suffix == ".png")
    rng = np.random.default_rng(0)
    for name in names[::3]:
        clutter = rng.integers(0, 255, (72, 96, 3), dtype=np.uint8)
        Image.fromarray(clutter).save(card / name)
    record = process(by_name(card, tmp_path / "out"))
    assert found_poses["masks"] == {}
    assert {p["mask"] for p in record["photographs"]} == {None}
    # Whoever asks for masks gets those that can be made.
    record = process(by_name(card, tmp_path / "out", masks="make"))
    assert [p["mask"] for p in record["photographs"]].count("made") == len(names) - len(names[::3])


def test_a_factor_gives_millimetres(card: Path, truth: Capture, tmp_path: Path, found_poses: dict[str, Any]) -> None:
    record = process(by_name(card, tmp_path / "out", scale_factor=2.0))
    made = read_capture(tmp_path / "out")
    assert made.scene_unit == "mm"
    for ours, true in zip(made.frames, truth.frames, strict=True):
        np.testing.assert_allclose(ours.camera_to_world, true.camera_to_world, atol=1e-9)
    assert made.points is not None
    np.testing.assert_allclose(made.points.xyz, sample_ball(200)[0], atol=1e-5)
    assert record["scale"] == {"source": "factor", "mm_per_unit": 2.0, "deviation": None}


def test_the_lens_of_a_rig_without_poses_counts(card: Path, tmp_path: Path, found_poses: dict[str, Any]) -> None:
    rig = tmp_path / "lens.yaml"
    rig.write_text("lens: {focal_length_mm: 60, f_number: 8, magnification: 0.5, pixel_pitch_um: 300}")
    process(by_name(card, tmp_path / "out", rig=rig))
    exif = found_poses["stacks"][0].photographs[0].exif
    assert (exif.focal_length_mm, exif.magnification, exif.pixel_pitch_mm) == (60, 0.5, 0.3)
    optics = read_capture(tmp_path / "out").frames[0].optics
    assert (optics.focal_length_mm, optics.f_number) == (60, 8)


def test_a_rig_that_does_not_fit_is_told_before_the_search(
    card: Path, tmp_path: Path, found_poses: dict[str, Any]
) -> None:
    rig = tmp_path / "stack.yaml"
    rig.write_text("stack: {focus_distances_mm: [118, 122]}")
    with pytest.raises(MacroSplatError, match=r"stack\.yaml: `stack\.focus_distances_mm` is of ring stacks, but '000'"):
        process(by_name(card, tmp_path / "out", rig=rig, stack_motion="rail"))
    assert "stacks" not in found_poses


def test_slices_on_a_rail_keep_their_places_when_one_is_left_out(
    card: Path, truth: Capture, tmp_path: Path, found_poses: dict[str, Any]
) -> None:
    blocks = np.random.default_rng(0).integers(0, 256, (9, 12), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    for path in card.iterdir():
        Image.fromarray(blocks).save(path)
    Image.fromarray(np.full((72, 96), 100, np.uint8)).save(card / "003_1.png")
    rig = tmp_path / "stack.yaml"
    rig.write_text("stack: {motion: rail, step_mm: 0.5}")
    process(by_name(card, tmp_path / "out", rig=rig, leave_out_blurred=True, scale_factor=2.0))
    frames = {Path(frame.name).stem: frame.camera_to_world for frame in read_capture(tmp_path / "out").frames}
    assert "003_1" not in frames
    for pose in ("002", "003"):
        moved = frames[f"{pose}_2"][:3, 3] - frames[f"{pose}_0"][:3, 3]
        np.testing.assert_allclose(moved, -2 * 0.5 * frames[f"{pose}_0"][:3, 2], atol=1e-9)


def test_photographs_without_a_pose_are_left_out_with_a_reason(
    card: Path, tmp_path: Path, found_poses: dict[str, Any]
) -> None:
    found_poses["lost"] = ("004",)
    record = process(by_name(card, tmp_path / "out"))
    lost = [p for p in record["photographs"] if not p["used"]]
    assert [p["name"] for p in lost] == [f"004_{i}.png" for i in range(SLICES)]
    assert all("found no place" in p["why_not"] and p["image"] is None for p in lost)
    assert record["poses"]["unregistered"] == [p["name"] for p in lost]
    assert len(read_capture(tmp_path / "out").frames) == (VIEWS - 1) * SLICES


def test_only_the_sharpest_of_each_stack_on_request(card: Path, tmp_path: Path, found_poses: dict[str, Any]) -> None:
    record = process(by_name(card, tmp_path / "out", sharpest_only=True))
    assert len(read_capture(tmp_path / "out").frames) == VIEWS
    for stack in record["stacks"]:
        members = [p for p in record["photographs"] if p["name"] in stack["photographs"]]
        best = max(members, key=lambda p: p["sharpness"])
        assert [p["name"] for p in members if p["used"]] == [best["name"]]
        assert all(best["name"] in p["why_not"] for p in members if p is not best)


def test_blurred_photographs_are_left_out_on_request(card: Path, tmp_path: Path, found_poses: dict[str, Any]) -> None:
    # Blocks of different greys have sharp edges; a smooth slope has none.
    blocks = np.random.default_rng(0).integers(0, 256, (9, 12), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    for path in card.iterdir():
        Image.fromarray(blocks).save(path)
    slope = np.repeat(np.linspace(90, 110, 96)[None], 72, axis=0).astype(np.uint8)
    Image.fromarray(slope).save(card / "003_1.png")
    record = process(by_name(card, tmp_path / "out", leave_out_blurred=True))
    left_out = {p["name"]: p["why_not"] for p in record["photographs"] if not p["used"]}
    assert left_out == {"003_1.png": "out of focus"}
    kept = process(by_name(card, tmp_path / "out"))
    assert all(p["used"] for p in kept["photographs"])
    for path in card.iterdir():
        Image.fromarray(slope).save(path)
    with pytest.raises(MacroSplatError, match=f"all {VIEWS * SLICES} photographs are blurred"):
        process(by_name(card, tmp_path / "out", leave_out_blurred=True))


def test_to_look_at_photographs_needs_no_poses(card: Path, tmp_path: Path) -> None:
    record = process(by_name(card, tmp_path / "out", poses="none"), write_report=write_capture_report)
    assert record["poses"]["source"] is None
    assert "error" not in {problem["severity"] for problem in record["problems"]}
    assert any("Poses were not looked for" in problem["what"] for problem in record["problems"])
    assert len(record["photographs"]) == VIEWS * SLICES
    assert (tmp_path / "out" / "report.html").exists()


# --- masks --------------------------------------------------------------------------------------------------------


def object_masks(card: Path) -> dict[str, np.ndarray]:
    """A rectangle for each photograph, written where masks are commonly kept."""
    (card / "masks").mkdir()
    masks = {}
    for i, path in enumerate(sorted(card.glob("*.png"))):
        masks[path.name] = np.zeros((72, 96), bool)
        masks[path.name][10 + i :, 20:70] = True
        Image.fromarray(masks[path.name]).save(card / "masks" / path.name)
    return masks


def test_masks_that_are_there_are_read(card: Path, rig: Path, tmp_path: Path) -> None:
    masks = object_masks(card)
    record = process(by_name(card, tmp_path / "out", rig=rig))
    assert len(record["photographs"]) == len(masks)
    assert {p["mask"] for p in record["photographs"]} == {"read"}
    for frame in read_capture(tmp_path / "out").frames:
        assert frame.mask is not None
        with Image.open(frame.mask) as mask:
            np.testing.assert_array_equal(np.asarray(mask) > 0, masks[Path(frame.name).name])

    process(by_name(card, tmp_path / "out", rig=rig, mask_inverted=True, max_image_edge=48))
    frame = read_capture(tmp_path / "out").frames[0]
    assert frame.mask is not None
    with Image.open(frame.mask) as mask:
        assert mask.size == (48, 36)
        agreement = (np.asarray(mask) > 0) == ~masks["000_0.png"][::2, ::2]
    assert agreement.mean() > 0.97

    process(by_name(card, tmp_path / "out", rig=rig, masks="none"))
    assert read_capture(tmp_path / "out").frames[0].mask is None
    assert not list((tmp_path / "out" / "masks").iterdir())


def test_alpha_channels_are_masks(card: Path, rig: Path, tmp_path: Path) -> None:
    for path in card.iterdir():
        with Image.open(path) as image:
            alpha = Image.new("L", image.size, 0)
            alpha.paste(255, (20, 10, 80, 60))
            transparent = image.convert("RGB")
        transparent.putalpha(alpha)
        transparent.save(path)
    record = process(by_name(card, tmp_path / "out", rig=rig))
    assert {p["mask"] for p in record["photographs"]} == {"alpha"}
    frame = read_capture(tmp_path / "out").frames[0]
    with Image.open(frame.image) as image:
        assert image.mode == "RGB"  # training would carve where the mask says ignore
    assert frame.mask is not None


def test_a_carved_ground_has_its_own_colour_where_it_is_plain(tmp_path: Path, rig: Path) -> None:
    grey = write_capture(
        tmp_path / "grey", views=VIEWS, slices=SLICES, test_views=0, width=96, height=72, background=0.6
    )
    process(by_name(grey / "images", tmp_path / "out", rig=rig, masks="make", mask_meaning="carve"))
    frame = read_capture(tmp_path / "out").frames[0]
    assert frame.mask is None
    with Image.open(frame.image) as carved, Image.open(grey / "images" / "000_0.png") as original:
        values, before = np.asarray(carved), np.asarray(original)
    assert (values[0, 0] == before[0, 0]).all()
    assert (values == before).all(axis=2).mean() > 0.99  # this ground has no noise

    process(by_name(grey / "images", tmp_path / "made", rig=rig, masks="make"))
    assert read_capture(tmp_path / "made").frames[0].mask is not None


def test_a_ground_that_is_not_plain_is_carved_to_black(card: Path, rig: Path, tmp_path: Path) -> None:
    masks = object_masks(card)
    rng = np.random.default_rng(0)
    for path in card.glob("*.png"):
        Image.fromarray(rng.integers(0, 256, (72, 96, 3), dtype=np.uint8)).save(path)
    process(by_name(card, tmp_path / "out", rig=rig, masks="read", mask_meaning="carve"))
    for frame in read_capture(tmp_path / "out").frames:
        with Image.open(frame.image) as image:
            values = np.asarray(image)
        assert not values[~masks[Path(frame.name).name]].any()
        assert values[masks[Path(frame.name).name]].any()


def test_masks_of_an_earlier_run_are_not_taken_for_the_users(truth_folder: Path, rig: Path, tmp_path: Path) -> None:
    shutil.copytree(truth_folder / "images", tmp_path / "out" / "photographs")
    for _ in range(2):
        record = process(by_name(tmp_path / "out" / "photographs", tmp_path / "out", rig=rig, masks="make"))
        assert {p["mask"] for p in record["photographs"]} == {"made"}


# --- complaints ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"poses": "rig"}, "--poses rig"),
        ({"max_image_edge": -1}, "--max-image-edge"),
        ({"scale_factor": 0.0}, "--scale-factor"),
        ({"scale_factor": float("nan")}, "--scale-factor"),
        ({"scale_factor": 1.0, "markers": "loose:10"}, "--markers"),
        ({"markers": "charuco:7x5"}, "--markers"),
        ({"threads": 0}, "--threads"),
        ({"mask_folder": Path("/nowhere")}, "--mask-folder"),
        ({"mask_meaning": "carve"}, "--mask-meaning"),
        ({"stack_pattern": "("}, "stack pattern"),
        ({"rig": Path("/nowhere/rig.yaml")}, "rig.yaml"),
    ],
)
def test_impossible_settings_are_told_in_one_line(
    card: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(MacroSplatError, match=message) as caught:
        process(ProcessConfig(card, tmp_path / "out", **settings))
    assert "\n" not in str(caught.value)


def test_nothing_that_is_not_ours_is_written_over(truth_folder: Path, tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    shutil.copytree(truth_folder, capture)
    before = {path: path.stat().st_mtime_ns for path in capture.rglob("*")}
    for folder, out in (
        (capture / "images", capture / "images"),
        (capture / "images", capture),
        (capture / "sharp", capture),
    ):
        with pytest.raises(MacroSplatError, match="name another folder"):
            process(by_name(folder, out, poses="none"))
    with pytest.raises(MacroSplatError, match="is a file"):
        process(ProcessConfig(capture / "images", capture / "sparse_pc.ply"))
    assert {path: path.stat().st_mtime_ns for path in capture.rglob("*")} == before


def test_a_broken_photograph_is_named(card: Path, rig: Path, tmp_path: Path) -> None:
    data = (card / "001_1.png").read_bytes()
    (card / "001_1.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(MacroSplatError, match=r"001_1\.png"):
        process(by_name(card, tmp_path / "out", rig=rig))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_originals_may_be_read_only(card: Path, rig: Path, tmp_path: Path) -> None:
    for path in card.iterdir():
        path.chmod(0o444)
    card.chmod(0o555)
    try:
        process(by_name(card, tmp_path / "out", rig=rig))
    finally:
        card.chmod(0o755)
