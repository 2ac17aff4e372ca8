"""What came of a campaign: `index.html`, one page that needs nothing but itself, and `campaign.csv`."""

from __future__ import annotations

import base64
import csv
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from PIL import Image

from macro_splat.campaign.specimen import INDEX, TABLE, Specimen
from macro_splat.campaign.stages import PAGE, THUMBNAIL, Stage, read_figures
from macro_splat.campaign.state import State
from macro_splat.campaign.table import duration
from macro_splat.report.page import Tile, embedded_jpeg, make_page, static
from macro_splat.utils.atomic import atomic_write

BUDGET_BYTES = 24_000_000
"""Of all thumbnails together."""
EDGES = (192, 128, 96, 64, 48)
"""Longest edge of a thumbnail in pixels."""
BYTES_PER_PIXEL = 0.4
"""Of a JPEG of a thumbnail's size and quality, as it stands in the page; measured at 0.2 to 0.4."""
QUALITY = 75


class FigureColumn(NamedTuple):
    """One of the figures in the page's table."""

    figure: str
    """As `results.py` names it."""
    heading: str
    show: Callable[[Any], str]


class SpecimenRow(NamedTuple):
    """What the page shows of a specimen; addresses are relative to the page."""

    name: str
    status: str
    reason: str
    log: tuple[str, str] | None
    """Address and name of the last log, where it failed."""
    report: str | None
    """Address of its report, where there is one."""
    thumbnail: tuple[int, int, str] | None
    """Width, height and data URI."""
    cells: list[str]
    """Figures, time and attempts."""


COLUMNS = (
    FigureColumn("held_out_truth_psnr", "sharp vs. all in focus, dB", "{:.2f}".format),
    FigureColumn("held_out_sharp_psnr", "held-out views, dB", "{:.2f}".format),
    FigureColumn("held_out_sharp_ssim", "SSIM", "{:.3f}".format),
    FigureColumn("training_blurred_psnr", "its photographs, re-blurred, dB", "{:.2f}".format),
    FigureColumn("photographs", "photographs", "{:,}".format),
    FigureColumn("gaussians", "Gaussians", "{:,}".format),
    FigureColumn("steps", "steps", "{:,}".format),
)
FIGURES = (
    *("photographs", "gaussians", "steps", "held_out_truth_psnr", "held_out_truth_ssim", "held_out_sharp_psnr"),
    *("held_out_sharp_ssim", "training_blurred_psnr", "training_blurred_ssim"),
)
"""In the CSV, as `results.py` names them."""


def write_overview(out: Path, states: Sequence[State], stages: Sequence[Stage]) -> None:
    """Write page and CSV.

    Raises:
        OSError: they cannot be written; the old ones stay.
    """
    figures = [read_figures(state.specimen) if state.status == "done" else {} for state in states]
    with atomic_write(out / TABLE) as file:
        file.write(_csv(states, stages, figures).encode("utf-8", "backslashreplace"))
    with atomic_write(out / INDEX) as file:
        file.write(_page(out, states, stages, figures).encode("utf-8", "backslashreplace"))


def _csv(states: Sequence[State], stages: Sequence[Stage], figures: Sequence[dict[str, float]]) -> str:
    text = io.StringIO()
    names = [stage.name for stage in stages]
    writer = csv.writer(text, lineterminator="\n")
    seconds = [f"{name}_seconds" for name in names]
    writer.writerow(["specimen", "status", "reason", *FIGURES, "attempts", *seconds, "source", "folder"])
    for state, values in zip(states, figures, strict=True):
        specimen = state.specimen
        row = [specimen.name, state.status, state.reason, *(values.get(name, "") for name in FIGURES)]
        row += [len(state.attempts), *(round(state.seconds(name), 1) for name in names)]
        writer.writerow([*row, specimen.source, specimen.folder])
    return text.getvalue()


def _page(out: Path, states: Sequence[State], stages: Sequence[Stage], figures: Sequence[dict[str, float]]) -> str:
    columns = [column for column in COLUMNS if any(column.figure in values for values in figures)]
    edge = _edge(sum(state.status == "done" for state in states))
    return make_page(
        "campaign.html",
        f"Campaign {out.resolve().name}",
        style=static("report.css", "campaign.css"),
        tiles=_tiles(states),
        csv_name=TABLE,
        headings=["", "specimen", "status", *(column.heading for column in columns), "time", "attempts"],
        rows=[_row(out, state, stages, values, columns, edge) for state, values in zip(states, figures, strict=True)],
    )


def _tiles(states: Sequence[State]) -> list[Tile]:
    attempts = [attempt for state in states for attempt in state.attempts]
    return [
        Tile("specimens", f"{len(states):,}"),
        *(
            Tile(status, f"{sum(state.status == status for state in states):,}")
            for status in ("done", "failed", "waiting")
        ),
        Tile("attempts", f"{len(attempts):,}"),
        Tile("time spent by all", duration(sum(attempt.seconds for attempt in attempts))),
    ]


def _row(
    out: Path,
    state: State,
    stages: Sequence[Stage],
    values: dict[str, float],
    columns: Sequence[FigureColumn],
    edge: int,
) -> SpecimenRow:
    page = state.specimen.folder / PAGE
    seconds = sum(state.seconds(stage.name) for stage in stages)
    cells = [column.show(values[column.figure]) if column.figure in values else "" for column in columns]
    return SpecimenRow(
        name=state.specimen.name,
        status=state.status,
        reason=state.reason,
        log=_last_log(out, state) if state.status == "failed" else None,
        report=_address(out, page) if os.path.isfile(page) else None,
        thumbnail=_thumbnail(state.specimen, edge) if values else None,
        cells=[*cells, duration(seconds) if seconds else "", f"{len(state.attempts) or ''}"],
    )


def _edge(count: int) -> int:
    """Return the longest edge of thumbnails that fit the budget."""
    fits = (edge for edge in EDGES if count * edge**2 * BYTES_PER_PIXEL <= BUDGET_BYTES)
    return next(fits, EDGES[-1])


def _thumbnail(specimen: Specimen, edge: int) -> tuple[int, int, str] | None:
    try:
        content = (specimen.folder / THUMBNAIL).read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            if max(image.size) > edge:
                image.draft("RGB", (edge, edge))
                image.thumbnail((edge, edge), Image.Resampling.BOX)
                source = embedded_jpeg(image, QUALITY, subsampling=2)
            else:
                image.load()
                source = "data:image/jpeg;base64," + base64.b64encode(content).decode()
            return (*image.size, source)
    except OSError:  # none was written, or it is broken: the figures stand beside it all the same
        return None


def _last_log(out: Path, state: State) -> tuple[str, str] | None:
    if not state.attempts:
        return None
    last = state.attempts[-1]
    log = state.specimen.log(last.stage, last.number)
    return (_address(out, log), log.name) if os.path.isfile(log) else None


def _address(out: Path, file: Path) -> str:
    """Return the file's address relative to the page."""
    return quote(os.fsencode(os.path.relpath(file, os.path.abspath(out))), safe="/")
