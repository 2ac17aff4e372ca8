"""`macro-splat render`: films of a trained model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from macro_splat.errors import MacroSplatError

if TYPE_CHECKING:
    from macro_splat.cli.stage_bars import StageBars
    from macro_splat.runs.load import Run
    from macro_splat.video.films import Frame

FilmName = Literal["orbit", "focus-pull", "before-after", "stack"]
SECONDS = {"orbit": 12.0, "focus-pull": 6.0, "before-after": 4.0}


def render(
    run: Annotated[Path, tyro.conf.Positional],
    film: Annotated[FilmName, tyro.conf.Positional],
    output: Path | None = None,
    width: int = 0,
    height: int = 0,
    fps: float = 25.0,
    seconds: float = 0.0,
    view: str = "",
    views: int = 4,
    slices: int = 10,
    blur: float = 0.0,
    labels: bool = True,
    data: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Make a film of a trained model.

    orbit: sharp, around the object as the training cameras went. focus-pull: the plane of focus goes through the
    object and back. before-after: a line wipes from the photographs to the sharp renders and back. stack: a focus
    stack as PNGs, with the all-in-focus picture.

    Args:
        run: folder of a training, with its config.yml, or one above.
        film: what to make.
        output: FILE.mp4, FILE.gif, or a folder for PNGs; by default the film's name in the current folder.
        width: of the pictures in pixels; 0: follows from the height, or as the photographs.
        height: likewise.
        fps: frames a second.
        seconds: of the film (before-after: for each view); 0: 12 for orbit, 6 for focus-pull, 4 for before-after.
        view: index or name of the training photograph for focus-pull, before-after and stack; by default one from the
            middle, or for before-after several.
        views: how many photographs before-after shows, where no view is named.
        slices: of the stack.
        blur: how much wider than the photograph's own lens focus-pull and stack open theirs; 0: as wide, or as much
            wider as it takes to see where the focus is.
        labels: whether before-after says which side is which.
        data: folder of the capture, if it was moved since the training.
        overwrite: replace what is there.
    """
    from macro_splat.cli.stage_bars import StageBars
    from macro_splat.runs.load import load_run
    from macro_splat.video.films import before_after, focus_pull, orbit_film
    from macro_splat.video.views import find_view, spread_views
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
    # What was not asked for becomes even below.
    write = writer_for(output, (width or 2, height or 2), fps)
    check_output(output, overwrite)
    trained = load_run(run, data=data)
    middle = spread_views(trained.metadata, len(trained.names), 1)[0]
    chosen = find_view(trained.names, view) if view else middle
    size = _size(trained, chosen, width, height, even=output.suffix.lower() == ".mp4")

    with StageBars() as bars:
        if film == "stack":
            from macro_splat.video.stack import write_stack

            write_stack(output, trained, chosen, size, slices, blur, bars.update)
            print(f"{output}: {slices} slices, all_in_focus.png and stack.json")
            return 0
        count = max(1, round(fps * (seconds or SECONDS[film])))
        total = count
        if film == "orbit":
            frames = orbit_film(trained, size, count)
        elif film == "focus-pull":
            frames = focus_pull(trained, chosen, size, count, blur)
        else:
            shown = [chosen] if view else spread_views(trained.metadata, len(trained.names), views)
            frames = before_after(trained, shown, size, count, labels)
            total = count * len(shown)
        write(output, _counted(frames, total, bars), size, fps)
    print(f"{output}: {total} frames of {size[0]} x {size[1]}")
    return 0


def _counted(frames: Iterator[Frame], total: int, bars: StageBars) -> Iterator[Frame]:
    """The frames, with a bar that says how many are through."""
    for done, frame in enumerate(frames):
        yield frame
        bars.update("frames", done + 1, total)


def _size(run: Run, view: int, width: int, height: int, even: bool) -> tuple[int, int]:
    """Width and height of the film; what was not asked for follows from the photograph and is even for a video."""
    camera = run.camera(view)
    photograph = int(camera.width), int(camera.height)
    scale = width / photograph[0] if width else height / photograph[1] if height else 1.0
    step = 2 if even else 1
    follow = [max(step, step * round(scale * edge / step)) for edge in photograph]
    return width or follow[0], height or follow[1]
