"""The results as one page that needs nothing else: tables, and cut-outs embedded in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from PIL import Image

from macro_splat.benchmark.crops import Picture, Strip
from macro_splat.benchmark.modes import VARIANTS
from macro_splat.benchmark.tables import Metric, cell, means, notes, used_metrics
from macro_splat.report.page import embedded_jpeg, make_page, static

JPEG_QUALITY = 95


class PageTable(NamedTuple):
    """Figures of one capture, or of the means, in one variant."""

    variant: str
    metrics: list[Metric]
    records: list[dict[str, Any]]
    best: dict[str, dict[str, Any] | None]
    """By the metric's key the record with the best value."""


class Section(NamedTuple):
    """One capture, or the means."""

    title: str
    tables: list[PageTable]
    strips: dict[str, Sequence[Strip]]
    """Cut-outs by the variant's title."""


def make_results_page(
    records: Sequence[dict[str, Any]],
    strips: Mapping[tuple[str, str], Sequence[Strip]],
    iterations: int,
    seed: int,
) -> str:
    """Return the page as HTML.

    Args:
        records: figures of every row.
        strips: cut-outs by the names of capture and variant.
    """
    sections = [Section(title.capitalize(), _tables(averages), {}) for title, averages in means(records).items()]
    for capture in dict.fromkeys(record["capture"] for record in records):
        tables = _tables([record for record in records if record["capture"] == capture])
        own = {v.title: strips[capture, v.name] for v in VARIANTS if (capture, v.name) in strips}
        sections.append(Section(capture, tables, own))
    return make_page(
        "benchmark.html",
        "macro-splat benchmark",
        style=static("benchmark.css"),
        iterations=iterations,
        seed=seed,
        notes=notes(records),
        sections=sections,
        used_metrics=used_metrics(records),
        cell=cell,
        jpeg=_jpeg,
    )


def _tables(records: Sequence[dict[str, Any]]) -> list[PageTable]:
    tables = []
    for variant in dict.fromkeys(record["variant"] for record in records):
        own = [record for record in records if record["variant"] == variant]
        metrics = used_metrics(own)
        tables.append(PageTable(variant, metrics, own, {metric.key: _best(metric, own) for metric in metrics}))
    return tables


def _best(metric: Metric, records: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the record with the best value, among those that do not see the truth; None where no value is better."""
    candidates = [r for r in records if metric.key in r and not r.get("uses_sharp")]
    badness = metric.badness
    if badness is None or len(candidates) < 2:
        return None
    return min(candidates, key=lambda record: badness(record[metric.key]))


def _jpeg(pixels: Picture) -> str:
    return embedded_jpeg(Image.fromarray(pixels), JPEG_QUALITY)
