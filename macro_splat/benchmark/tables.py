"""The results as a table: figures derived from several runs, text for the terminal, JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rich.markup import escape
from rich.table import Table

from macro_splat.benchmark.suite import Row


@dataclass(frozen=True)
class Metric:
    """One column of the tables."""

    key: str
    """In the results."""
    heading: str
    explanation: str
    show: Callable[[float], str]
    essential: bool = True
    """Shown where there is little space, too."""
    badness: Callable[[float], float] | None = None
    """How far a value is from the best one; None: no value is better than another."""


LENGTHS = ("depth_error", "focus_error")
"""Figures that results hold in scene units."""
FULL_WIDTH = 140
"""Characters that all metrics together need."""


def _more_is_better(value: float) -> float:
    return -value


def _less_is_better(value: float) -> float:
    return value


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


METRICS = (
    Metric("psnr", "PSNR", "dB, mean over the held-out views", "{:.2f}".format, badness=_more_is_better),
    Metric(
        "psnr_object",
        "object",
        "the same over the object's pixels (those with a true depth)",
        "{:.2f}".format,
        essential=False,
        badness=_more_is_better,
    ),
    Metric("ssim", "SSIM", "structural similarity, 1 = equal", "{:.4f}".format, badness=_more_is_better),
    Metric(
        "lpips", "LPIPS", "perceptual distance (AlexNet)", "{:.3f}".format, essential=False, badness=_less_is_better
    ),
    Metric(
        "sharpness_ratio",
        "sharp",
        "gradient energy of the picture over that of the truth: 1 is right",
        "{:.2f}".format,
        badness=lambda ratio: abs(ratio - 1.0),
    ),
    Metric(
        "sharp_gradient_ratio",
        "vs photo",
        "gradient energy of the sharp render over that of the held-out photograph, where only that is known: how much "
        "sharper the render is",
        "{:.2f}".format,
        essential=False,
    ),
    Metric(
        "gap_closed",
        "gap closed",
        "(PSNR − PSNR of plain splats) / (PSNR of plain splats on sharp photographs − PSNR of plain splats), all of "
        "the same variant",
        _percent,
        badness=_more_is_better,
    ),
    Metric(
        "depth_error",
        "depth",
        "median error of depth on the object, in mm (scene units where their size is unknown)",
        "{:.3f}".format,
        badness=_less_is_better,
    ),
    Metric(
        "focus_error",
        "focus",
        "median error of the focus distance, in the same unit",
        "{:.3f}".format,
        essential=False,
        badness=_less_is_better,
    ),
    Metric(
        "focus_error_relative",
        "focus %",
        "the same, relative to the true distance",
        _percent,
        badness=_less_is_better,
    ),
    Metric(
        "coc_radius_error_px",
        "CoC px",
        "error of the radius of the circle of confusion at the true depth: median over the object's pixels, then over "
        "the training views",
        "{:.2f}".format,
        badness=_less_is_better,
    ),
    Metric("gaussians", "Gaussians", "size of the model", "{:,.0f}".format, essential=False),
    Metric("seconds", "s", "wall-clock time of the training", "{:.0f}".format),
    Metric(
        "cpu_seconds", "CPU s", "processor time of the training, over all threads", "{:.0f}".format, essential=False
    ),
)


def derive(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a dictionary per row: capture, mode, variant, the figures, the gap closed where both bounds are there.

    Lengths are in mm where the scene's unit is known. `gap_closed` compares within the variant,
    `gap_closed_exact_poses` takes the upper bound from the variant `given`.
    """
    psnr = {(r.entry.capture, r.entry.variant.name, r.entry.mode.name): r.result["psnr"] for r in rows if r.result}
    records = []
    for row in rows:
        entry = row.entry
        record: dict[str, Any] = {
            "capture": entry.capture,
            "variant": entry.variant.name,
            "mode": entry.mode.name,
            "title": entry.mode.title,
            "uses_sharp": entry.mode.uses_sharp,
        }
        if row.result is None:
            records.append({**record, "reason": row.reason})
            continue
        record |= {key: value for key, value in row.result.items() if key not in record}
        for name in LENGTHS:
            if name in record:
                record[name] *= record["mm_per_unit"] or 1.0
        base = psnr.get((entry.capture, entry.variant.name, "off"))
        for name, variant in (("gap_closed", entry.variant.name), ("gap_closed_exact_poses", "given")):
            top = psnr.get((entry.capture, variant, "oracle"))
            if base is not None and top is not None and top > base and entry.mode.name != "off":
                record[name] = (record["psnr"] - base) / (top - base)
        records.append(record)
    return records


