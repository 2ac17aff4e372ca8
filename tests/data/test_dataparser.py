"""The dataparser: model frame, metric scale, lens values, truths."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from PIL import Image
from PIL.ExifTags import IFD
from scipy.spatial.transform import Rotation

from macro_splat.capture import read_capture
from macro_splat.data.dataparser import MacroDataParserConfig
from macro_splat.data.lens import Lens
from macro_splat.errors import MacroSplatError
from tests.captures import WORKING_DISTANCE_MM, edit_transforms, sample_ball, write_capture

ASSETS = Path(__file__).parents[2] / "assets"


def parse(folder: Path, split: str = "train", **options) -> DataparserOutputs:
    return MacroDataParserConfig(data=folder, **options).setup().get_dataparser_outputs(split)


def _project(outputs: DataparserOutputs, points: torch.Tensor) -> torch.Tensor:
    """Pixel coordinates and depth [V, N, 3] of points in the model frame, by hand."""
    cameras = outputs.cameras
    rotation, origin = cameras.camera_to_worlds[:, :, :3].double(), cameras.camera_to_worlds[:, :, 3].double()
    local = (points.double()[None] - origin[:, None]) @ rotation
    z = -local[..., 2]
    u = cameras.fx.double() * local[..., 0] / z + cameras.cx
    v = -cameras.fy.double() * local[..., 1] / z + cameras.cy
    return torch.stack([u, v, z], dim=-1)


@pytest.mark.parametrize("orientation", ["up", "pca", "vertical", "none"])
@pytest.mark.parametrize("center", ["poses", "focus", "none"])
def test_points_go_to_the_model_frame_and_back(tmp_path: Path, orientation: str, center: str) -> None:
    folder = write_capture(tmp_path)
    outputs = parse(folder, orientation_method=orientation, center_method=center)
    scale, transform = outputs.metadata["dataparser_scale"], outputs.metadata["dataparser_transform"].double()
    back = (outputs.metadata["points3D_xyz"].double() / scale - transform[:, 3]) @ transform[:, :3]
    np.testing.assert_allclose(back.numpy(), sample_ball(600)[0], atol=1e-5 * WORKING_DISTANCE_MM)
    positions = outputs.cameras.camera_to_worlds[:, :, 3].double()
    back = (positions / scale - transform[:, 3]) @ transform[:, :3]
    frames = [f for f in read_capture(folder).frames if f.name.startswith("images")]
    np.testing.assert_allclose(
        back.numpy(), [f.camera_to_world[:3, 3] for f in frames], atol=1e-5 * WORKING_DISTANCE_MM
    )


def test_nothing_is_lost_far_from_the_origin(tmp_path: Path) -> None:
    """A capture in survey coordinates has the same pixels and depths as one at the origin."""
    near = parse(write_capture(tmp_path / "a", points=None))
    moved = np.array([5e5, -3e6, 400.0])

    def edit(t: dict) -> None:
        for frame in t["frames"]:
            for row in range(3):
                frame["transform_matrix"][row][3] += moved[row]

    far = parse(edit_transforms(write_capture(tmp_path / "b", points=None), edit))
    torch.testing.assert_close(far.cameras.camera_to_worlds, near.cameras.camera_to_worlds, atol=1e-5, rtol=0)
    assert far.metadata["dataparser_scale"] == pytest.approx(near.metadata["dataparser_scale"], rel=1e-6)
    transform, scale = far.metadata["dataparser_transform"].numpy(), far.metadata["dataparser_scale"]
    back = (far.cameras.camera_to_worlds[0, :, 3].double().numpy() / scale - transform[:, 3]) @ transform[:, :3]
    first = read_capture(tmp_path / "a").frames[0].camera_to_world[:3, 3]
    np.testing.assert_allclose(back - moved, first, atol=1e-3)


def test_cameras_fit_the_unit_box_and_look_at_the_origin(tmp_path: Path) -> None:
    outputs = parse(write_capture(tmp_path, test_views=0))
    assert outputs.cameras.camera_to_worlds[:, :, 3].abs().max() <= 1 + 1e-6
    pixels = _project(outputs, torch.zeros(1, 3))[:, 0]
    torch.testing.assert_close(pixels[:, :2], torch.tensor([[24.0, 18.0]]).expand(8, 2).double(), atol=0.01, rtol=0)


def test_focus_distance_agrees_with_the_geometry(tmp_path: Path) -> None:
    """The ball's centre is at the working distance in every view; a focus distance of that length is its depth."""

    def edit(t: dict) -> None:
        for frame in t["frames"]:
            frame["focus_distance"] = WORKING_DISTANCE_MM

    outputs = parse(edit_transforms(write_capture(tmp_path), edit), scale_factor=3.0)
    transform, scale = outputs.metadata["dataparser_transform"], outputs.metadata["dataparser_scale"]
    centre = (transform[:, 3] * scale)[None].float()
    focus = outputs.metadata["lens"].focus_distance.double()
    torch.testing.assert_close(_project(outputs, centre)[:, 0, 2:], focus, rtol=1e-5, atol=0)


