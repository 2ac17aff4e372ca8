"""The report of a training: what it made of the photographs, how good that is, through which lenses, at what cost."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from macro_splat.ops.color_maps import signed_colors
from macro_splat.report.events import Scalar, read_scalars
from macro_splat.report.lens_view import focus_chart, focus_in_space
from macro_splat.report.measured_views import (
    PHOTOGRAPH,
    REBLURRED,
    SHARP,
    TRUTH,
    MeasuredView,
    mean_figures,
    measure_views,
)
from macro_splat.report.page import Tile, duration, make_page, static
from macro_splat.report.run_geometry import SHARP_PX, RunGeometry, run_geometry
from macro_splat.report.training_curves import training_curves
from macro_splat.report.wipe import THUMBNAIL_EDGE_PX, Wipe, embed_wipes
from macro_splat.runs.cameras import short_names
from macro_splat.training.record import read_record, versions
from macro_splat.utils.atomic import atomic_write
from macro_splat.utils.progress import ProgressCallback, no_progress

if TYPE_CHECKING:
    from macro_splat.runs.load import Run

FILE_NAME = "report.html"
MAX_ROWS = 14
"""Of a table that is seen whole; of a longer one a scroll shows the rest."""
UNKNOWN_COMMAND = "not recorded: the run was interrupted, or made by an older version"
BLUR_MAP = "blur map"
MIN_BLUR_SCALE_PX = 2.0
FULL_SCALE_QUANTILE = 0.98
"""Of the blur that is shown in full colour."""


class TableRow(NamedTuple):
    """How well a view agrees."""

    name: str
    cells: list[str]
    gain: float | None
    """Of the re-blurred render over the sharp one in dB; None where it makes no sense."""


class ViewTable(NamedTuple):
    """Figures of views."""

    headings: list[str]
    rows: list[TableRow]
    """The mean first."""


def write_training_report(run: Run, output: Path | None = None, progress: ProgressCallback = no_progress) -> Path:
    """Write one page that needs nothing but itself.

    Args:
        run: a trained one.
        output: the page; `report.html` in the run's folder if absent.
        progress: called after each view.

    Raises:
        MacroSplatError: a photograph is broken.
        OSError: the page cannot be written; the old one stays.
    """
    start = time.monotonic()
    page = run.folder / FILE_NAME if output is None else output
    views = measure_views(run, progress)
    geometry = run_geometry(run)
    html = _make_report(run, views, geometry, read_scalars(run.folder), start)
    with atomic_write(page) as file:
        file.write(html.encode("utf-8", "replace"))
    return page


def _make_report(
    run: Run,
    views: Sequence[MeasuredView],
    geometry: RunGeometry,
    scalars: Mapping[str, Sequence[Scalar]],
    start: float,
) -> str:
    from plotly.offline import get_plotlyjs

    record = read_record(run.folder)
    cameras, names = run.datamanager.train_dataset.cameras, short_names(run.names)
    return make_page(
        "training.html",
        f"Training {run.data.resolve().name}",
        style=static("report.css", "wipe.css", "training.css"),
        scripts=[get_plotlyjs(), static("pose_view.js"), static("charts.js"), static("wipe.js")],
        tiles=list(_tiles(run, views, geometry, scalars, record)),
        **_pictures(views),
        **_tables(views),
        geometry=geometry,
        sharp_px=SHARP_PX,
        depth_of_field=_depth_of_field(geometry),
        focus_chart=None if geometry.focus is None else focus_chart(geometry, names),
        mode=run.model.config.defocus.mode,
        space=focus_in_space(geometry, cameras, names),
        object_size=_size_text(geometry, 4),
        curves=training_curves(scalars),
        command=shlex.join(record["command"]) if record else UNKNOWN_COMMAND,
        facts=_facts(run, scalars, record, start),
    )


def _tiles(
    run: Run,
    views: Sequence[MeasuredView],
    geometry: RunGeometry,
    scalars: Mapping[str, Sequence[Scalar]],
    record: Mapping[str, Any] | None,
) -> Iterator[Tile]:
    psnr = {name: f"{value:.1f} dB" for name, value in mean_figures(views).items()}
    if "held_out_truth_psnr" in psnr:
        yield Tile("sharp, at new views", psnr["held_out_truth_psnr"], "against all-in-focus photographs")
    elif "held_out_sharp_psnr" in psnr:
        yield Tile("sharp, at new views", psnr["held_out_sharp_psnr"], "against blurred photographs")
    if "training_blurred_psnr" in psnr:
        note = f"re-blurred; sharp {psnr['training_sharp_psnr']}"
        yield Tile("explains its photographs", psnr["training_blurred_psnr"], note)
    yield Tile("Gaussians", f"{int(run.model.num_points):,}", f"after {run.step + 1:,} steps")
    size = _size_text(geometry, 3)
    if size is not None:
        note = f"{geometry.unit}, from end to end" if geometry.unit else "from end to end, scale unknown"
        yield Tile("the object", size, note)
    limits = _depth_of_field(geometry)
    if limits is not None:
        depth = limits[1]
        share = depth / float(np.median(geometry.object_to - geometry.object_from))
        value = f"{depth:.2g} {geometry.unit or ''}" if np.isfinite(depth) else "endless"
        note = f"{100 * share:.0f} % of the object's depth" if np.isfinite(share) else f"blur under {SHARP_PX:g} px"
        yield Tile("depth of field", value, note)
    seconds = _seconds(scalars, record)
    if seconds is not None:
        yield Tile("training", duration(seconds), _rate(run, seconds, record))


def _size_text(geometry: RunGeometry, digits: int) -> str | None:
    size = geometry.size()
    return None if size is None else " × ".join(f"{edge:.{digits}g}" for edge in size)


def _depth_of_field(geometry: RunGeometry) -> tuple[float, float, float] | None:
    """Return the smallest, median and largest of all views; None without a lens."""
    if geometry.sharp_from is None or geometry.sharp_to is None:
        return None
    depth = geometry.sharp_to - geometry.sharp_from
    return float(np.min(depth)), float(np.median(depth)), float(np.max(depth))


def _pictures(views: Sequence[MeasuredView]) -> dict[str, Any]:
    """Return what the template has to know of pictures."""
    shown = [view for view in views if view.pictures]
    blur = [np.abs(view.coc_px[np.isfinite(view.coc_px)]) for view in shown if view.coc_px is not None]
    largest = np.concatenate(blur) if blur else np.zeros(0)
    quantile = np.quantile(largest, FULL_SCALE_QUANTILE) if len(largest) else 0.0
    full_scale = float(np.ceil(max(quantile, MIN_BLUR_SCALE_PX)))
    wipes = []
    for view in shown:
        layers = {name: Image.fromarray(picture) for name, picture in view.pictures.items()}
        if view.coc_px is not None:
            layers[BLUR_MAP] = _blur_picture(view.coc_px, full_scale)
        order = [name for name in (PHOTOGRAPH, TRUTH, SHARP, REBLURRED, BLUR_MAP) if name in layers]
        wipes.append(Wipe(view.name, *_note(view), {name: layers[name] for name in order}))
    ramp = _blur_colours(np.linspace(-1, 1, 9)[None], 1.0)[0].tolist()
    return {
        "wipes": embed_wipes(wipes),
        "wipe_left": PHOTOGRAPH,
        "wipe_right": SHARP,
        "thumbnail_edge": THUMBNAIL_EDGE_PX,
        "blur_map": BLUR_MAP,
        "blur_scale_px": full_scale if blur else None,
        "blur_gradient": ", ".join("rgb({} {} {})".format(*colour) for colour in ramp),
    }


def _blur_picture(coc_px: np.ndarray, full_scale: float) -> Image.Image:
    colours = _blur_colours(np.nan_to_num(coc_px), full_scale)
    return Image.fromarray(np.where(np.isfinite(coc_px)[..., None], colours, np.uint8(0)))


def _blur_colours(diameters: np.ndarray, full_scale: float) -> np.ndarray:
    """Return sRGB [h, w, 3] uint8 of signed diameters [h, w]."""
    colours = signed_colors(torch.from_numpy(np.ascontiguousarray(diameters))[..., None], full_scale)
    return (255 * colours).round().byte().numpy()


def _note(view: MeasuredView) -> tuple[str, str]:
    """Return what is to be said of a view, without its full stop, and the figure in bold that ends it."""
    figures = view.figures
    if view.index is None:
        for name, photograph in (("truth_psnr", "all-in-focus photograph"), ("sharp_psnr", "photograph")):
            if name in figures:
                return f"Held out from training. Sharp against the {photograph}:", f"{figures[name]:.2f} dB"
        return "Held out from training", ""
    note = f"Against the photograph: sharp {figures['sharp_psnr']:.2f} dB"
    return (f"{note}, re-blurred", f"{figures['blurred_psnr']:.2f} dB") if "blurred_psnr" in figures else (note, "")


def _tables(views: Sequence[MeasuredView]) -> dict[str, Any]:
    """Return what the template has to know of figures."""
    training = [view for view in views if view.index is not None]
    held_out = [view for view in views if view.index is None]
    has_truth = any("truth_psnr" in view.figures for view in held_out)
    against = {"against all-in-focus photograph": "truth"} if has_truth else {"against photograph": "sharp"}
    return {
        "max_rows": MAX_ROWS,
        "has_truth": has_truth,
        "training_table": _table(training, {"sharp": "sharp", "re-blurred": "blurred"}),
        "held_out_table": _table(held_out, against) if held_out else None,
    }


def _table(views: Sequence[MeasuredView], columns: Mapping[str, str]) -> ViewTable:
    """Return views under their mean. ``columns``: prefix of the figures by heading."""
    columns = {head: prefix for head, prefix in columns.items() if any(f"{prefix}_psnr" in v.figures for v in views)}
    with_gain = len(columns) == 2 and all({"blurred_psnr", "sharp_psnr"} <= v.figures.keys() for v in views)
    headings = [text for name in columns for text in (f"{name}, PSNR", "SSIM")]
    means = {name: fmean(v.figures[name] for v in views) for name in views[0].figures} if views else {}
    rows = []
    for name, figures in [("mean", means), *((view.name, view.figures) for view in views)]:
        cells = []
        for prefix in columns.values():
            cells += [f"{figures[f'{prefix}_psnr']:.2f} dB", f"{figures[f'{prefix}_ssim']:.4f}"]
        # Adding zero, for the gain is never -0.00.
        gain = round(figures["blurred_psnr"] - figures["sharp_psnr"], 2) + 0.0 if with_gain else None
        rows.append(TableRow(name, cells, gain))
    return ViewTable([*headings, "gain by the lens"] if with_gain else headings, rows)


def _facts(
    run: Run, scalars: Mapping[str, Sequence[Scalar]], record: Mapping[str, Any] | None, start: float
) -> dict[str, str]:
    seconds = _seconds(scalars, record)
    steps = [scalar.value for scalar in scalars.get("Train Iter (time)", ())]
    facts = {
        "training": None if seconds is None else f"{duration(seconds)}, {_rate(run, seconds, record)}",
        "a step": f"{1000 * float(np.median(steps)):.0f} ms in the median" if steps else None,
        "this report": duration(time.monotonic() - start),
        "machine": record["machine"] if record else None,
        "run": str(run.folder),
        "photographs": f"{len(run.names)} in {run.data}",
        "seed": str(run.config.machine.seed),
        "versions at training": _versions(record["versions"]) if record else None,
        "versions of this report": None if record and record["versions"] == versions() else _versions(versions()),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _seconds(scalars: Mapping[str, Sequence[Scalar]], record: Mapping[str, Any] | None) -> float | None:
    """Return the time of the training: as recorded, else between its first and last logged number."""
    if record is not None:
        return float(record["seconds"])
    times = [scalar.time for curve in scalars.values() for scalar in curve]
    return max(times) - min(times) if times else None


def _rate(run: Run, seconds: float, record: Mapping[str, Any] | None) -> str:
    steps = record["steps"] if record is not None else run.step + 1
    return f"{steps / max(seconds, 1e-3):.3g} steps a second"


def _versions(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())
