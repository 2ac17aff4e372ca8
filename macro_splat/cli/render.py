"""`macro-splat render`: films of a trained model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from macro_splat.errors import MacroSplatError

if TYPE_CHECKING:
    from macro_splat.cli.stage_bars import StageBars
    from macro_splat.video.films import Frame

FilmName = Literal["orbit", "focus-pull", "before-after", "stack", "camera-path"]
SECONDS = {"orbit": 12.0, "focus-pull": 6.0, "before-after": 4.0}


def render(
    run: Annotated[Path, tyro.conf.Positional],
    film: Annotated[FilmName, tyro.conf.Positional],
    output: Path | None = None,
    width: int = 0,
    height: int = 0,
    fps: float = 0.0,
    seconds: float = 0.0,
    view: str = "",
    views: int = 4,
    slices: int = 10,
    blur: float = 0.0,
    f_number: float | None = None,
    focus: float | None = None,
    camera_path_filename: Path | None = None,
    labels: bool = True,
    data: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Make a film of a trained model.

    orbit: around the object as the training cameras went. camera-path: as it was drawn in the viewer. Both are sharp,
    unless --f-number, --blur or --focus choose a lens. focus-pull: the plane of focus goes through the
    object and back. before-after: a line wipes from the photographs to the sharp renders and back. stack: a focus
    stack as PNGs, with the all-in-focus picture.

    Args:
        run: folder of a training, with its config.yml, or one above.
        film: what to make.
        output: FILE.mp4, FILE.gif, or a folder for PNGs; by default the film's name in the current folder.
        width: of the pictures in pixels; 0: follows from the height, or as the photographs.
        height: likewise.
        fps: frames a second; 0: 25, or as the camera path says.
        seconds: of the film (before-after: for each view); 0: 12 for orbit, 6 for focus-pull, 4 for before-after.
        view: index or name of the training photograph for focus-pull, before-after and stack; by default one from the
            middle, or for before-after several.
        views: how many photographs before-after shows, where no view is named.
        slices: of the stack.
        blur: how much wider than the photograph's own lens the lens is; 0: as wide, or for focus-pull and stack as much
            wider as it takes to see where the focus is.
        f_number: of the lens, where the capture tells millimetres and the focal length.
        focus: distance of the plane of focus of orbit and camera-path, in mm where the capture tells the scale, else in
            scene units; by default as the photographs were focused.
        camera_path_filename: of camera-path: what the viewer's Render tab has saved.
        labels: whether before-after says which side is which.
        data: folder of the capture, if it was moved since the training.
        overwrite: replace what is there.
    """
    from macro_splat.cli.stage_bars import StageBars
    from macro_splat.runs.load import load_run
    from macro_splat.runs.views import find_view, spread_views
    from macro_splat.video.camera_path import read_camera_path
    from macro_splat.video.films import before_after, focus_pull, orbit_film, path_film
    from macro_splat.video.lens_options import LensOptions
    from macro_splat.video.writers import check_output, writer_for

    if output is None:
        output = Path("stack" if film == "stack" else f"{film}.mp4")
    if film == "stack" and output.suffix:
        raise MacroSplatError(f"{output}: a stack is PNGs; give a folder")
    if not 0 <= seconds < 3600:
        raise MacroSplatError(f"--seconds {seconds:g}: give a number above 0, or 0 for the usual length")
    if views < 1 or slices < 2:
        raise MacroSplatError(f"--views {views} --slices {slices}: at least 1 view and 2 slices")
    if width < 0 or height < 0:
        raise MacroSplatError(f"--width {width} --height {height}: give numbers of pixels, or 0")
    lens = LensOptions(f_number, blur, focus)
    lens.check_film(film)
    if (film == "camera-path") != (camera_path_filename is not None):
        raise MacroSplatError("camera-path and --camera-path-filename FILE go together; give both or none")
    path = None if camera_path_filename is None else read_camera_path(camera_path_filename)
    if path is not None:
        if fps and seconds:
            raise MacroSplatError(
                f"--fps {fps:g} --seconds {seconds:g}: a camera path has its frames; give one of both"
            )
        fps = fps or len(path.cameras) / (seconds or path.seconds)
    fps = fps or 25.0
    # What was not asked for becomes even below.
    write = writer_for(output, (width or 2, height or 2), fps)
    check_output(output, overwrite)
    trained = load_run(run, data=data)
    middle = spread_views(trained.metadata, len(trained.names), 1)[0]
    chosen = find_view(trained.names, view) if view else middle
    camera = trained.camera(chosen)
    usual = (int(camera.width), int(camera.height)) if path is None else path.size
    size = _size(usual, width, height, even=output.suffix.lower() == ".mp4")

    with StageBars() as bars:
        if film == "stack":
            from macro_splat.video.stack import write_stack

            write_stack(output, trained, chosen, size, slices, lens, bars.update)
            print(f"{output}: {slices} slices, all_in_focus.png and stack.json")
            return 0
        count = total = max(1, round(fps * (seconds or SECONDS.get(film, 0.0))))
        if path is not None:
            frames, total = path_film(trained, path, size, lens), len(path.cameras)
        elif film == "orbit":
            frames = orbit_film(trained, size, count, lens)
        elif film == "focus-pull":
            frames = focus_pull(trained, chosen, size, count, lens)
        else:
            shown = [chosen] if view else spread_views(trained.metadata, len(trained.names), views)
            frames, total = before_after(trained, shown, size, count, labels), count * len(shown)
        write(output, _counted(frames, total, bars), size, fps)
    print(f"{output}: {total} frames of {size[0]} x {size[1]}")
    return 0


def _counted(frames: Iterator[Frame], total: int, bars: StageBars) -> Iterator[Frame]:
    """The frames, with a bar that says how many are through."""
    for done, frame in enumerate(frames):
        yield frame
        bars.update("frames", done + 1, total)


def _size(usual: tuple[int, int], width: int, height: int, even: bool) -> tuple[int, int]:
    """Width and height of the film; what was not asked for follows from the usual size and is even for a video."""
    scale = width / usual[0] if width else height / usual[1] if height else 1.0
    step = 2 if even else 1
    follow = [max(step, step * round(scale * edge / step)) for edge in usual]
    return width or follow[0], height or follow[1]
