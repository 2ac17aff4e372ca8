"""`macro-splat deblur`: the sharp versions of a run's photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def deblur(
    run: Annotated[Path, tyro.conf.Positional],
    out: Annotated[Path, tyro.conf.Positional],
    max_image_edge: int = 0,
    data: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Write the sharp version of every training photograph, maps of its blur, and lens.json.

    Args:
        run: folder of a training, its config.yml, or a folder above: the newest run in it.
        out: folder for sharp/ (8 bit), sigma/ (16 bit: the blur's standard deviation in 1/256 px), sigma_colour/ and
            lens.json.
        max_image_edge: longer edge in pixels at most; 0: the photographs' own size.
        data: where the capture is, if it was moved since the training.
        overwrite: replace what is there.
    """
    from nerfstudio.utils.rich_utils import CONSOLE

    from macro_splat.cli.stage_bars import StageBars
    from macro_splat.export.deblur import DeblurConfig, check_output
    from macro_splat.export.deblur import deblur as write
    from macro_splat.runs import load_run

    config = DeblurConfig(max_image_edge, overwrite)
    check_output(out, config)  # before the long way to a loaded run
    said_before, CONSOLE.quiet = CONSOLE.quiet, True  # what was said at training: that it reduces photographs, say
    try:
        loaded = load_run(run, data=data)
    finally:
        CONSOLE.quiet = said_before
    with StageBars() as bars:
        record = write(loaded, out, config, progress=bars.update)
    sizes = {f"{view['width']} x {view['height']} pixels" for view in record["views"]}
    print(f"{len(record['views'])} photographs deblurred" + (f", {sizes.pop()}" if len(sizes) == 1 else ""))
    print(f"  sharp  {out / 'sharp'}")
    if "sigma_maps" in record:
        reach = record["sigma_maps"]["colours_reach_px"]
        print(f"  blur   {out / 'sigma_colour'}   (violet: sharp; yellow: {reach:.1f} px and more)")
    else:
        print("  blur   no maps: this mode of defocus has no lens")
    print(f"  lens   {out / 'lens.json'}")
    return 0
