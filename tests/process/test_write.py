"""What the writer writes, the reader reads: poses, intrinsics, optics, stacks, masks and points."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macro_splat.capture import Intrinsics, Optics, SparsePoints, read_capture
from macro_splat.photographs.load import find_photographs
from macro_splat.process import write as module
from macro_splat.process.mask_stage import PreparedMask
from macro_splat.process.poses import PosedPhotograph, Poses
from macro_splat.process.stacks.grouping import group_stacks
from macro_splat.process.workspace import Workspace
from macro_splat.process.write import CaptureWriter
from macro_splat.process.write_image import write_mask
from tests.captures import sample_ball, write_capture
from tests.photographs.files import exif_block

LENS = Intrinsics(520.0, 521.0, 23.5, 18.2, 48, 36, (0.01, -0.02, 0.0, 0.0, 0.001, 0.002))


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    return write_capture(tmp_path / "card", views=3, slices=2, test_views=0) / "images"


def poses_of(photographs: Path, *, mm: bool = True) -> Poses:
    """A pose, a lens and a focus distance of its own for every photograph."""
    rng = np.random.default_rng(3)
    posed = {}
    for i, photograph in enumerate(find_photographs(photographs)):
        pose = np.eye(4)
        pose[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        pose[:3, 0] *= np.linalg.det(pose[:3, :3])
        pose[:3, 3] = 120 * pose[:3, 2]
        posed[photograph.name] = PosedPhotograph(pose, LENS, Optics(110.0 + i, 6.25, 4.0, 50.0, "ring"))
    return Poses("rig", posed, SparsePoints(*sample_ball(50)), registered=frozenset(posed), mm=mm)


def write(photographs: Path, out: Path, poses: Poses, *, max_edge: int | None = None, **options) -> dict[str, str]:
    writer = CaptureWriter(out, Workspace(out / ".process", threads=1), max_edge)
    stacks = group_stacks(find_photographs(photographs), by="name")
    chosen = {"left_out": set(), "masks": {}, "background": None} | options
    return writer.write(stacks, poses, **chosen)


def test_what_is_written_is_read(photographs: Path, tmp_path: Path) -> None:
    poses = poses_of(photographs)
    images = write(photographs, tmp_path / "out", poses)
    capture = read_capture(tmp_path / "out")
    assert capture.scene_unit == "mm"
    frames = {frame.name: frame for frame in capture.frames}
    assert set(frames) == set(images.values())
    for name, posed in poses.photographs.items():
        frame = frames[images[name]]
        np.testing.assert_allclose(frame.camera_to_world, posed.camera_to_world, atol=1e-12)
        assert frame.intrinsics == posed.intrinsics
        assert frame.optics == posed.optics
        assert (frame.stack_id, frame.stack_index) == (name[:3], int(name[4]))
    assert capture.points is not None
    assert poses.points is not None
    np.testing.assert_allclose(capture.points.xyz, poses.points.xyz, atol=1e-5)
    np.testing.assert_array_equal(capture.points.rgb, poses.points.rgb)


def test_shared_values_stand_at_the_top_and_unknown_ones_nowhere(photographs: Path, tmp_path: Path) -> None:
    write(photographs, tmp_path, poses_of(photographs, mm=False))
    transforms = json.loads((tmp_path / "transforms.json").read_text())
    assert "scene_unit" not in transforms
    assert transforms["f_number"] == 4.0
    assert "focus_distance" not in transforms
    assert {frame["focus_distance"] for frame in transforms["frames"]} == {110.0 + i for i in range(6)}
    assert not any("fl_x" in frame or "mask_path" in frame for frame in transforms["frames"])


def test_the_camera_of_a_reduced_image_sees_the_same(photographs: Path, tmp_path: Path) -> None:
    write(photographs, tmp_path, poses_of(photographs), max_edge=24)
    frame = read_capture(tmp_path).frames[0]
    assert (frame.intrinsics.width, frame.intrinsics.height) == (24, 18)
    with Image.open(frame.image) as image:
        assert image.size == (24, 18)
    for before, after in ((LENS.fl_x, frame.intrinsics.fl_x), (LENS.cx, frame.intrinsics.cx)):
        assert after == pytest.approx(before / 2)
    odd = LENS.resized(47, 36)
    # What lies in the middle of the picture stays there, in each axis by its own factor.
    assert (24 - odd.cx * 48 / 47) / odd.fl_x == pytest.approx((24 - LENS.cx) / LENS.fl_x * 47 / 48, rel=0.05)


def test_photographs_left_out_or_without_a_pose_are_not_written(photographs: Path, tmp_path: Path) -> None:
    poses = poses_of(photographs)
    del poses.photographs["001_0.png"]
    images = write(photographs, tmp_path, poses, left_out={"000_1.png"})
    assert set(images) == {"000_0.png", "001_1.png", "002_0.png", "002_1.png"}
    places = {frame.name: frame.stack_index for frame in read_capture(tmp_path).frames}
    assert places["images/001_1.png"] == 1  # its place among all slices


def test_masks_are_ignored_or_carved(photographs: Path, tmp_path: Path) -> None:
    mask = np.zeros((36, 48), bool)
    mask[10:30, 10:40] = True
    write_mask(mask, tmp_path / "mask.png")
    masks = {"000_0.png": PreparedMask(tmp_path / "mask.png", "read")}

    write(photographs, tmp_path / "ignored", poses_of(photographs), masks=masks)
    first, second, *_ = read_capture(tmp_path / "ignored").frames
    assert second.mask is None
    assert first.mask is not None
    with Image.open(first.mask) as written:
        np.testing.assert_array_equal(np.asarray(written) > 0, mask)
    assert first.image.read_bytes() == (photographs / "000_0.png").read_bytes()

    write(photographs, tmp_path / "carved", poses_of(photographs), masks=masks, background=(1, 2, 3))
    first, second, *_ = read_capture(tmp_path / "carved").frames
    assert first.mask is None
    with Image.open(first.image) as carved, Image.open(photographs / "000_0.png") as original:
        np.testing.assert_array_equal(np.asarray(carved)[mask], np.asarray(original)[mask])
        assert (np.asarray(carved)[~mask] == (1, 2, 3)).all()
    assert second.image.read_bytes() == (photographs / "000_1.png").read_bytes()


def test_another_run_keeps_only_what_others_put_there(photographs: Path, tmp_path: Path) -> None:
    poses = poses_of(photographs)
    write(photographs, tmp_path, poses)
    (tmp_path / "images" / "mine.txt").write_text("kept")
    write(photographs, tmp_path, poses, left_out={"000_0.png"})
    assert not (tmp_path / "images" / "000_0.png").exists()
    assert (tmp_path / "images" / "mine.txt").exists()
    assert len(read_capture(tmp_path).frames) == 5


def content(folder: Path) -> dict[str, bytes]:
    paths = [folder / "transforms.json", folder / "sparse_pc.ply", *(folder / "images").rglob("*")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def writer_of(folder: Path) -> CaptureWriter:
    return CaptureWriter(folder, Workspace(folder / ".process", threads=1), None)


def test_the_earlier_capture_comes_back(photographs: Path, tmp_path: Path) -> None:
    poses, out = poses_of(photographs), tmp_path / "out"
    write(photographs, out, poses, left_out={"002_1.png"})
    writer_of(out).settle()
    before = content(out)
    write(photographs, out, replace(poses, points=None), left_out={"000_0.png"}, max_edge=24)
    assert content(out) != before
    writer_of(out).restore()
    assert content(out) == before
    write(photographs, out, poses)
    writer_of(out).settle()
    writer_of(out).restore()
    assert len(read_capture(out).frames) == 6


@pytest.mark.parametrize("moves", range(0, 20, 3))
def test_a_run_killed_at_any_moment_leaves_one_of_both_captures(
    photographs: Path, tmp_path: Path, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight files go aside and eight take their place."""
    poses, out = poses_of(photographs), tmp_path / "out"
    write(photographs, out, poses)
    writer_of(out).settle()
    before, left = content(out), [moves]

    def move(source: Path, target: Path) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        whole_move(source, target)

    whole_move = module._move
    with monkeypatch.context() as patched:
        patched.setattr(module, "_move", move)
        with suppress(KeyboardInterrupt):
            write(photographs, out, poses, max_edge=24)
    writer_of(out).recover()
    after = content(out)
    if after != before:
        assert {frame.intrinsics.width for frame in read_capture(out).frames} == {24}
        assert moves > len(before)


def test_photographs_of_like_names_have_images_of_their_own(photographs: Path, tmp_path: Path) -> None:
    """A TIFF's image is a PNG; these two were taken at different times."""
    for k, name in enumerate(("a.tif", "a.tif.png")):
        exif = exif_block(tags={0x9003: f"2024:05:01 12:0{k}:00"}).tobytes()
        Image.new("RGB", (48, 36), (99, k, 0)).save(photographs / name, exif=exif)
    images = write(photographs, tmp_path, poses_of(photographs))
    assert images["a.tif.png"] == "images/a.tif.png"
    assert images["a.tif"] == "images/a.tif_.png"
    for k, name in enumerate(("a.tif", "a.tif.png")):
        with Image.open(tmp_path / images[name]) as image:
            assert image.getpixel((0, 0)) == (99, k, 0)
