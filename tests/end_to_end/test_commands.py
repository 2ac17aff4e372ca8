"""Every command of nerfstudio's on a trained capture, in processes of their own, and the checks themselves."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from plyfile import PlyData, PlyElement

from tests.captures import edit_transforms
from tests.end_to_end.commands import INTERPOLATION_STEPS, Run
from tests.end_to_end.outputs import (
    RENDERED_BACK_DB,
    check_pictures,
    check_splats,
    evaluated_pairs,
    list_pictures,
    psnr,
    read_picture,
    read_splats,
    read_video,
    render,
)
from tests.end_to_end.processes import CommandFailed, run

pytestmark = pytest.mark.slow

ASSETS = Path(__file__).resolve().parents[2] / "assets"
HELD_OUT = ["images/003.jpg", "images/015.jpg", "test/000.png", "test/003.png"]
"""Two views that the lens blurred, whose sharp photograph lies beside them, and two that are sharp themselves."""
SAME_DB = 50.0
"""Pictures that differ only by rounding to 8 bits have 58.9 dB."""
COMPRESSED_DB = 30.0


EXAGGERATION = 20


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pod_mini with blurred views among those held out."""
    folder = tmp_path_factory.mktemp("capture") / "pod_mini"
    shutil.copytree(ASSETS / "pod_mini", folder)

    def hold_out(transforms: dict) -> None:
        transforms["val_filenames"] = transforms["test_filenames"] = HELD_OUT
        transforms["train_filenames"] = [name for name in transforms["train_filenames"] if name not in HELD_OUT]

    return edit_transforms(folder, hold_out)


class Results:
    """Both trainings and all commands on them, two at a time: most of their time goes into imports on one thread."""

    def __init__(self, capture: Path, folder: Path, pool: ThreadPoolExecutor) -> None:
        self.folder, self._pool = folder, pool
        short = ("--vis", "tensorboard", "--max-num-iterations")
        self._pod = pool.submit(Run.train, capture, folder / "pod", *short, 150)
        self._tankard = pool.submit(Run.train, ASSETS / "tankard_mini", folder / "tankard", *short, 60)
        self.pod, self.tankard = self._pod.result(), self._tankard.result()
        assert self.pod.pipeline is not self.tankard.pipeline  # loaded before several threads ask for them
        self.evaluation = self._start("evaluation", self.pod.evaluate)
        self.splats = self._start("splats", self.pod.export)
        self.dataset = self._start("dataset", self.pod.render_dataset)
        self.video = self._start("video", self.pod.interpolate)
        self.images = self._start("images", lambda folder: self.pod.camera_path(folder, "images"))
        self.blurred = self._start("blurred", self.pod.blurred_path)
        self.viewer = self._start("viewer", self.pod.view)
        self.tankard_evaluation = self._start("tankard_evaluation", self.tankard.evaluate)
        self.tankard_splats = self._start("tankard_splats", self.tankard.export)

    def _start(self, name: str, command: Callable) -> Future:
        return self._pool.submit(command, self.folder / name)


