"""The lens that a training starts from: given optics to the letter, the rest from the photographs, else a guess."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from PIL import Image
from plyfile import PlyData
from torch import Tensor

from macro_splat.data.datamanager import MacroDataManagerConfig
from macro_splat.data.lens import Lens
from macro_splat.defocus import Origin, PerViewLens
from macro_splat.defocus.estimate import estimate_lens
from macro_splat.model.lens_initialization import FALLBACK_SIGMA_PX, initialize_lens, report_lens
from tests.captures import FOCAL_LENGTH_MM, WORKING_DISTANCE_MM, edit_transforms, write_capture

VIEWS = 9
F_NUMBER = 2.0


class Started:
    """A capture and the lens that starts on it; lengths in millimetres."""

    def __init__(self, folder: Path, *, without_points: bool = False):
        manager = MacroDataManagerConfig(data=folder).setup(device="cpu", test_mode="val")
        self.scale: float = manager.train_dataset.metadata["dataparser_scale"]
        self.cameras: Cameras = manager.train_dataset.cameras
        self.given: Lens = manager.train_lens
        self.photographs = [batch["image"].numpy() for batch in manager.cached_train]
        self.points: Tensor | None = None if without_points else manager.train_dataset.metadata["points3D_xyz"]
        self.lens = PerViewLens(len(self.cameras))
        self.start = initialize_lens(self.lens, self.given, self.photographs, self.cameras, self.points)
        self.source = self.start.source

    @property
    def focus_mm(self) -> Tensor:
        return self.lens.focus_distance().detach() / self.scale

    @property
    def aperture_mm(self) -> Tensor:
        return self.lens.aperture_radius().detach() / self.scale


def capture(folder: Path, **options: Any) -> Path:
    return write_capture(
        folder, views=VIEWS, width=96, height=72, sharp=False, depth=False, f_number=F_NUMBER, **options
    )


def true_focus_mm() -> Tensor:
    """What the capture's photographs were taken with (see tests/captures.py): before, at and behind 114 mm."""
    return torch.tensor([WORKING_DISTANCE_MM - 6.0 + (i % 3 - 1) / 3 * 10.0 for i in range(VIEWS)])


def estimate_mm(folder: Path) -> tuple[Tensor, float]:
    """Focus [V] and pupil as the estimator finds them in the capture's own frame, without any of nerfstudio."""
    transforms = json.loads((folder / "transforms.json").read_text())
    frames = transforms["frames"][:VIEWS]
    flip = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL's axes to OpenCV's
    K = np.array([[transforms["fl_x"], 0, transforms["cx"]], [0, transforms["fl_y"], transforms["cy"]], [0, 0, 1]])
    estimate = estimate_lens(
        [np.array(Image.open(folder / frame["file_path"])) for frame in frames],
        np.stack([np.linalg.inv(np.array(frame["transform_matrix"]) @ flip) for frame in frames]),
        np.stack([K] * VIEWS),
        np.stack([PlyData.read(folder / "sparse_pc.ply")["vertex"][axis] for axis in "xyz"], axis=1).astype(float),
    )
    assert estimate is not None
    # The blur's sigma is half the radius of the disc: strength = pupil * focal length / 2.
    return torch.from_numpy(estimate.focus_distance).float(), 2 * estimate.strength / transforms["fl_x"]


TRUE_APERTURE_MM = FOCAL_LENGTH_MM / F_NUMBER / 2


def test_given_optics_are_taken(tmp_path: Path) -> None:
    start = Started(capture(tmp_path))
    torch.testing.assert_close(start.focus_mm, true_focus_mm(), rtol=1e-5, atol=0)
    torch.testing.assert_close(start.aperture_mm, torch.full((VIEWS,), TRUE_APERTURE_MM), rtol=1e-5, atol=0)
    assert "as the capture gives" in start.source
    # In pixels of the photographs: the law with their focal length.
    depth_mm = 125.0
    diameter = 2 * TRUE_APERTURE_MM * start.cameras.fx[0, 0] * (1 / true_focus_mm()[0] - 1 / depth_mm)
    variance = start.lens.blur_variance(0, torch.tensor([depth_mm * start.scale]), start.cameras.fx[0, 0])
    assert float(variance) == pytest.approx(float(diameter / 4) ** 2, rel=1e-4)


