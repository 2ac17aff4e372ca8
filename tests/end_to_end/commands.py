"""nerfstudio's commands on one capture, as a user types them; each checks what it wrote. For tests and scripts."""

from __future__ import annotations

import json
import math
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.utils.eval_utils import eval_setup

from tests.end_to_end.outputs import check_evaluation, check_pictures, check_splats, check_video
from tests.end_to_end.processes import CommandFailed, Finished, Watched, run, watched

INTERPOLATION_STEPS = 3
FRAME_RATE = 24


@dataclass(frozen=True)
class Run:
    """A finished training.

    Each method runs one command on it, with everything it writes in a folder of its own; the log of the command stands
    there too. They raise AssertionError: CommandFailed where the command itself fails, plain where its output is bad.
    """

    folder: Path
    """Where `ns-train` ran: relative paths in its config.yml start here."""
    training: Finished

    @classmethod
    def train(cls, capture: Path, folder: Path, *options: object) -> Run:
        """`ns-train macro-splat --data CAPTURE`, with no other flag than the given ones."""
        folder.mkdir(parents=True, exist_ok=True)
        words = ("macro-splat", "--data", capture.resolve(), *options)
        return cls(folder, run("ns-train", *words, cwd=folder, log=folder / "ns-train.log"))

    @cached_property
    def config(self) -> Path:
        """The run's config.yml."""
        found = sorted(self.folder.glob("outputs/**/config.yml"))
        assert len(found) == 1, f"{self.folder}: {len(found)} config.yml in it"
        return found[0]

    @property
    def iterations(self) -> int:
        """How many steps it was trained, by its last checkpoint."""
        last = max(self.config.parent.glob("nerfstudio_models/step-*.ckpt"))
        return int(last.stem.removeprefix("step-")) + 1

    @cached_property
    def pipeline(self) -> Any:
        """The trained pipeline, loaded into this process."""

        def from_here(config: TrainerConfig) -> TrainerConfig:
            config.output_dir = self.folder / config.output_dir
            return config

        _, pipeline, _, _ = eval_setup(self.config, test_mode="test", update_config_callback=from_here)
        return pipeline

    @property
    def held_out(self) -> Cameras:
        """Cameras of the held-out views."""
        return self.pipeline.datamanager.eval_dataset.cameras

    # -- the commands --------------------------------------------------------------------------------------------

    def evaluate(self, folder: Path) -> dict[str, float]:
        """`ns-eval`: the figures, with the pictures that they come from in `pictures/`."""
        report, pictures = folder / "eval.json", folder / "pictures"
        self._run("ns-eval", folder, "--output-path", report, "--render-output-path", pictures)
        return check_evaluation(report, pictures, len(self.held_out))

    def export(self, folder: Path) -> Path:
        """`ns-export gaussian-splat`: the file, rendered back from a held-out view."""
        self._run("ns-export gaussian-splat", folder, "--output-dir", folder)
        check_splats(folder / "splat.ply", self.pipeline.model, self.held_out[:1])
        return folder / "splat.ply"

    def render_dataset(self, folder: Path) -> Path:
        """`ns-render dataset`: folders `rgb` and `depth` with a picture of each held-out view; their folder."""
        options = ("--rendered-output-names", "rgb", "depth", "--image-format", "png")
        self._run("ns-render dataset", folder, "--output-path", folder, *options)
        for name in ("rgb", "depth"):
            check_pictures(folder / "test" / name, len(self.held_out), _size(self.held_out))
        return folder / "test"

    def interpolate(self, folder: Path, output_format: Literal["video", "images"] = "video") -> Path:
        """`ns-render interpolate` between the held-out views (the training views where there is but one)."""
        source, cameras = "eval", self.held_out
        if len(cameras) < 2:
            source, cameras = "train", self.pipeline.datamanager.train_dataset.cameras
        options = ("--pose-source", source, "--interpolation-steps", INTERPOLATION_STEPS, "--image-format", "png")
        video = folder / "between.mp4"
        self._run("ns-render interpolate", folder, "--output-path", video, "--output-format", output_format, *options)
        # nerfstudio rebuilds the cameras from their principal point.
        size = (int(2 * cameras.cx[0].item()), int(2 * cameras.cy[0].item()))
        # In between, straight lines from view to view may lead through the object, where there is nothing to see.
        frames = INTERPOLATION_STEPS * (len(cameras) - 1)
        return _check_path(video, output_format, frames, size, every=INTERPOLATION_STEPS)

    def camera_path(self, folder: Path, output_format: Literal["video", "images"] = "video") -> Path:
        """`ns-render camera-path` along the held-out views, from a file as the viewer writes it."""
        folder.mkdir(parents=True, exist_ok=True)
        path, video = folder / "camera_path.json", folder / "path.mp4"
        path.write_text(json.dumps(viewer_camera_path(self.held_out)), encoding="utf-8")
        options = ("--camera-path-filename", path, "--output-format", output_format, "--image-format", "png")
        self._run("ns-render camera-path", folder, "--output-path", video, *options)
        return _check_path(video, output_format, len(self.held_out), _size(self.held_out))

    def blurred_path(self, folder: Path) -> Path:
        """`ns-render camera-path` of `rgb_blurred` along the held-out views, as pictures; their folder."""
        folder.mkdir(parents=True, exist_ok=True)
        path, film = folder / "camera_path.json", folder / "blurred.mp4"
        path.write_text(json.dumps(viewer_camera_path(self.held_out)), encoding="utf-8")
        options = ("--rendered-output-names", "rgb_blurred", "--output-format", "images", "--image-format", "png")
        self._run("ns-render camera-path", folder, "--output-path", film, "--camera-path-filename", path, *options)
        return _check_path(film, "images", len(self.held_out), _size(self.held_out))

    @contextmanager
    def viewer(self, log: Path) -> Iterator[Watched]:
        """`ns-viewer`, listening; it is ended afterwards."""
        with watched("ns-viewer", "--load-config", self.config, cwd=self.folder, log=log) as running:
            running.wait_for_viewer(120)
            yield running

    def view(self, folder: Path) -> None:
        """`ns-viewer` starts and serves its page."""
        with self.viewer(folder / "ns-viewer.log") as running:
            with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/", timeout=30) as answer:
                page = answer.read().decode("utf-8", errors="replace")
            output = running.output()
        assert "<html" in page.lower(), f"ns-viewer: it serves no page but {page[:80]!r}"
        if "Traceback" in output:
            raise CommandFailed(f"ns-viewer: traceback in its output\n{output[-3000:]}")

    def _run(self, words: str, folder: Path, *options: object) -> Finished:
        name, *subcommand = words.split()
        log = folder / f"{'-'.join(words.split())}.log"
        return run(name, *subcommand, "--load-config", self.config, *options, cwd=self.folder, log=log)


