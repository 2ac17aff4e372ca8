"""`macro-splat render`: films of a trained model."""

from __future__ import annotations

from macro_splat.video.config import RenderConfig


def render(config: RenderConfig) -> int:
    """Make a film of a trained model.

    orbit: around the object as the training cameras went. camera-path: as it was drawn in the viewer. Both are sharp,
    unless --f-number, --blur or --focus choose a lens. focus-pull: the plane of focus goes through the
    object and back. before-after: a line wipes from the photographs to the sharp renders and back. stack: a focus
    stack as PNGs, with the all-in-focus picture.
    """
    from macro_splat.cli.stage_bars import StageBars
    from macro_splat.video.render import render as write

    with StageBars() as bars:
        made = write(config, bars.update)
    print(made)
    return 0