def test_given_optics_are_not_estimated_from_photographs(tmp_path: Path) -> None:
    start = Started(capture(tmp_path))
    black = [np.zeros_like(photograph) for photograph in start.photographs]
    lens = PerViewLens(VIEWS)
    initialize_lens(lens, start.given, black, start.cameras, None)
    assert torch.equal(lens.focus_distance(), start.lens.focus_distance())


@pytest.mark.slow
def test_without_optics_all_is_estimated(tmp_path: Path) -> None:
    start = Started(capture(tmp_path, optics=False))
    focus, aperture = estimate_mm(tmp_path)
    torch.testing.assert_close(start.focus_mm, focus, rtol=3e-3, atol=0)
    torch.testing.assert_close(start.aperture_mm, torch.full((VIEWS,), aperture), rtol=1e-2, atol=0)
    assert "estimated" in start.source


@pytest.mark.slow
def test_the_scale_of_the_photographs_values_does_not_matter(tmp_path: Path) -> None:
    start = Started(capture(tmp_path, optics=False))
    lens = PerViewLens(VIEWS)
    initialize_lens(
        lens, start.given, [p.astype(np.float32) / 255 for p in start.photographs], start.cameras, start.points
    )
    torch.testing.assert_close(lens.focus_distance(), start.lens.focus_distance(), rtol=1e-3, atol=0)


@pytest.mark.slow
def test_where_only_the_pupil_is_given_it_is_taken(tmp_path: Path) -> None:
    folder = edit_transforms(capture(tmp_path), lambda t: [f.pop("focus_distance") for f in t["frames"]])
    start = Started(folder)
    torch.testing.assert_close(start.aperture_mm, torch.full((VIEWS,), TRUE_APERTURE_MM), rtol=1e-5, atol=0)
    torch.testing.assert_close(start.focus_mm, estimate_mm(tmp_path)[0], rtol=3e-3, atol=0)


@pytest.mark.slow
def test_where_only_the_focus_is_given_it_is_taken(tmp_path: Path) -> None:
    def edit(transforms: dict) -> None:
        for frame in transforms["frames"][:VIEWS]:
            del frame["aperture_radius"], frame["f_number"], frame["focal_length_mm"]

    start = Started(edit_transforms(capture(tmp_path), edit))
    torch.testing.assert_close(start.focus_mm, true_focus_mm(), rtol=1e-5, atol=0)
    torch.testing.assert_close(start.aperture_mm, torch.full((VIEWS,), estimate_mm(tmp_path)[1]), rtol=1e-2, atol=0)


@pytest.mark.slow
def test_a_single_view_that_lacks_its_focus(tmp_path: Path) -> None:
    start = Started(edit_transforms(capture(tmp_path), lambda t: t["frames"][4].pop("focus_distance")))
    given = torch.arange(VIEWS) != 4
    torch.testing.assert_close(start.focus_mm[given], true_focus_mm()[given], rtol=1e-5, atol=0)
    assert float(start.focus_mm[4]) == pytest.approx(float(estimate_mm(tmp_path)[0][4]), rel=3e-3)


def test_without_optics_and_points_a_fair_guess(tmp_path: Path) -> None:
    # All cameras look at the centre of the ball: that is where the axes meet.
    start = Started(capture(tmp_path, optics=False), without_points=True)
    torch.testing.assert_close(start.focus_mm, torch.full((VIEWS,), WORKING_DISTANCE_MM), rtol=1e-4, atol=0)
    # A point that is 5 % nearer in inverse distance is blurred by the fallback.
    depth = 1.0 / (0.95 / start.lens.focus_distance().detach()[:1])
    variance = start.lens.blur_variance(0, depth, start.cameras.fx[0, 0])
    assert float(variance) == pytest.approx(FALLBACK_SIGMA_PX**2, rel=1e-3)
    assert "for want of sparse points" in start.source


@pytest.mark.parametrize("count", [0, 1, 20])
def test_too_few_points_to_estimate_from(tmp_path: Path, count: int) -> None:
    start = Started(capture(tmp_path, optics=False), without_points=True)
    assert start.lens.num_views == VIEWS
    lens = PerViewLens(VIEWS)
    points = 0.02 * torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    source = initialize_lens(lens, start.given, start.photographs, start.cameras, points).source
    assert "learnt" in source
    torch.testing.assert_close(lens.focus_distance(), start.lens.focus_distance(), rtol=0.05, atol=0)


