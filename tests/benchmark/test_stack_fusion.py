"""Fusing focus stacks: pictures against the truth, and the capture that comes out."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macro_splat.benchmark.stack_fusion import fuse_capture
from macro_splat.capture import read_capture
from macro_splat.errors import MacroSplatError
from macro_splat.process.stacks.fusion import fuse_stack
from tests.captures import edit_transforms, write_capture


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Strong blur: no slice is sharp all over.
    folder = write_capture(
        tmp_path_factory.mktemp("stacks"), views=3, slices=5, test_views=2, width=160, height=120, f_number=1.4
    )
    (folder / "transforms_noisy.json").write_text((folder / "transforms.json").read_text())
    return folder


def load(path: Path) -> np.ndarray:
    return np.array(Image.open(path).convert("RGB"), dtype=np.float32) / 255.0


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a - b) ** 2)))


def test_the_fused_picture_is_closer_to_the_truth_than_any_slice(stacks: Path) -> None:
    slices = [load(stacks / f"images/001_{j}.png") for j in range(5)]
    truth = load(stacks / "sharp/001_2.png")
    assert psnr(fuse_stack(slices), truth) > max(psnr(picture, truth) for picture in slices) + 1.0


def test_equal_slices_fuse_to_themselves(stacks: Path) -> None:
    picture = load(stacks / "images/000_0.png")
    np.testing.assert_allclose(fuse_stack([picture] * 3), picture, atol=1e-5)
    assert fuse_stack([picture]) is picture


def test_each_half_comes_from_the_slice_that_is_sharp_there() -> None:
    sharp = np.random.default_rng(0).random((64, 96, 3), dtype=np.float32)
    left, right = sharp.copy(), sharp.copy()
    left[:, 48:], right[:, :48] = 0.5, 0.5
    fused = fuse_stack([left, right])
    np.testing.assert_allclose(fused[:, :24], sharp[:, :24], atol=0.02)
    np.testing.assert_allclose(fused[:, 72:], sharp[:, 72:], atol=0.02)


def test_the_fused_capture_has_one_frame_per_pose(stacks: Path, tmp_path: Path) -> None:
    fuse_capture(stacks, tmp_path / "fused")
    for description in ("transforms.json", "transforms_noisy.json"):
        fused, source = (read_capture(folder / description) for folder in (tmp_path / "fused", stacks))
        by_name = {frame.name: frame for frame in source.frames}
        assert [frame.name for frame in fused.frames] == [
            *(f"images/{i:03d}_2.png" for i in range(3)),
            "test/000.png",
            "test/001.png",
        ]
        for frame in fused.frames:
            np.testing.assert_array_equal(frame.camera_to_world, by_name[frame.name].camera_to_world)
            held_out = frame.name.startswith("test")
            assert frame.stack_id is None
            assert frame.optics.focus_distance is None
            assert frame.optics.aperture_radius == (0.0 if held_out else None)
            assert (frame.depth is not None) == held_out
        assert fused.splits == {
            "train": tuple(f"images/{i:03d}_2.png" for i in range(3)),
            "val": ("test/000.png", "test/001.png"),
            "test": ("test/000.png", "test/001.png"),
        }
        assert fused.points is not None


def test_fusing_again_replaces_what_was_there(stacks: Path, tmp_path: Path) -> None:
    target = tmp_path / "fused"
    target.mkdir()
    (target / "left_over.txt").write_text("")
    fuse_capture(stacks, target)
    assert not (target / "left_over.txt").exists()


def test_optics_at_the_top_level_are_not_those_of_fused_pictures(tmp_path: Path) -> None:
    source = write_capture(tmp_path / "source", views=2, slices=3)

    def move_up(transforms: dict) -> None:
        for frame in transforms["frames"]:
            if frame["file_path"].startswith("images"):
                transforms["aperture_radius"] = frame.pop("aperture_radius")

    edit_transforms(source, move_up)
    fuse_capture(source, tmp_path / "fused")
    frames = {f.name: f for f in read_capture(tmp_path / "fused").frames}
    assert frames["images/000_1.png"].optics.aperture_radius is None
    assert frames["test/000.png"].optics.aperture_radius == 0.0


def test_without_stacks_one_line(tmp_path: Path) -> None:
    source = write_capture(tmp_path / "plain", views=2)
    with pytest.raises(MacroSplatError, match="stack_id"):
        fuse_capture(source, tmp_path / "fused")
    assert json.loads((source / "transforms.json").read_text())
    assert not (tmp_path / "fused").exists()
