"""`macro-splat render`: every film of a tiny run, and one line for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from PIL import Image

from macro_splat.cli.render import render as command
from macro_splat.defocus.virtual_lens import VirtualLens
from macro_splat.errors import MacroSplatError
from macro_splat.runs.load import Run, load_run
from macro_splat.runs.views import depth_range, render_view
from macro_splat.video.camera_path import read_camera_path
from macro_splat.video.config import LensOptions, RenderConfig
from macro_splat.video.lenses import lenses_through
from tests.end_to_end.commands import FRAME_RATE, viewer_camera_path


def render(run: Path, film: Any, **options: Any) -> int:
    lens = LensOptions(**{name: options.pop(name) for name in ("f_number", "blur", "focus") if name in options})
    return command(RenderConfig(run, film, lens=lens, **options))


def pictures(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)).astype(int) for path in sorted(folder.glob("*.png"))}


def detail(picture: np.ndarray) -> float:
    return float(np.square(np.diff(picture, axis=1)).mean())


def test_an_orbit_of_any_size(trained_run: Path, tmp_path: Path) -> None:
    film = tmp_path / "new" / "orbit.mp4"
    assert render(trained_run, "orbit", output=film, width=120, fps=5, seconds=1) == 0
    facts = next(imageio_ffmpeg.read_frames(str(film)))
    assert (facts["codec"], facts["size"]) == ("h264", (120, 90))
    assert facts["duration"] == pytest.approx(1.0, abs=0.05)


def test_the_focus_goes_through_and_comes_back(trained_run: Path, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    render(trained_run, "focus-pull", output=frames, width=160, fps=8, seconds=1, view="3")
    shown = list(pictures(frames).values())
    assert len(shown) == 8
    assert np.abs(shown[0] - shown[4]).mean() > 0.5  # near and far
    for there, back in zip(shown[1:4], shown[:4:-1], strict=True):
        assert np.abs(there - back).max() <= 1


def test_the_focus_is_seen_whatever_the_lens(trained_run: Path) -> None:
    """The blur of what is nearest, when what is farthest is in focus, by the thin lens: 2·f·A·|1/near - 1/far|."""
    run = load_run(trained_run)
    scene = render_view(run, 3, (160, 120))
    near_far = depth_range(scene)
    assert near_far is not None
    own = run.model.lens_of_view(3).aperture_radius
    photographed = lenses_through(run, scene, [0.5], LensOptions(blur=1))[0]
    assert photographed.aperture_radius == pytest.approx(own)
    with torch.no_grad():
        run.model.lens.log_aperture_shared -= 20  # next to a pinhole
    seen = lenses_through(run, scene, [0.5], LensOptions())[0]
    diameter = 2 * float(scene.focal_px) * seen.aperture_radius * abs(1 / near_far[0] - 1 / near_far[1])
    assert diameter == pytest.approx(0.03 * 160, rel=1e-3)


def test_before_and_after(trained_run: Path, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    render(trained_run, "before-after", output=frames, fps=4, seconds=1, views=2, labels=False)
    shown = list(pictures(frames).values())
    assert len(shown) == 8
    photographs = [np.asarray(Image.open(path).convert("RGB")).astype(int) for path in _photographs()]
    closest = min(np.abs(shown[0] - photograph).max() for photograph in photographs)
    assert closest <= 1  # all photograph at first
    assert np.abs(shown[2] - shown[0]).mean() > 0.5  # then all render


def _photographs() -> list[Path]:
    assets = Path(__file__).parents[2] / "assets" / "pod_mini" / "images"
    return sorted(assets.glob("*.jpg"))


def test_a_stack_has_a_plane_of_focus_in_every_slice(trained_run: Path, tmp_path: Path) -> None:
    output = tmp_path / "stack"
    render(trained_run, "stack", output=output, width=160, slices=4)
    shown = pictures(output)
    assert sorted(shown) == ["all_in_focus.png", *(f"slice_{i:02d}.png" for i in range(4))]
    assert all(detail(shown["all_in_focus.png"]) > detail(shown[f"slice_{i:02d}.png"]) for i in range(4))
    record = json.loads((output / "stack.json").read_text())
    distances = [entry["focus_distance"] for entry in record["slices"]]
    assert record["unit"] == "mm"
    np.testing.assert_allclose(np.diff(1 / np.array(distances)), (1 / distances[3] - 1 / distances[0]) / 3, rtol=1e-6)
    assert 90 < distances[0] < distances[3] < 140  # around the pod, which is 125 mm away


def _camera_path(run: Run, folder: Path) -> tuple[Path, Cameras]:
    """A path between the training views, as the viewer writes it, and its cameras."""
    poses = torch.cat([run.camera(view).camera_to_worlds for view in (0, 3, 6)])
    poses[:, :, 3] *= 0.95  # no training view's own place
    first = run.camera(0)
    size = {"width": 96, "height": 72, "cx": 48.0, "cy": 36.0}
    focal = float(first.fy) * 72 / int(first.height)
    file = folder / "path.json"
    file.write_text(json.dumps(viewer_camera_path(Cameras(poses, fx=focal, fy=focal, **size))), encoding="utf-8")
    return file, read_camera_path(file).cameras


@pytest.mark.parametrize(
    ("options", "f_number", "focus_mm"),
    [({}, None, None), ({"f_number": 1.4, "focus": 118.0}, 1.4, 118.0), ({"focus": 118.0}, 2.8, 118.0)],
)
def test_a_lens_along_a_camera_path(trained_run: Path, tmp_path: Path, options, f_number, focus_mm) -> None:
    """Each frame is what the model shows where that `VirtualLens` is set by hand; sharp without options."""
    run = load_run(trained_run)
    file, cameras = _camera_path(run, tmp_path)
    render(trained_run, "camera-path", output=tmp_path / "film", camera_path_filename=file, **options)
    frames = list(pictures(tmp_path / "film").values())
    assert len(frames) == 3
    mm = run.metadata["dataparser_scale"] / run.metadata["mm_per_unit"]
    if f_number is not None:
        focal_length = float(run.metadata["lens"].focal_length_mm.nanmedian())
        pupil = focal_length / (2 * f_number) * mm
        if "f_number" not in options:
            pupil = float(run.model.lens.aperture_radius().median())
        run.model.virtual_lens = VirtualLens(focus_mm * mm, pupil)
    for i, frame in enumerate(frames):
        with torch.no_grad():
            outputs = run.model.get_outputs_for_camera(cameras[i : i + 1])
        shown, other = ("rgb", "rgb_blurred") if f_number is None else ("rgb_blurred", "rgb")
        expected, not_expected = (np.round(255 * outputs[name].clamp(0, 1).numpy()) for name in (shown, other))
        assert np.abs(frame - expected).max() <= 1
        assert np.abs(frame - not_expected).mean() > 0.3


def test_a_camera_path_keeps_its_time_and_takes_any_size(trained_run: Path, tmp_path: Path) -> None:
    file, _ = _camera_path(load_run(trained_run), tmp_path)
    render(trained_run, "camera-path", output=tmp_path / "film.mp4", camera_path_filename=file, blur=2, width=120)
    facts = next(imageio_ffmpeg.read_frames(str(tmp_path / "film.mp4")))
    assert (facts["size"], facts["fps"]) == ((120, 90), FRAME_RATE)
    render(trained_run, "camera-path", output=tmp_path / "slow.mp4", camera_path_filename=file, seconds=1)
    assert next(imageio_ffmpeg.read_frames(str(tmp_path / "slow.mp4")))["fps"] == 3


def test_an_orbit_has_a_lens_too(trained_run: Path, tmp_path: Path) -> None:
    for name, options in {"sharp": {}, "open": {"f_number": 1.0}, "near": {"f_number": 1.0, "focus": 90.0}}.items():
        render(trained_run, "orbit", output=tmp_path / name, width=96, fps=2, seconds=1, **options)
    sharp, wide, near = (pictures(tmp_path / name)["0000.png"] for name in ("sharp", "open", "near"))
    assert detail(sharp) > detail(wide) > detail(near)


def test_an_f_number_of_a_stack_is_a_pupil(trained_run: Path, tmp_path: Path) -> None:
    render(trained_run, "stack", output=tmp_path / "stack", width=80, slices=2, f_number=2.0)
    record = json.loads((tmp_path / "stack" / "stack.json").read_text())
    focal_length = float(load_run(trained_run).metadata["lens"].focal_length_mm.nanmedian())
    assert record["slices"][0]["aperture_radius"] == pytest.approx(focal_length / 4, rel=1e-5)


def test_the_sharp_zone_moves_from_near_to_far(trained_run: Path, tmp_path: Path) -> None:
    """Of the detail that each frame keeps, the near part's share falls as the focus moves back, and the far's rises."""
    render(trained_run, "focus-pull", output=tmp_path / "film", width=160, fps=8, seconds=1, view="3", f_number=1.0)
    frames = list(pictures(tmp_path / "film").values())
    scene = render_view(load_run(trained_run), 3, (160, 120))
    near_far = depth_range(scene)
    assert near_far is not None
    depth, alpha = scene.depth[:, 1:, 0].numpy(), scene.alpha[:, 1:, 0].numpy()
    place = (depth - near_far[0]) / (near_far[1] - near_far[0])
    parts = [(alpha > 0.9) & (place < 0.3), (alpha > 0.9) & (place > 0.7)]
    sharp = 255 * scene.rgb.numpy()

    def kept(frame: np.ndarray) -> list[float]:
        energy, full = (np.square(np.diff(picture, axis=1)).sum(axis=2) for picture in (frame, sharp))
        return [float(energy[part].mean() / full[part].mean()) for part in parts]

    near, far = np.array([kept(frame) for frame in frames[:5]]).T
    assert near.argmax() <= 1
    assert far.argmax() >= 3
    assert near[0] > 1.3 * near[4]
    assert far[4] > 1.3 * far[0]


@pytest.mark.parametrize(
    ("film", "options", "message"),
    [
        ("orbit", {"output": "film.avi"}, "a .mp4, a .gif or a folder"),
        ("stack", {"output": "stack.mp4"}, "a stack is PNGs"),
        ("orbit", {"width": 121, "height": 80}, "H.264 needs even numbers"),
        ("orbit", {"width": -2}, "--width -2"),
        ("orbit", {"seconds": -1}, "--seconds -1"),
        ("focus-pull", {"blur": -1}, "--blur -1"),
        ("orbit", {"blur": 1e9}, r"--blur 1e\+09"),
        ("orbit", {"f_number": 0.0}, "--f-number 0"),
        ("orbit", {"focus": -20.0}, "--focus -20"),
        ("orbit", {"focus": 1e-9}, "--focus 1e-09"),
        ("focus-pull", {"focus": 120.0}, "--focus 120: focus-pull moves"),
        ("before-after", {"f_number": 4.0}, "--f-number 4: before-after"),
        ("camera-path", {}, "--camera-path-filename FILE"),
        ("orbit", {"camera_path_filename": Path("none.json")}, "--camera-path-filename FILE"),
        ("camera-path", {"camera_path_filename": Path("none.json")}, "none.json: cannot be read"),
        ("focus-pull", {"view": "nobody.jpg"}, "no such training photograph"),
        ("stack", {"slices": 1, "output": "stack"}, "2 slices"),
    ],
)
def test_what_cannot_be_done(trained_run: Path, tmp_path: Path, film, options, message: str) -> None:
    options = {"output": "film.mp4", **options}
    options["output"] = tmp_path / options["output"]
    with pytest.raises(MacroSplatError, match=message) as caught:
        render(trained_run, film, **options)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_kept(trained_run: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"mine")
    with pytest.raises(MacroSplatError, match="--overwrite"):
        render(trained_run, "orbit", output=film)
    assert film.read_bytes() == b"mine"


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(MacroSplatError, match="run"):
        render(tmp_path, "orbit", output=tmp_path / "film.mp4")
