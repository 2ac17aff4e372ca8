"""What `macro-splat deblur` does: the sharp version of every training photograph, and how blurred it was where."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.utils.rich_utils import CONSOLE
from numpy.typing import NDArray

from macro_splat.data.datamanager import undistorted
from macro_splat.defocus.thin_lens import SIGMA_PER_DIAMETER
from macro_splat.export.config import DeblurConfig
from macro_splat.model.lens_file import FILE_NAME as LENS_FILE
from macro_splat.model.lens_file import lens_record
from macro_splat.runs.cameras import short_names
from macro_splat.runs.load import Run, load_run
from macro_splat.utils.atomic import atomic_folder
from macro_splat.utils.progress import ProgressCallback, no_progress

SIGMA_STEP_PX = 1 / 256
"""What one level of a 16-bit map of sigma is, in pixels of the full photograph."""
FOLDERS = ("sharp", "sigma", "sigma_colour")
SHOWN_SHARE = 0.99
"""The colours of the maps reach up to this quantile of all that is seen; the same scale for all photographs."""


def deblur(config: DeblurConfig, progress: ProgressCallback = no_progress) -> dict[str, Any]:
    """Refuse bad options, load the run, which takes long, and write its photographs: see `deblur_run`."""
    config.check()
    quiet_before, CONSOLE.quiet = CONSOLE.quiet, True  # the training's own messages: that it reduces photographs, say
    try:
        run = load_run(config.run, data=config.data)
    finally:
        CONSOLE.quiet = quiet_before
    return deblur_run(run, config, progress)


@torch.no_grad()
def deblur_run(run: Run, config: DeblurConfig, progress: ProgressCallback = no_progress) -> dict[str, Any]:
    """Write `sharp/NAME.png`, `sigma/NAME.png` and `sigma_colour/NAME.png` for every training photograph.

    Each is seen from the photograph's own pose, as the training refined it, and has the photograph's own size; of a
    distorted photograph it is the undistorted one, which is what was trained on. sigma is the standard deviation of
    the blur in pixels, in steps of `SIGMA_STEP_PX`; 0, and black in colours, where nothing is. `lens.json` has the
    lenses, and says all this.

    Returns:
        the content of `lens.json`.

    Raises:
        MacroSplatError: see `DeblurConfig.check`.
    """
    config.check()
    config.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(config.out) as folder:
        return _write(run, folder, config.max_image_edge, progress)


def _write(run: Run, out: Path, max_image_edge: int, progress: ProgressCallback) -> dict[str, Any]:
    lens, names = run.model.lens, picture_names(run.names)
    cameras = full_size_cameras(run, max_image_edge)
    for folder in FOLDERS if lens is not None else FOLDERS[:1]:
        for name in names:
            (out / folder / name).parent.mkdir(parents=True, exist_ok=True)
    views, reach = [], 0.0
    for i, name in enumerate(names):
        camera = cameras[i]
        picture = run.model.render_training_view(camera, i)
        _write_png(out / "sharp" / name, (255 * picture["rgb"].clamp(0, 1)).round().byte().cpu().numpy()[..., ::-1])
        view: dict[str, Any] = {"sharp": f"sharp/{name}", "width": int(camera.width), "height": int(camera.height)}
        if lens is not None:
            focal = float(camera.fx)
            depth = torch.where(picture["accumulation"] > 0.5, picture["depth"], 0.0)[..., 0]
            sigma = (2 * SIGMA_PER_DIAMETER * lens.blur_radius(i, depth, focal)).cpu().numpy()
            seen = depth.cpu().numpy() > 0
            levels = np.clip(np.round(sigma / SIGMA_STEP_PX), 1, 65535)  # from 1: in focus is not nothing
            _write_png(out / "sigma" / name, np.where(seen, levels, 0).astype(np.uint16))
            shown = sigma[seen]
            reach = max(reach, float(np.quantile(shown, SHOWN_SHARE)) if shown.size else 0.0)
            view |= {"sigma": f"sigma/{name}", "sigma_colour": f"sigma_colour/{name}", "focal_length_px": focal}
        views.append(view)
        progress("deblurring", i + 1, len(names))
    record: dict[str, Any] = {"views": [{"name": name} for name in run.names]}
    if lens is not None:
        for done, name in enumerate(names):
            _write_png(out / "sigma_colour" / name, _colored(out / "sigma" / name, reach))
            progress("colouring", done + 1, len(names))
        record = lens_record(lens, run.names, run.metadata)
        record["sigma_maps"] = {"px_per_level": SIGMA_STEP_PX, "colours_reach_px": reach, "nothing_there": 0}
    for entry, view in zip(record["views"], views, strict=True):
        entry |= view
    (out / LENS_FILE).write_text(json.dumps(record, indent=1, allow_nan=False), encoding="utf-8")
    return record


def picture_names(names: Sequence[str]) -> list[str]:
    """Paths for the pictures of photographs: without the folder that all share, with .png as ending, each its own."""
    relative = [Path(name) for name in short_names(names)]
    short = [path.with_suffix(".png").as_posix() for path in relative]
    return short if len(set(short)) == len(short) else [f"{path.as_posix()}.png" for path in relative]


def full_size_cameras(run: Run, max_image_edge: int = 0) -> list[Cameras]:
    """Return the training cameras, [1] each, at the photographs' own size, or reduced to a longer edge in pixels."""
    datamanager = run.datamanager
    dataset = datamanager.dataset_type(datamanager.train_dataparser_outputs, scale_factor=1.0)
    views = []
    for i in range(len(dataset)):
        distortion = dataset.cameras.distortion_params
        if distortion is not None and bool(distortion[i].any()):
            # Puts the camera that sees straight into the data set.
            undistorted(dataset.get_data(i, image_type="uint8"), dataset.cameras, i)
        camera = dataset.cameras[i : i + 1].to(run.model.device)
        edge = max(int(camera.width), int(camera.height))
        if 0 < max_image_edge < edge:
            camera.rescale_output_resolution(max_image_edge / edge)
        views.append(camera)
    return views


def _colored(path: Path, reach_px: float) -> NDArray:
    """Return a map of sigma in viridis, BGR: violet = sharp, yellow = `reach_px` and more, black = nothing there."""
    levels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert levels is not None, path
    share = np.clip(levels * (SIGMA_STEP_PX / max(reach_px, 1e-6)), 0, 1)
    colored = cv2.applyColorMap(np.round(255 * share).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    return np.where(levels[..., None] > 0, colored, 0).astype(np.uint8)


def _write_png(path: Path, pixels: NDArray) -> None:
    """Write 8 or 16 bits, grey or BGR."""
    done, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
    assert done, path
    path.write_bytes(data.tobytes())
