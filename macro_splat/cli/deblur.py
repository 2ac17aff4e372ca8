"""`macro-splat deblur`: the sharp versions of a run's photographs."""

from __future__ import annotations

from macro_splat.export.config import DeblurConfig


def deblur(config: DeblurConfig) -> int:
    """Write the sharp version of every training photograph, maps of its blur, and lens.json."""
    from macro_splat.cli.stage_bars import StageBars
    from macro_splat.export.deblur import deblur as write

    with StageBars() as bars:
        record = write(config, bars.update)
    sizes = {f"{view['width']} x {view['height']} pixels" for view in record["views"]}
    print(f"{len(record['views'])} photographs deblurred" + (f", {sizes.pop()}" if len(sizes) == 1 else ""))
    print(f"  sharp  {config.out / 'sharp'}")
    if "sigma_maps" in record:
        reach = record["sigma_maps"]["colours_reach_px"]
        print(f"  blur   {config.out / 'sigma_colour'}   (violet: sharp; yellow: {reach:.1f} px and more)")
    else:
        print("  blur   no maps: this mode of defocus has no lens")
    print(f"  lens   {config.out / 'lens.json'}")
    return 0