def means(records: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return means over the captures that are judged alike, by title.

    There is one record per variant and mode that ran on several captures. With the mean of the gaps closed comes the
    least of them, `gap_closed_least`.
    """
    result = {}
    for way, title in (("sharp", "mean over the captures"), ("reblurred", "mean over the captures without truth")):
        groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for record in records:
            if record.get("judged_on") == way:
                groups.setdefault((record["variant"], record["mode"]), []).append(record)
        if averages := [_mean(members) for members in groups.values() if len(members) > 1]:
            result[title] = averages
    return result


def _mean(members: Sequence[dict[str, Any]]) -> dict[str, Any]:
    summary = {key: members[0][key] for key in ("variant", "mode", "title", "uses_sharp")}
    summary["captures"] = len(members)
    for metric in METRICS:
        values = [member[metric.key] for member in members if metric.key in member]
        if len(values) == len(members):
            summary[metric.key] = fmean(values)
    if "gap_closed" in summary:
        summary["gap_closed_least"] = min(member["gap_closed"] for member in members)
    return summary


def used_metrics(records: Sequence[dict[str, Any]], essential: bool = False) -> list[Metric]:
    """Return the metrics that at least one record has a value for; only the essential ones if asked for."""
    candidates = [metric for metric in METRICS if metric.essential or not essential]
    return [metric for metric in candidates if any(metric.key in record for record in records)]


def notes(records: Sequence[dict[str, Any]]) -> list[str]:
    """Return what a reader of the table has to know, one sentence each."""
    done = [record for record in records if "reason" not in record]
    lines = [
        f"{record['capture']}, {record['variant']}, {record['mode']}: {record['reason']}."
        for record in records
        if "reason" in record
    ]
    by_capture = {record["capture"]: record["judged_on"] for record in done}
    sharp = [name for name, way in by_capture.items() if way == "sharp"]
    reblurred = [name for name, way in by_capture.items() if way == "reblurred"]
    if sharp:
        lines.append(f"{', '.join(sharp)}: the sharp render is judged against all-in-focus truths at held-out views.")
    if reblurred:
        lines.append(
            f"{', '.join(reblurred)}: no sharp truth, so the render is blurred again by a lens whose focus distance "
            "and aperture are fitted to the held-out photograph, and judged against that."
        )
    optimised = sorted({record["variant"] for record in done if record["poses_optimised"]})
    if optimised:
        lines.append(
            f"Poses were optimised in: {', '.join(optimised)}. Held-out views follow the common drift of scene and "
            "training poses (a similarity found from the training views alone)."
        )
    elif done:
        lines.append("No poses were optimised.")
    if len({record["source"] for record in done}) > 1:
        lines.append("Not all rows were made by the same state of the source; --no-resume makes them anew.")
    unscaled = sorted({record["capture"] for record in done if record["mm_per_unit"] is None})
    if unscaled:
        lines.append(f"{', '.join(unscaled)}: scale unknown, lengths are in scene units.")
    return lines


def text_table(title: str, records: Sequence[dict[str, Any]], width: int) -> Table:
    """Return rows that have a result, of one capture or of the means. ``width``: of the page, in characters."""
    table = Table(title=escape(title))
    metrics = used_metrics(records, essential=width < FULL_WIDTH)
    for heading in ("variant", "mode"):
        table.add_column(heading, no_wrap=True)
    for metric in metrics:
        table.add_column(metric.heading, justify="right", no_wrap=True)
    previous = ""
    for record in records:
        if previous not in ("", record["variant"]):
            table.add_section()
        previous = record["variant"]
        table.add_row(record["variant"], record["mode"], *(cell(metric, record) for metric in metrics))
    return table


def markdown_table(title: str, records: Sequence[dict[str, Any]]) -> str:
    """Return the same for a README, with the methods' titles."""
    metrics = used_metrics(records, essential=True)
    lines = [
        f"**{title}**",
        "",
        "| known | method | " + " | ".join(metric.heading for metric in metrics) + " |",
        "| --- | --- |" + " ---: |" * len(metrics),
    ]
    for record in records:
        cells = " | ".join(cell(metric, record) for metric in metrics)
        lines.append(f"| {record['variant']} | {record['title']} | {cells} |")
    return "\n".join(line.replace("<", "&lt;") for line in lines)


def cell(metric: Metric, record: dict[str, Any]) -> str:
    """Return the figure as text; a dash where there is none."""
    value = record.get(metric.key)
    return "–" if value is None else metric.show(value)
