"""What came of a campaign: `index.html`, one page that needs nothing but itself, and `campaign.csv`."""

from __future__ import annotations

import base64
import csv
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from macro_splat.campaign.specimen import INDEX, TABLE, Specimen
from macro_splat.campaign.stages import PAGE, THUMBNAIL, Stage, read_figures
from macro_splat.campaign.state import State
from macro_splat.campaign.table import duration
from macro_splat.report.page import embedded_jpeg, make_page
from macro_splat.report.style import STYLE
from macro_splat.utils.atomic import atomic_write

BUDGET_BYTES = 24_000_000
"""Of all thumbnails together."""
EDGES = (192, 128, 96, 64, 48)
BYTES_PER_PIXEL = 0.4
"""Of a JPEG of a thumbnail's size and quality, as it stands in the page; measured at 0.2 to 0.4."""
QUALITY = 75
CAMPAIGN_STYLE = """
td.thumbnail { padding: .15rem .4rem; } td.thumbnail img { display: block; }
tr.failed th, .reason { color: #c62828; } .reason { white-space: normal; text-align: left; overflow-wrap: anywhere; }
"""


@dataclass(frozen=True)
class Column:
    """Of the page's table."""

    figure: str
    heading: str
    show: Callable[[Any], str]


COLUMNS = (
    Column("held_out_truth_psnr", "sharp vs. all in focus, dB", "{:.2f}".format),
    Column("held_out_sharp_psnr", "held-out views, dB", "{:.2f}".format),
    Column("held_out_sharp_ssim", "SSIM", "{:.3f}".format),
    Column("training_blurred_psnr", "its photographs, re-blurred, dB", "{:.2f}".format),
    Column("photographs", "photographs", "{:,}".format),
    Column("gaussians", "Gaussians", "{:,}".format),
    Column("steps", "steps", "{:,}".format),
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
    title = f"Campaign {out.resolve().name}"
    count = {status: sum(state.status == status for state in states) for status in ("done", "failed", "waiting")}
    spent = sum(attempt.seconds for state in states for attempt in state.attempts)
    attempts = sum(len(state.attempts) for state in states)
    tiles = [("specimens", f"{len(states):,}"), *((name, f"{number:,}") for name, number in count.items())]
    tiles += [("attempts", f"{attempts:,}"), ("time spent by all", duration(spent))]
    cells = "".join(f"<div><span>{escape(name)}</span><b>{escape(value)}</b></div>" for name, value in tiles)
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<div class="tiles">{cells}</div>',
        f'<p>The same as a table for programs: <a href="{TABLE}">{TABLE}</a>.</p>',
    ]
    failed = [state for state in states if state.status == "failed"]
    if failed:
        rows = "".join(
            f'<tr><th scope="row">{escape(state.specimen.name)}</th><td class="reason">{escape(state.reason)}</td>'
            f"<td>{_log_link(out, state)}</td></tr>"
            for state in failed
        )
        body += ["<h2>Failed</h2>", f'<div class="wide"><table>{rows}</table></div>']
    body += ["<h2>Specimens</h2>", _table(out, states, stages, figures)]
    return make_page(title, body, STYLE + CAMPAIGN_STYLE)


def _table(out: Path, states: Sequence[State], stages: Sequence[Stage], figures: Sequence[dict[str, float]]) -> str:
    columns = [column for column in COLUMNS if any(column.figure in values for values in figures)]
    edge = _edge(sum(state.status == "done" for state in states))
    headings = ["", "specimen", "status", *(column.heading for column in columns), "time", "attempts"]
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    rows = []
    for state, values in zip(states, figures, strict=True):
        cells = [f'<td class="thumbnail">{_thumbnail(state.specimen, edge) if values else ""}</td>']
        cells += [f'<th scope="row">{_report_link(out, state)}</th>', f"<td>{escape(state.status)}</td>"]
        cells += [f"<td>{escape(_cell(column, values))}</td>" for column in columns]
        seconds = sum(state.seconds(stage.name) for stage in stages)
        cells += [f"<td>{duration(seconds) if seconds else ''}</td>", f"<td>{len(state.attempts) or ''}</td>"]
        rows.append(f'<tr class="{escape(state.status)}">{"".join(cells)}</tr>')
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _cell(column: Column, values: dict[str, float]) -> str:
    return column.show(values[column.figure]) if column.figure in values else ""


def _edge(count: int) -> int:
    """The largest thumbnails that fit the budget."""
    fits = (edge for edge in EDGES if count * edge**2 * BYTES_PER_PIXEL <= BUDGET_BYTES)
    return next(fits, EDGES[-1])


def _thumbnail(specimen: Specimen, edge: int) -> str:
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
            size = image.size
    except OSError:  # none was written, or it is broken: the figures stand beside it all the same
        return ""
    return f'<img alt="" width="{size[0]}" height="{size[1]}" src="{source}">'


def _report_link(out: Path, state: State) -> str:
    name, page = escape(state.specimen.name), state.specimen.folder / PAGE
    return f'<a href="{_address(out, page)}">{name}</a>' if os.path.isfile(page) else name


def _log_link(out: Path, state: State) -> str:
    if not state.attempts:
        return ""
    last = state.attempts[-1]
    log = state.specimen.log(last.stage, last.number)
    return f'<a href="{_address(out, log)}">{escape(log.name)}</a>' if os.path.isfile(log) else ""


def _address(out: Path, file: Path) -> str:
    """Relative to the page."""
    relative = os.path.relpath(file, os.path.abspath(out))
    return escape(quote(os.fsencode(relative), safe="/"))
