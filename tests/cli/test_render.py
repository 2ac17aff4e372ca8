"""`macro-splat render`: every film of a tiny run, and one line for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from macro_splat.cli.render import render
from macro_splat.errors import MacroSplatError
from macro_splat.runs import load_run
from macro_splat.video.films import lenses_through
from macro_splat.video.views import depth_range, render_view


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
    photographed = lenses_through(run, scene, [0.5], blur=1)[0]
    assert photographed.aperture_radius == pytest.approx(own)
    with torch.no_grad():
        run.model.lens.log_aperture_shared -= 20  # next to a pinhole
    seen = lenses_through(run, scene, [0.5], blur=0)[0]
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


@pytest.mark.parametrize(
    ("film", "options", "message"),
    [
        ("orbit", {"output": "film.avi"}, "a .mp4, a .gif or a folder"),
        ("stack", {"output": "stack.mp4"}, "a stack is PNGs"),
        ("orbit", {"width": 121, "height": 80}, "H.264 needs even numbers"),
        ("orbit", {"width": -2}, "--width -2"),
        ("orbit", {"seconds": -1}, "--seconds -1"),
        ("focus-pull", {"blur": -1}, "--blur -1"),
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