@pytest.fixture(scope="module")
def results(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    pool = ThreadPoolExecutor(2)
    try:
        yield Results(capture, tmp_path_factory.mktemp("results"), pool)
    finally:
        pool.shutdown(cancel_futures=True)


def own_pictures(run: Run) -> list[np.ndarray]:
    return [render(run.pipeline.model, run.held_out[i : i + 1]) for i in range(len(run.held_out))]


def test_held_out_views_are_evaluated_against_sharp_photographs(results: Results, capture: Path) -> None:
    figures = results.evaluation.result()
    pairs = evaluated_pairs(results.folder / "evaluation/pictures")
    assert len(pairs) == len(HELD_OUT)
    sharp = [read_picture(capture / name.replace("images/", "sharp/")) for name in HELD_OUT]
    blurred = [read_picture(capture / name) for name in HELD_OUT]
    for (truth, picture), photograph, own in zip(pairs, sharp, own_pictures(results.pod), strict=True):
        assert psnr(truth, photograph) > SAME_DB
        assert psnr(picture, own) > SAME_DB
    against_blurred = np.mean([psnr(p, b) for (_, p), b in zip(pairs, blurred, strict=True)])
    assert abs(figures["psnr"] - against_blurred) > 0.2, "the two kinds of photographs cannot be told apart"
    assert figures["psnr"] > 20


def test_exported_splats_render_back(results: Results) -> None:
    vertex = PlyData.read(str(results.splats.result()))["vertex"]
    assert vertex.count > 5000
    wanted = [*"xyz", *(f"f_dc_{i}" for i in range(3)), *(f"f_rest_{i}" for i in range(9)), "opacity"]
    wanted += [*(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
    assert set(wanted) <= {p.name for p in vertex.properties}


def _swap(vertex: np.ndarray, names: list[str], order: list[int]) -> None:
    values = [vertex[name].copy() for name in names]
    for name, source in zip(names, order, strict=True):
        vertex[name] = values[source]


def _activate(vertex: np.ndarray, names: list[str], function: Callable[[np.ndarray], np.ndarray]) -> None:
    for name in names:
        vertex[name] = function(vertex[name])


SCALES = [f"scale_{i}" for i in range(3)]
HARMONICS = [f"f_rest_{i}" for i in range(24)]
FAULTS: dict[str, Callable[[np.ndarray], None]] = {
    "quaternions xyzw": lambda v: _swap(v, [f"rot_{i}" for i in range(4)], [1, 2, 3, 0]),
    "harmonics interleaved": lambda v: _swap(v, HARMONICS, np.arange(24).reshape(3, 8).T.flatten().tolist()),
    "axes exchanged": lambda v: _swap(v, ["x", "y", "z"], [0, 2, 1]),
    "opacities activated": lambda v: _activate(v, ["opacity"], lambda x: 1 / (1 + np.exp(-x))),
    "scales activated": lambda v: _activate(v, SCALES, np.exp),
    "not finite": lambda v: v["f_rest_7"].__setitem__(5, np.nan),
}


@pytest.mark.parametrize("fault", ["none", *FAULTS])
def test_a_faulty_file_is_found_out(
    results: Results, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vertex = PlyData.read(str(results.splats.result()))["vertex"].data.copy()
    # So short a training has learnt little colour that depends on direction: exaggerate it on both sides.
    model = results.pod.pipeline.model
    monkeypatch.setattr(model.gauss_params["features_rest"], "data", EXAGGERATION * model.features_rest.data)
    _activate(vertex, HARMONICS, lambda x: EXAGGERATION * x)
    FAULTS.get(fault, lambda _: None)(vertex)
    PlyData([PlyElement.describe(vertex, "vertex")]).write(str(tmp_path / "splat.ply"))
    if fault == "none":
        check_splats(tmp_path / "splat.ply", model, results.pod.held_out[:1])
        return
    with pytest.raises(AssertionError, match="not finite" if fault == "not finite" else "rendered back"):
        check_splats(tmp_path / "splat.ply", model, results.pod.held_out[:1])


def test_dataset_pictures_are_the_models_own(results: Results) -> None:
    folder = results.dataset.result()
    assert [str(p.relative_to(folder / "rgb").with_suffix("")) for p in list_pictures(folder / "rgb")] == [
        name.split(".")[0] for name in HELD_OUT
    ]
    for path, own in zip(list_pictures(folder / "rgb"), own_pictures(results.pod), strict=True):
        assert psnr(read_picture(path), own) > SAME_DB
    for path, other in zip(list_pictures(folder / "rgb"), list_pictures(folder / "depth"), strict=True):
        assert psnr(read_picture(path), read_picture(other)) < 20, "depth looks like the picture"


def test_interpolated_video_passes_the_held_out_views(results: Results) -> None:
    frames = read_video(results.video.result()) / 255
    own = own_pictures(results.pod)
    assert len(frames) == INTERPOLATION_STEPS * (len(own) - 1)
    for frame, picture in zip(frames[::INTERPOLATION_STEPS], own[:-1], strict=True):
        assert psnr(frame, picture) > COMPRESSED_DB
    for picture, following in itertools.pairwise(own):
        assert psnr(picture, following) < COMPRESSED_DB, "views that cannot be told apart"


def test_camera_path_goes_where_its_file_says(results: Results) -> None:
    pictures = [read_picture(path) for path in list_pictures(results.images.result())]
    for picture, own in zip(pictures, own_pictures(results.pod), strict=True):
        assert psnr(picture, own) > SAME_DB


def test_the_blurred_picture_can_be_asked_for_along_a_path(results: Results) -> None:
    """As a typical lens sees it: a camera of a path took no photograph."""
    pictures = [read_picture(path) for path in list_pictures(results.blurred.result())]
    model = results.pod.pipeline.model
    for i, (picture, sharp) in enumerate(zip(pictures, own_pictures(results.pod), strict=True)):
        camera = replace(results.pod.held_out[i : i + 1], metadata=None)
        with torch.no_grad():
            blurred = model.get_outputs_for_camera(camera)["rgb_blurred"].cpu().numpy()
        assert psnr(picture, blurred) > SAME_DB
        assert psnr(picture, sharp) < SAME_DB - 5, "the blur cannot be seen"


def test_viewer_starts_and_serves_its_page(results: Results) -> None:
    results.viewer.result()


def test_real_photographs(results: Results) -> None:
    figures = results.tankard_evaluation.result()
    names = json.loads((ASSETS / "tankard_mini/transforms.json").read_text())["test_filenames"]
    pairs = evaluated_pairs(results.folder / "tankard_evaluation/pictures")
    for (truth, _), name in zip(pairs, names, strict=True):
        assert psnr(truth, read_picture(ASSETS / "tankard_mini" / name)) > SAME_DB
    assert figures["psnr"] > 12
    assert len(read_splats(results.tankard_splats.result())["means"]) > 1000


def test_memory_is_the_commands_own(tmp_path: Path) -> None:
    before = bytearray(600 << 20)  # in this process, not in the command's
    done = run("python", "-c", "print(len(bytearray(b'x' * (100 << 20))))", cwd=tmp_path, log=tmp_path / "log")
    assert len(before) > 2 * done.peak_bytes
    assert 200 << 20 < done.peak_bytes < 260 << 20
    assert done.output.strip() == str(100 << 20)


def test_failures_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as failed:
        run("python", "-c", "print('fine so far'); {}['key']", cwd=tmp_path, log=tmp_path / "log")
    assert str(failed.value).splitlines()[0] == "python ended with exit code 1: KeyError: 'key'"
    with pytest.raises(CommandFailed, match=r"exit code 3: error: no such file"):
        run("python", "-c", "print('error: no such file'); exit(3)", cwd=tmp_path, log=tmp_path / "log")
    with pytest.raises(CommandFailed, match=r"exit code 137"):
        run("python", "-c", "import os; os.kill(os.getpid(), 9)", cwd=tmp_path, log=tmp_path / "log")
    with pytest.raises(AssertionError, match="0 frames, expected 2"):
        check_pictures(tmp_path, 2, (4, 3))


def test_eight_bits_are_not_mistaken_for_a_difference() -> None:
    picture = np.random.default_rng(0).random((40, 30, 3))
    assert psnr(np.round(picture * 255) / 255, picture) > SAME_DB > RENDERED_BACK_DB
