"""What `macro-splat render` does: a film of a trained model, from its options to the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from macro_splat.runs.load import load_run
from macro_splat.runs.views import find_view, spread_views
from macro_splat.utils.progress import ProgressCallback, no_progress
from macro_splat.video.camera_path import CameraPath, read_camera_path
from macro_splat.video.config import RenderConfig
from macro_splat.video.films import Picture, Size, before_after, focus_pull, orbit_film, path_film
from macro_splat.video.stack import write_stack
from macro_splat.video.writers import check_output, writer_for

if TYPE_CHECKING:
    from macro_splat.runs.load import Run

USUAL_FPS = 25.0
USUAL_SECONDS = {"orbit": 12.0, "focus-pull": 6.0, "before-after": 4.0}


def render(config: RenderConfig, progress: ProgressCallback = no_progress) -> str:
    """Make a film, or a focus stack, and return a line that says what was written.

    Raises:
        MacroSplatError: an option is impossible or something is in the way; nothing was written then.
    """
    config.check()
    output = config.output_path
    path = None if config.camera_path_filename is None else read_camera_path(config.camera_path_filename)
    fps = config.fps
    if path is not None:
        fps = fps or len(path.cameras) / (config.seconds or path.seconds)
    fps = fps or USUAL_FPS
    # A width or height that was not asked for becomes even below.
    write = writer_for(output, (config.width or 2, config.height or 2), fps)
    check_output(output, config.overwrite)
    run = load_run(config.run, data=config.data)
    middle = spread_views(run.metadata, len(run.names), 1)[0]
    view = find_view(run.names, config.view) if config.view else middle
    camera = run.camera(view)
    usual = (int(camera.width), int(camera.height)) if path is None else path.size
    size = _size(usual, config.width, config.height, even=output.suffix.lower() == ".mp4")
    if config.film == "stack":
        write_stack(output, run, view, size, config.slices, config.lens, progress)
        return f"{output}: {config.slices} slices, all_in_focus.png and stack.json"
    frames, total = _film(run, config, path, view, size, fps)
    write(output, _counted(frames, total, progress), size, fps)
    return f"{output}: {total} frames of {size[0]} x {size[1]}"


def _film(
    run: Run, config: RenderConfig, path: CameraPath | None, view: int, size: Size, fps: float
) -> tuple[Iterator[Picture], int]:
    """Return the frames of a film, and how many there will be."""
    if path is not None:
        return path_film(run, path, size, config.lens), len(path.cameras)
    count = max(1, round(fps * (config.seconds or USUAL_SECONDS[config.film])))
    if config.film == "orbit":
        return orbit_film(run, size, count, config.lens), count
    if config.film == "focus-pull":
        return focus_pull(run, view, size, count, config.lens), count
    shown = [view] if config.view else spread_views(run.metadata, len(run.names), config.views)
    return before_after(run, shown, size, count, config.labels), count * len(shown)


def _counted(frames: Iterator[Picture], total: int, progress: ProgressCallback) -> Iterator[Picture]:
    """Yield the frames, and report each that has been written."""
    for done, frame in enumerate(frames):
        yield frame
        progress("frames", done + 1, total)


def _size(usual: Size, width: int, height: int, even: bool) -> Size:
    """Return the film's size; an edge not asked for follows from the usual size, and is even for a video."""
    scale = width / usual[0] if width else height / usual[1] if height else 1.0
    step = 2 if even else 1
    follow = [max(step, step * round(scale * edge / step)) for edge in usual]
    return width or follow[0], height or follow[1]