@pytest.mark.slow
def test_photographs_without_any_texture(tmp_path: Path) -> None:
    start = Started(capture(tmp_path, optics=False))
    flat = [np.full_like(photograph, 128) for photograph in start.photographs]
    lens = PerViewLens(VIEWS)
    initialize_lens(lens, start.given, flat, start.cameras, start.points)
    assert torch.isfinite(lens.focus_distance()).all()
    assert (lens.focus_distance() > 0).all()
    assert torch.isfinite(lens.aperture_radius()).all()


def test_what_was_learnt_before_is_forgotten(tmp_path: Path) -> None:
    start = Started(capture(tmp_path))
    with torch.no_grad():
        for parameter in start.lens.parameters():
            parameter.fill_(0.3)
    initialize_lens(start.lens, start.given, start.photographs, start.cameras, start.points)
    assert all(not parameter.any() for parameter in start.lens.parameters())


def test_the_report_is_one_sentence_with_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = Started(capture(tmp_path))
    capsys.readouterr()
    report_lens(start.lens, start.start)
    text = " ".join(capsys.readouterr().out.split())
    assert start.source in text
    assert f"{float(start.lens.focus_distance().min()):.4g}" in text
    assert f"{float(start.lens.aperture_radius().median()):.3g}" in text


def test_cameras_side_by_side_without_points_or_optics(tmp_path: Path) -> None:
    def line_up(transforms: dict) -> None:
        first = np.array(transforms["frames"][0]["transform_matrix"])
        for i, frame in enumerate(transforms["frames"]):
            pose = first.copy()
            pose[:3, 3] += i * pose[:3, 0]
            frame["transform_matrix"] = pose.tolist()

    folder = edit_transforms(capture(tmp_path, optics=False, points=None), line_up)
    start = Started(folder)
    assert start.points is not None
    assert len(start.points) > 100
    assert torch.isfinite(start.focus_mm).all()
    bare = Started(folder, without_points=True)
    assert (bare.focus_mm > 0).all()


@pytest.mark.parametrize(("kept", "said"), [("focus_distance", "focus as the"), ("aperture_radius", "aperture as the")])
def test_the_source_says_what_was_given(tmp_path: Path, kept: str, said: str) -> None:
    def leave_one(transforms: dict) -> None:
        for frame in transforms["frames"]:
            for key in {"focus_distance", "aperture_radius"} - {kept}:
                frame.pop(key, None)
            frame.pop("f_number", None)

    assert said in Started(edit_transforms(capture(tmp_path), leave_one)).source


def test_each_values_origin_and_certainty_are_kept_with_the_lens(tmp_path: Path) -> None:
    def edit(transforms: dict) -> None:
        for frame in transforms["frames"][:3]:
            del frame["focus_distance"]
        for key in ("aperture_radius", "f_number"):
            del transforms["frames"][5][key]

    start = Started(edit_transforms(capture(tmp_path), edit))
    lens = PerViewLens(VIEWS)
    lens.load_state_dict(start.lens.state_dict())  # as a resumed training has it
    assert lens.focus_origin.tolist() == 3 * [Origin.ESTIMATED] + 6 * [Origin.GIVEN]
    assert lens.aperture_origin.tolist() == 5 * [Origin.GIVEN] + [Origin.ESTIMATED] + 3 * [Origin.GIVEN]
    assert (lens.focus_uncertainty[:3] > 0).all()
    assert lens.focus_uncertainty[3:].isinf().all()
    assert lens.aperture_uncertainty.isfinite().tolist() == [i == 5 for i in range(VIEWS)]
    torch.testing.assert_close(lens.focus_uncertainty, start.start.focus_uncertainty)
    assert "except where the capture gives it" in start.source


def test_the_estimate_says_how_sure_it_is(tmp_path: Path) -> None:
    start = Started(capture(tmp_path, optics=False))
    assert set(start.lens.focus_origin.tolist()) == {Origin.ESTIMATED}
    share = 100 * float((start.lens.focus_uncertainty / start.lens.focus_distance()).median())
    assert f"focus to about {share:.1f} % of its distance" in start.source
    share = 100 * float(start.lens.aperture_uncertainty[0] / start.lens.aperture_radius()[0])
    assert f"aperture to about {share:.0f} %" in start.source
    # The scatter says a thousandth, and the truth is some hundredths away: so must be what is said.
    error = (start.focus_mm - true_focus_mm()).abs() / (start.lens.focus_uncertainty / start.scale)
    assert 0.1 < float(error.median()) < 4.0


