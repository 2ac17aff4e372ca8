"""The results as one page that needs nothing else: tables, and cut-outs embedded in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from PIL import Image

from macro_splat.benchmark.crops import Strip
from macro_splat.benchmark.modes import VARIANTS
from macro_splat.benchmark.tables import COLUMNS, Column, cell, means, notes, used_columns
from macro_splat.report import page as report

JPEG_QUALITY = 95

STYLE = """
td.best { font-weight: bold; background: #eef6ee; } td.reason { text-align: left; color: #777; white-space: normal; }
.strip { display: flex; gap: .5rem; margin: 0 0 1rem; }
figure { width: 200px; flex: none; } figure img, .none { width: 200px; height: 200px; display: block; }
.none { background: #f3f3f3; color: #888; display: flex; align-items: center; justify-content: center;
  text-align: center; font-size: .8rem; }
"""


def make_page(
    records: Sequence[dict[str, Any]],
    strips: Mapping[tuple[str, str], Sequence[Strip]],
    iterations: int,
    seed: int,
) -> str:
    """The page as HTML.

    Args:
        records: figures of every row.
        strips: cut-outs by the names of capture and variant.
    """
    body = ["<h1>macro-splat benchmark</h1>"]
    body.append(
        f"<p>Every mode was trained for {iterations:,} iterations with seed {seed}. Figures are means over held-out "
        "views unless said otherwise; the best of each column is marked, the upper bound (trained on sharp "
        "photographs) left aside.</p>"
    )
    body.append(f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes(records))}</ul>")
    for title, averages in means(records).items():
        body.append(f"<h2>{title.capitalize()}</h2>")
        body += [_table(group) for group in _by_variant(averages)]
    for capture in dict.fromkeys(record["capture"] for record in records):
        body.append(f"<h2>{escape(capture)}</h2>")
        body += [_table(group) for group in _by_variant([r for r in records if r["capture"] == capture])]
        for variant in VARIANTS:
            own = strips.get((capture, variant.name))
            if own:
                body.append(f"<h3>{escape(variant.title)}: cut-outs</h3>")
                body += [_strip(strip) for strip in own]
    explained = {column.key: column for column in COLUMNS}
    used = [column for column in explained.values() if column in used_columns(records)]
    body.append("<h2>What the columns mean</h2><dl>")
    body += [f"<dt>{escape(c.heading)}</dt><dd>{escape(c.explanation)}</dd>" for c in used]
    body.append(
        "</dl><p>Cut-outs are chosen by the program: the square in which the truth has the most detail that the "
        "photograph (or, where that is sharp, the plain model) lacks; without a truth, that in which the "
        "models differ most in detail.</p>"
    )
    return report.make_page("macro-splat benchmark", body, STYLE)


def _by_variant(records: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [
        [record for record in records if record["variant"] == variant]
        for variant in dict.fromkeys(record["variant"] for record in records)
    ]


def _table(records: Sequence[dict[str, Any]]) -> str:
    """Of one capture, or of the means, in one variant."""
    columns = used_columns(records)
    head = "".join(f'<th scope="col" title="{escape(c.explanation)}">{escape(c.heading)}</th>' for c in columns)
    best = {column.key: _best(column, records) for column in columns}
    lines = []
    for record in records:
        if "reason" in record:
            cells = f'<td class="reason" colspan="{max(len(columns), 1)}">{escape(record["reason"])}</td>'
        else:
            cells = "".join(
                f"<td{' class=best' if best[c.key] is record else ''}>{escape(cell(c, record))}</td>" for c in columns
            )
        lines.append(f'<tr><th scope="row">{escape(record["title"])}</th>{cells}</tr>')
    return (
        f'<h3>{escape(records[0]["variant"])}</h3><div class="wide"><table><tr><th scope="col">mode</th>{head}</tr>'
        f"{''.join(lines)}</table></div>"
    )


def _best(column: Column, records: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """The record with the best value, among those that do not see the truth; None where no value is better."""
    rivals = [r for r in records if column.key in r and not r.get("uses_sharp")]
    if column.badness is None or len(rivals) < 2:
        return None
    badness = column.badness
    return min(rivals, key=lambda record: badness(record[column.key]))


def _strip(strip: Strip) -> str:
    where = "held-out view" if strip.held_out else "training view"
    figures = []
    for tile in strip.tiles:
        if tile.pixels is None:
            content = '<div class="none">none of this view</div>'
        else:
            alt = escape(f"{tile.caption}, {strip.view}")
            source = report.embedded_jpeg(Image.fromarray(tile.pixels), JPEG_QUALITY)
            content = f'<img alt="{alt}" src="{source}">'
        figures.append(f"<figure>{content}<figcaption>{escape(tile.caption)}</figcaption></figure>")
    return f'<p>{where} {escape(strip.view)}</p><div class="wide strip">{"".join(figures)}</div>'
