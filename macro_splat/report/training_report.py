"""The report of a training: what it made of the photographs, how good that is, through which lenses, at what cost."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from macro_splat.ops.color_maps import signed_colors
from macro_splat.report import charts, pose_view, wipe
from macro_splat.report.events import Scalar, read_scalars
from macro_splat.report.lens_view import focus_chart, focus_in_space
from macro_splat.report.measured_views import (
    CIRCLES,
    PHOTOGRAPH,
    REBLURRED,
    SHARP,
    TRUTH,
    MeasuredView,
    measure_views,
)
from macro_splat.report.page import make_page
from macro_splat.report.run_geometry import SHARP_PX, RunGeometry, run_geometry
from macro_splat.report.style import STYLE
from macro_splat.report.training_curves import training_curves
from macro_splat.report.wipe import Wipe, wipe_section
from macro_splat.runs.cameras import short_names
from macro_splat.training.record import read_record, versions
from macro_splat.utils.atomic import atomic_write
from macro_splat.utils.progress import ProgressCallback

if TYPE_CHECKING:
    from macro_splat.runs.load import Run

FILE_NAME = "report.html"
ROWS = 14
"""Of a table that is seen whole; of a longer one a scroll shows the rest."""
CHARTS_STYLE = """
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 1rem; }
.chart { height: 20rem; min-width: 0; overflow: hidden; }
#pose-view { overflow: hidden; }
.legend i.scale { width: 12rem; margin: 0 .4em; }
td.good { color: #1b5e20; font-weight: 600; }
"""


def write_training_report(run: Run, output: Path | None = None, progress: ProgressCallback | None = None) -> Path:
    """Write one page that needs nothing but itself.

    Args:
        run: a trained one.
        output: the page; `report.html` in the run's folder if absent.
        progress: told what is done, how much, and of how much.

    Raises:
        MacroSplatError: a photograph is broken.
        OSError: the page cannot be written; the old one stays.
    """
    start = time.monotonic()
    page = run.folder / FILE_NAME if output is None else output
    views = measure_views(run, progress or (lambda what, done, total: None))
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
    title = f"Training {run.data.resolve().name}"
    scripts = [get_plotlyjs(), pose_view.SCRIPT, charts.SCRIPT, wipe.SCRIPT]
    body = [
        f"<h1>{escape(title)}</h1>",
        _summary(run, views, geometry, scalars, record),
        "<h2>Before and after</h2>",
        _pictures(views),
        "<h2>How well it agrees</h2>",
        _figures(views),
        "<h2>The lenses</h2>",
        _lenses(run, geometry),
        "<h2>How the training went</h2>",
        training_curves(scalars),
        "<h2>The run</h2>",
        _run(run, scalars, record, start),
    ]
    return make_page(title, body, STYLE + wipe.STYLE + CHARTS_STYLE, scripts)


def _mean(views: Sequence[MeasuredView], name: str, held_out: bool) -> float | None:
    values = [v.figures[name] for v in views if name in v.figures and (v.index is None) == held_out]
    return fmean(values) if values else None


# --- sections -----------------------------------------------------------------------------------------------------


def _summary(
    run: Run,
    views: Sequence[MeasuredView],
    geometry: RunGeometry,
    scalars: Mapping[str, Sequence[Scalar]],
    record: Mapping[str, Any] | None,
) -> str:
    tiles = []
    truth, held_out = _mean(views, "truth_psnr", True), _mean(views, "sharp_psnr", True)
    if truth is not None:
        tiles.append(("sharp, at new views", f"{truth:.1f} dB", "against all-in-focus photographs"))
    elif held_out is not None:
        tiles.append(("sharp, at new views", f"{held_out:.1f} dB", "against blurred photographs"))
    blurred, sharp = _mean(views, "blurred_psnr", False), _mean(views, "sharp_psnr", False)
    if blurred is not None and sharp is not None:
        tiles.append(("explains its photographs", f"{blurred:.1f} dB", f"re-blurred; sharp {sharp:.1f} dB"))
    tiles.append(("Gaussians", f"{int(run.model.num_points):,}", f"after {run.step + 1:,} steps"))
    size = geometry.size()
    if size is not None:
        edges = " × ".join(f"{edge:.3g}" for edge in size)
        note = f"{geometry.unit}, from end to end" if geometry.unit else "from end to end, scale unknown"
        tiles.append(("the object", edges, note))
    if geometry.sharp_from is not None and geometry.sharp_to is not None:
        depth = float(np.median(geometry.sharp_to - geometry.sharp_from))
        share = depth / float(np.median(geometry.object_to - geometry.object_from))
        value = f"{depth:.2g} {geometry.unit or ''}" if np.isfinite(depth) else "endless"
        note = f"{100 * share:.0f} % of the object's depth" if np.isfinite(share) else f"blur under {SHARP_PX:g} px"
        tiles.append(("depth of field", value, note))
    seconds = _seconds(scalars, record)
    if seconds is not None:
        tiles.append(("training", _duration(seconds), _rate(run, seconds, record)))
    cells = "".join(
        f"<div><span>{escape(name)}</span><b>{escape(value)}</b><small>{escape(note)}</small></div>"
        for name, value, note in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _pictures(views: Sequence[MeasuredView]) -> str:
    shown = [view for view in views if view.pictures]
    circles = [np.abs(view.circle_px[np.isfinite(view.circle_px)]) for view in shown if view.circle_px is not None]
    largest = np.concatenate(circles) if circles else np.zeros(0)
    full_scale = float(np.ceil(max(np.quantile(largest, 0.98), 2.0))) if len(largest) else 2.0
    wipes = []
    for view in shown:
        layers = {name: Image.fromarray(picture) for name, picture in view.pictures.items()}
        if view.circle_px is not None:
            layers[CIRCLES] = _circle_picture(view.circle_px, full_scale)
        order = [name for name in (PHOTOGRAPH, TRUTH, SHARP, REBLURRED, CIRCLES) if name in layers]
        wipes.append(Wipe(view.name, _note(view), {name: layers[name] for name in order}))
    text = (
        "<p>Drag over the picture, or use the arrow keys, to wipe from one picture to the other; below it you choose "
        "which two. <b>sharp</b> is the model as it is, <b>re-blurred</b> the same as the photograph's lens saw it.</p>"
    )
    if circles:
        ramp = ", ".join(
            "rgb({} {} {})".format(*colour) for colour in _circle_colours(np.linspace(-1, 1, 9)[None], 1.0)[0].tolist()
        )
        text += (
            f'<p class="legend"><span><b>{CIRCLES}</b>: diameter of the circle of confusion, {full_scale:g} px in '
            f'front of the plane of focus <i class="scale" style="background:linear-gradient(90deg, {ramp})"></i> '
            f"{full_scale:g} px behind it; the palest is in focus</span></p>"
        )
    return text + wipe_section(wipes, PHOTOGRAPH, SHARP)


def _circle_picture(circle_px: np.ndarray, full_scale: float) -> Image.Image:
    colours = _circle_colours(np.nan_to_num(circle_px), full_scale)
    return Image.fromarray(np.where(np.isfinite(circle_px)[..., None], colours, np.uint8(0)))


def _circle_colours(values: np.ndarray, full_scale: float) -> np.ndarray:
    """sRGB [h, w, 3] uint8 of diameters [h, w]."""
    import torch

    colours = signed_colors(torch.from_numpy(np.ascontiguousarray(values))[..., None], full_scale)
    return (255 * colours).round().byte().numpy()


def _note(view: MeasuredView) -> str:
    figures = view.figures
    if view.index is None:
        against = ("all-in-focus photograph", "truth_psnr") if "truth_psnr" in figures else ("photograph", "sharp_psnr")
        if against[1] not in figures:
            return "Held out from training."
        return f"Held out from training. Sharp against the {against[0]}: <b>{figures[against[1]]:.2f} dB</b>."
    note = f"Against the photograph: sharp {figures['sharp_psnr']:.2f} dB"
    if "blurred_psnr" in figures:
        note += f", re-blurred <b>{figures['blurred_psnr']:.2f} dB</b>"
    return note + "."


def _figures(views: Sequence[MeasuredView]) -> str:
    training = [view for view in views if view.index is not None]
    held_out = [view for view in views if view.index is None]
    parts = [
        f"<h3>Training views</h3><p>PSNR and SSIM of {len(training)} renders, evenly spread, against the photographs "
        "that the model was trained on. They are blurred: the sharp render ought to differ from them, and the "
        "re-blurred one to agree, where the lens is right. It tells whether the blur is explained, not whether the "
        "sharp picture is true.</p>",
        _table(
            training,
            {"sharp": "sharp", "re-blurred": "blurred"},
            gain=("blurred_psnr", "sharp_psnr"),
        ),
    ]
    if held_out:
        truth = any("truth_psnr" in view.figures for view in held_out)
        columns = {"against all-in-focus photograph": "truth"} if truth else {"against photograph": "sharp"}
        against = (
            "all-in-focus photographs of the same poses: how true the sharp picture is"
            if truth
            else "the photographs as they are, whose own blur counts as an error here"
        )
        parts.append(
            f"<h3>Views held out from training</h3><p>PSNR and SSIM of {len(held_out)} sharp renders against {against}."
            f"</p>{_table(held_out, columns)}"
        )
    return "".join(parts)


def _table(views: Sequence[MeasuredView], columns: Mapping[str, str], gain: tuple[str, str] | None = None) -> str:
    """Views under their mean. ``columns``: prefix of the figures by heading. ``gain``: the figures to compare."""
    columns = {head: prefix for head, prefix in columns.items() if any(f"{prefix}_psnr" in v.figures for v in views)}
    gains = gain is not None and all(name in v.figures for v in views for name in gain)
    head = "".join(f"<th>{escape(name)}, PSNR</th><th>SSIM</th>" for name in columns)
    rows = []
    means = {name: fmean(v.figures[name] for v in views) for name in views[0].figures} if views else {}
    for name, figures in [("mean", means), *((view.name, view.figures) for view in views)]:
        cells = "".join(
            f"<td>{figures[f'{prefix}_psnr']:.2f} dB</td><td>{figures[f'{prefix}_ssim']:.4f}</td>"
            for prefix in columns.values()
        )
        if gains and gain is not None:
            difference = figures[gain[0]] - figures[gain[1]]
            difference = round(difference, 2) + 0.0  # never -0.00
            cells += f"<td{' class=good' if difference > 0 else ''}>{difference:+.2f} dB</td>"
        label = "<b>mean</b>" if name == "mean" else escape(name)
        rows.append(f'<tr><th scope="row">{label}</th>{cells}</tr>')
    last = "<th>gain by the lens</th>" if gains else ""
    hint = f"<p><small>{len(views)} views; scroll for the rest.</small></p>" if len(views) > ROWS else ""
    return f'{hint}<div class="wide tall"><table><tr><th>view</th>{head}{last}</tr>{"".join(rows)}</table></div>'


def _lenses(run: Run, geometry: RunGeometry) -> str:
    cameras, names = run.datamanager.train_dataset.cameras, short_names(run.names)
    unit = geometry.unit or "units of the capture, whose scale is unknown"
    parts = []
    if geometry.focus is None:
        mode = run.model.config.defocus.mode
        parts.append(f"<p>Mode <code>{escape(mode)}</code> has no lens; these are the cameras and the splats.</p>")
    else:
        assert geometry.sharp_from is not None
        assert geometry.sharp_to is not None
        depth = geometry.sharp_to - geometry.sharp_from
        parts.append(
            f"<p>Focus distances from {np.min(geometry.focus):.4g} to {np.max(geometry.focus):.4g}; depth of field "
            f"{np.min(depth):.3g} to {np.max(depth):.3g}, median {np.median(depth):.3g} ({escape(unit)}), if a blur of "
            f"{SHARP_PX:g} pixels of these photographs across still counts as sharp.</p>"
            f"{focus_chart(geometry, names)}"
            "<h3>In space</h3><p>From each camera a line leads to its point of focus; the dots are the model's splats."
            "</p>"
        )
    parts.append(focus_in_space(geometry, cameras, names))
    size = geometry.size()
    if size is not None:
        edges = " × ".join(f"{edge:.4g}" for edge in size)
        parts.append(
            f"<p>Size of the object along its principal axes: <b>{edges}</b> {escape(unit)}, between the "
            "outermost of the splats that <code>macro-splat export</code> keeps.</p>"
        )
    return "".join(parts)


def _run(run: Run, scalars: Mapping[str, Sequence[Scalar]], record: Mapping[str, Any] | None, start: float) -> str:
    unknown = "not recorded: the run was interrupted, or made by an older version"
    command = shlex.join(record["command"]) if record else unknown
    seconds = _seconds(scalars, record)
    steps = [scalar.value for scalar in scalars.get("Train Iter (time)", ())]
    facts = {
        "training": None if seconds is None else f"{_duration(seconds)}, {_rate(run, seconds, record)}",
        "a step": f"{1000 * float(np.median(steps)):.0f} ms in the median" if steps else None,
        "this report": _duration(time.monotonic() - start),
        "machine": record["machine"] if record else None,
        "run": str(run.folder),
        "photographs": f"{len(run.names)} in {run.data}",
        "seed": str(run.config.machine.seed),
        "versions at training": _versions(record["versions"]) if record else None,
        "versions of this report": None if record and record["versions"] == versions() else _versions(versions()),
    }
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="text">{escape(value)}</td></tr>'
        for name, value in facts.items()
        if value is not None
    )
    return f'<pre>{escape(command)}</pre><div class="wide"><table>{rows}</table></div>'


def _seconds(scalars: Mapping[str, Sequence[Scalar]], record: Mapping[str, Any] | None) -> float | None:
    """Of the training: as recorded, else between its first and last logged number."""
    if record is not None:
        return float(record["seconds"])
    times = [scalar.time for curve in scalars.values() for scalar in curve]
    return max(times) - min(times) if times else None


def _rate(run: Run, seconds: float, record: Mapping[str, Any] | None) -> str:
    steps = record["steps"] if record is not None else run.step + 1
    return f"{steps / max(seconds, 1e-3):.3g} steps a second"


def _versions(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