def viewer_camera_path(cameras: Cameras) -> dict[str, Any]:
    """A camera path through the cameras as nerfstudio's viewer saves it, one frame each.

    The format knows a vertical field of view in degrees and a size for all, and no principal point.
    """
    width, height = _size(cameras)
    bottom = np.array([[0.0, 0.0, 0.0, 1.0]])
    frames = [
        {
            "camera_to_world": np.vstack([pose, bottom]).flatten().tolist(),
            "fov": math.degrees(2 * math.atan(height / 2 / fy)),
            "aspect": width / height,
        }
        for pose, fy in zip(cameras.camera_to_worlds.cpu().numpy(), cameras.fy.flatten().tolist(), strict=True)
    ]
    keyframes = [{"matrix": f["camera_to_world"], "fov": f["fov"], "aspect": f["aspect"]} for f in frames]
    return {
        "default_fov": frames[0]["fov"],
        "default_transition_sec": 1 / FRAME_RATE,
        "keyframes": keyframes,
        "camera_type": "perspective",
        "render_height": height,
        "render_width": width,
        "fps": FRAME_RATE,
        "seconds": len(frames) / FRAME_RATE,
        "is_cycle": False,
        "smoothness_value": 0.0,
        "camera_path": frames,
    }


def _size(cameras: Cameras) -> tuple[int, int]:
    return int(cameras.width[0].item()), int(cameras.height[0].item())


def _check_path(video: Path, output_format: str, frames: int, size: tuple[int, int], every: int = 1) -> Path:
    if output_format == "video":
        check_video(video, frames, size, every)
        return video
    check_pictures(video.with_suffix(""), frames, size, every)
    return video.with_suffix("")