def test_blur_in_pixels_does_not_depend_on_the_scale(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    diameters = []
    for factor in (1.0, 7.0):
        outputs = parse(folder, scale_factor=factor)
        lens = outputs.metadata["lens"]
        z = _project(outputs, outputs.metadata["points3D_xyz"])[..., 2]
        inverse = 1 / lens.focus_distance.double() - 1 / z
        diameters.append(2 * lens.aperture_radius.double() * outputs.cameras.fx.double() * inverse.abs())
    torch.testing.assert_close(diameters[0], diameters[1], rtol=1e-4, atol=1e-4)
    assert diameters[0].max() > 1


def test_sparse_points_land_on_their_pixels(tmp_path: Path) -> None:
    """Each point that faces a held-out camera has the depth that the capture's depth map has there."""
    folder = write_capture(tmp_path, width=96, height=72)
    outputs = parse(folder, "test")
    scale = outputs.metadata["dataparser_scale"]
    pixels = _project(outputs, outputs.metadata["points3D_xyz"])
    depth = np.load(folder / "depth/test_000.npy")
    u, v, z = pixels[0].numpy().T
    seen = depth[np.floor(v).astype(int), np.floor(u).astype(int)]
    facing = z / scale < WORKING_DISTANCE_MM - 5
    assert facing.sum() > 50
    np.testing.assert_allclose(z[facing] / scale, seen[facing], atol=0.5)


def test_the_lens_survives_indexing_of_the_cameras(tmp_path: Path) -> None:
    outputs = parse(write_capture(tmp_path, views=3, slices=2))
    lens, metadata = outputs.metadata["lens"], outputs.cameras.metadata
    assert set(metadata) == {"lens", "train_idx"}
    view, one = outputs.cameras[3:4], outputs.cameras[3]
    for field in fields(Lens):
        values = getattr(lens, field.name)
        assert values.shape == getattr(metadata["lens"], field.name).shape == (6, 1)
        seen = getattr(view.metadata["lens"], field.name)
        assert seen.shape == (1, 1)
        torch.testing.assert_close(seen[0], values[3], equal_nan=True)
        assert getattr(one.metadata["lens"], field.name).shape == (1,)
    assert outputs.metadata["stack_id"][:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert metadata["train_idx"][:, 0].tolist() == list(range(6))
    assert (one.metadata["train_idx"].shape, int(view.metadata["train_idx"])) == ((1,), 3)


def test_held_out_views_are_pinholes_outside_the_training_set(tmp_path: Path) -> None:
    outputs = parse(write_capture(tmp_path), "test")
    lens = outputs.metadata["lens"]
    assert lens.aperture_radius.tolist() == [[0.0], [0.0]]
    assert lens.focus_distance.isnan().all()
    assert outputs.cameras.metadata["train_idx"].tolist() == [[-1], [-1]]


def test_unknown_optics_are_nan(tmp_path: Path) -> None:
    lens = parse(write_capture(tmp_path, optics=False)).metadata["lens"]
    for name in ("focus_distance", "aperture_radius", "f_number", "focal_length_mm"):
        assert getattr(lens, name).isnan().all()


def test_optics_can_be_forgotten_but_held_out_views_stay_sharp(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    lens = parse(folder, ignore_optics=True).metadata["lens"]
    assert all(getattr(lens, name).isnan().all() for name in ("focus_distance", "aperture_radius", "f_number"))
    assert parse(folder, "test", ignore_optics=True).metadata["lens"].aperture_radius.tolist() == [[0.0], [0.0]]


def _tagged(folder: Path) -> Path:
    """The capture without keys of its lens, its photographs as JPEG with EXIF tags: 100 mm, f/4, 450 mm to the sensor,
    except for the last one, which has none."""
    exif = Image.Exif()
    exif.get_ifd(IFD.Exif).update({0x920A: 100.0, 0x829D: 4.0, 0x9206: 0.45})
    write_capture(folder, optics=False, test_views=0, split_lists=False)

    def edit(t: dict) -> None:
        for frame in t["frames"]:
            path = folder / frame["file_path"]
            frame["file_path"] = f"images/{path.stem}.jpg"
            tags = {} if frame is t["frames"][-1] else {"exif": exif}
            Image.open(path).save(folder / frame["file_path"], **tags)

    return edit_transforms(folder, edit)


@pytest.mark.parametrize("unit", ["mm", "cm"])
def test_exif_tags_give_a_lens_to_start_from(tmp_path: Path, unit: str) -> None:
    """100 mm at 1:1 is focused 200 mm from lens and sensor each; 450 mm apart the object is at f (1 + 1/m) = 300 mm,
    for m = 1/2; the pupil's radius is 100 mm / 4 / 2."""
    folder = edit_transforms(_tagged(tmp_path), lambda t: t.update(scene_unit=unit))
    metadata = parse(folder, eval_interval=0).metadata
    lens, mm = metadata["lens"], metadata["dataparser_scale"] / metadata["mm_per_unit"]
    assert lens.focus_distance.isnan().all(), "a start is no given value"
    assert lens.aperture_radius.isnan().all()
    expected = {"focus_distance_start": 300.0 * mm, "aperture_radius_start": 12.5 * mm}
    for name, value in (expected | {"f_number": 4.0, "focal_length_mm": 100.0}).items():
        np.testing.assert_allclose(getattr(lens, name)[:-1].numpy(), value, rtol=1e-5)
        assert getattr(lens, name)[-1].isnan().all()
    forgotten = parse(folder, ignore_optics=True, eval_interval=0).metadata["lens"]
    assert all(
        getattr(forgotten, name).isnan().all() for name in ("focus_distance_start", "aperture_radius_start", "f_number")
    )


def test_keys_of_the_capture_precede_exif_tags(tmp_path: Path) -> None:
    folder = edit_transforms(_tagged(tmp_path), lambda t: t.update(f_number=8.0, focus_distance=120.0))
    metadata = parse(folder, eval_interval=0).metadata
    lens, scale = metadata["lens"], metadata["dataparser_scale"]
    assert (lens.f_number == 8.0).all()
    np.testing.assert_allclose(lens.aperture_radius_start[:-1].numpy(), 6.25 * scale, rtol=1e-5)
    np.testing.assert_allclose(lens.focus_distance.numpy(), 120.0 * scale, rtol=1e-5)


def test_without_a_scale_exif_tags_tell_no_lengths(tmp_path: Path) -> None:
    folder = edit_transforms(_tagged(tmp_path), lambda t: t.pop("scene_unit"))
    lens = parse(folder, eval_interval=0).metadata["lens"]
    assert lens.focus_distance_start.isnan().all()
    assert lens.aperture_radius_start.isnan().all()


def test_training_on_the_sharp_photographs(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    outputs = parse(folder, train_on_sharp=True)
    assert {path.parent.name for path in outputs.image_filenames} == {"sharp"}
    assert (outputs.metadata["lens"].aperture_radius == 0).all()
    assert {path.parent.name for path in parse(folder, "test", train_on_sharp=True).image_filenames} == {"test"}


def test_training_on_sharp_photographs_that_are_not_there(tmp_path: Path) -> None:
    folder = write_capture(tmp_path, sharp=False)
    with pytest.raises(
        MacroSplatError, match=r"8 of 8 training views, images/000\.png first, have no `sharp_file_path`"
    ):
        parse(folder, train_on_sharp=True)


@pytest.mark.parametrize(("unit", "mm"), [("mm", 1.0), ("cm", 10.0), ("m", 1000.0), (None, None)])
def test_the_unit_is_kept(tmp_path: Path, unit: str | None, mm: float | None) -> None:
    metadata = parse(write_capture(tmp_path, scene_unit=unit)).metadata
    assert (metadata["scene_unit"], metadata["mm_per_unit"]) == (unit, mm)


def test_masks_of_all_views_are_nerfstudios_of_some_are_ours(tmp_path: Path) -> None:
    folder = write_capture(tmp_path, masks=True)
    outputs = parse(folder)
    assert outputs.mask_filenames == outputs.metadata["mask_filenames"]
    edit_transforms(folder, lambda t: t["frames"][2].pop("mask_path"))
    outputs = parse(folder)
    assert outputs.mask_filenames is None
    assert [path is None for path in outputs.metadata["mask_filenames"]] == [False, False, True] + [False] * 5


def test_a_plain_capture_gives_what_nerfstudios_own_parser_gives(tmp_path: Path) -> None:
    folder = write_capture(tmp_path, masks=True)

    def edit(t: dict) -> None:
        for frame in t["frames"]:
            frame.pop("depth_file_path")
        t["applied_transform"] = Rotation.from_euler("xyz", [0.3, 0.2, 0.1]).as_matrix().tolist()
        for row in t["applied_transform"]:
            row.append(2.0)
        t |= {"applied_scale": 2.0, "k1": 0.01}

    edit_transforms(folder, edit)
    theirs = (
        NerfstudioDataParserConfig(data=folder, center_method="focus", load_3D_points=False)
        .setup()
        .get_dataparser_outputs("train")
    )
    ours = parse(folder)
    assert ours.image_filenames == theirs.image_filenames
    assert ours.mask_filenames == theirs.mask_filenames
    for name in ("camera_to_worlds", "fx", "fy", "cx", "cy", "width", "height", "distortion_params", "camera_type"):
        torch.testing.assert_close(getattr(ours.cameras, name), getattr(theirs.cameras, name), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.dataparser_transform, theirs.dataparser_transform, atol=1e-3, rtol=1e-5)
    assert ours.dataparser_scale == pytest.approx(theirs.dataparser_scale, rel=1e-5)


def test_cameras_in_one_place_are_scaled_by_the_focus_distance(tmp_path: Path) -> None:
    outputs = parse(write_capture(tmp_path, views=1, slices=4, test_views=0, split_lists=False))
    assert len(outputs.image_filenames) == 4
    assert torch.isfinite(outputs.cameras.camera_to_worlds).all()
    assert 0.9 < float(outputs.metadata["lens"].focus_distance.median()) < 1.1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_parallel_cameras_have_no_point_they_look_at(tmp_path: Path, axis: int) -> None:
    def edit(t: dict) -> None:
        for i, frame in enumerate(t["frames"]):
            frame["transform_matrix"] = np.eye(4).tolist()
            frame["transform_matrix"][axis][3] = float(i)

    outputs = parse(edit_transforms(write_capture(tmp_path), edit))
    assert outputs.cameras.camera_to_worlds[:, :, 3].abs().max() <= 1 + 1e-6


def test_cameras_with_opposite_up_vectors(tmp_path: Path) -> None:
    def edit(t: dict) -> None:
        for i, frame in enumerate(t["frames"]):
            frame["transform_matrix"] = np.diag([1.0, -1.0, -1.0, 1.0] if i % 2 else np.ones(4)).tolist()
            frame["transform_matrix"][0][3] = float(i)

    assert torch.isfinite(parse(edit_transforms(write_capture(tmp_path), edit)).cameras.camera_to_worlds).all()


def test_the_captures_wish_for_its_orientation_is_heeded(tmp_path: Path) -> None:
    folder = edit_transforms(write_capture(tmp_path), lambda t: t.update(orientation_override="none"))
    rotation = parse(folder).metadata["dataparser_transform"][:, :3]
    torch.testing.assert_close(rotation, torch.eye(3).double())


@pytest.mark.parametrize(("name", "train", "test"), [("pod_mini", 24, 6), ("tankard_mini", 14, 2)])
def test_the_captures_that_come_with_the_project(name: str, train: int, test: int) -> None:
    outputs = parse(ASSETS / name)
    assert len(outputs.image_filenames) == train
    assert len(parse(ASSETS / name, "test").image_filenames) == test
    points = outputs.metadata["points3D_xyz"]
    pixels = _project(outputs, points)
    size = torch.tensor([int(outputs.cameras.width[0]), int(outputs.cameras.height[0])])
    inside = ((pixels[..., :2] > 0) & (pixels[..., :2] < size)).all(-1) & (pixels[..., 2] > 0)
    assert inside.double().mean() > 0.9


@pytest.mark.slow
def test_the_registry_can_be_imported_first_and_lists_the_parser() -> None:
    """In a process of its own: an import circle shows only there."""
    code = (
        "import sys, macro_splat.data.specification as s\n"
        "heavy = [m for m in sys.modules if m.startswith(('nerfstudio.engine', 'nerfstudio.data.datamanagers',\n"
        "         'nerfstudio.configs.method_configs', 'nerfstudio.configs.dataparser_configs'))]\n"
        "assert not heavy, heavy\n"
        "from nerfstudio.configs.dataparser_configs import all_dataparsers\n"
        "assert type(all_dataparsers['macro-rig-data']) is type(s.macro_rig_data.config)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