@pytest.mark.slow
def test_a_view_that_shows_nothing_is_a_guess(tmp_path: Path) -> None:
    start = Started(capture(tmp_path, optics=False))
    turned = start.cameras.camera_to_worlds.clone()
    turned[2, :, :3] *= torch.tensor([-1.0, 1.0, -1.0])  # looks the other way
    start.cameras.camera_to_worlds = turned
    lens = PerViewLens(VIEWS)
    blind = initialize_lens(lens, start.given, start.photographs, start.cameras, start.points)
    assert lens.focus_origin.tolist() == [Origin.GUESSED if i == 2 else Origin.ESTIMATED for i in range(VIEWS)]
    assert lens.focus_uncertainty.isinf().tolist() == [i == 2 for i in range(VIEWS)]
    assert f"1 of {VIEWS} views show too little" in blind.source


def test_a_guess_is_called_one(tmp_path: Path) -> None:
    start = Started(capture(tmp_path, optics=False), without_points=True)
    assert set(start.lens.focus_origin.tolist() + start.lens.aperture_origin.tolist()) == {Origin.GUESSED}
    assert start.lens.focus_uncertainty.isinf().all()
    assert start.lens.aperture_uncertainty.isinf().all()


def start_with_tags(start: Started, points: Tensor | None, **tags: float | list[float]) -> PerViewLens:
    """The lens as it starts where EXIF tags also say something; lengths in mm, NaN = nothing."""
    for key, values in tags.items():
        column = torch.tensor(values).expand(VIEWS) if isinstance(values, float) else torch.tensor(values)
        start.given = replace(start.given, **{key: column[:, None] * start.scale})
    lens = PerViewLens(VIEWS)
    start.source = initialize_lens(lens, start.given, start.photographs, start.cameras, points).source
    return lens


@pytest.mark.slow
def test_exif_tags_and_estimates_are_averaged_by_their_deviation(tmp_path: Path) -> None:
    start = Started(capture(tmp_path, optics=False))
    tagged = [3.0] * (VIEWS - 1) + [math.nan]
    lens = start_with_tags(start, start.points, aperture_radius_start=tagged, focus_distance_start=140.0)
    before = start.lens
    cases = [
        (3.0, before.aperture_uncertainty, before.aperture_radius(), lens.aperture_radius()),
        (140.0, before.focus_uncertainty, before.focus_distance(), lens.focus_distance()),
    ]
    for tag_mm, deviation, estimate, now in cases:
        weight, tag_weight = float(deviation[0] / estimate[0]) ** -2, 0.2**-2
        logarithms = math.log(float(estimate[0])), math.log(tag_mm * start.scale)
        expected = (weight * logarithms[0] + tag_weight * logarithms[1]) / (weight + tag_weight)
        assert math.log(float(now[0])) == pytest.approx(expected, abs=1e-4)
    assert float(lens.aperture_radius()[-1]) == pytest.approx(float(start.lens.aperture_radius()[-1]), rel=1e-5)
    assert (lens.focus_uncertainty < start.lens.focus_uncertainty).all()


def test_exif_tags_stand_in_for_an_estimate(tmp_path: Path) -> None:
    start = Started(capture(tmp_path, optics=False), without_points=True)
    lens = start_with_tags(start, None, aperture_radius_start=3.0)
    torch.testing.assert_close(lens.aperture_radius() / start.scale, torch.full((VIEWS,), 3.0))
    assert set(lens.aperture_origin.tolist()) == {Origin.EXIF}
    assert set(lens.focus_origin.tolist()) == {Origin.GUESSED}
    assert "aperture mostly from the EXIF tags" in start.source
    assert "mild blur" not in start.source
    # The training may leave them.
    with torch.no_grad():
        lens.log_aperture_shared.fill_(0.5)
    assert float(lens.given_penalty()) == 0.0


def test_what_the_capture_gives_is_not_mixed_with_tags(tmp_path: Path) -> None:
    start = Started(capture(tmp_path))
    lens = start_with_tags(start, start.points, aperture_radius_start=3.0, focus_distance_start=140.0)
    assert torch.equal(lens.focus_distance(), start.lens.focus_distance())
    assert torch.equal(lens.aperture_radius(), start.lens.aperture_radius())
    assert set(lens.focus_origin.tolist() + lens.aperture_origin.tolist()) == {Origin.GIVEN}
