"""Flat charts: what plotly needs to draw them, with one look for all."""

from __future__ import annotations

from typing import Any

from macro_splat.report.page import embedded_json

BLUE, ORANGE, GREY = "#31688e", "#d97706", "#9a9a9a"

SCRIPT = """
document.querySelectorAll(".chart").forEach((place) => {
  const {traces, layout} = JSON.parse(document.getElementById(place.dataset.figure).textContent);
  Plotly.newPlot(place, traces, layout, {displaylogo: false, responsive: true, displayModeBar: false});
});
"""


def chart(identity: str, traces: list[dict[str, Any]], x: str, y: str, **layout: Any) -> str:
    """HTML: the place for the chart and the data that `SCRIPT` draws. ``x``, ``y``: titles of the axes."""
    axis = {"gridcolor": "#e8e8e8", "zeroline": False, "automargin": True}
    layout = {
        "margin": {"l": 10, "r": 10, "t": 26, "b": 10},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": "#444"},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "showlegend": sum("name" in trace for trace in traces) > 1,
        "hovermode": "x",
        **layout,
        "xaxis": axis | {"title": {"text": x}} | layout.get("xaxis", {}),
        "yaxis": axis | {"title": {"text": y}} | layout.get("yaxis", {}),
    }
    data = embedded_json(identity, {"traces": traces, "layout": layout})
    return f'<div class="chart" data-figure="{identity}"></div>{data}'


def rounded(values: list[float] | Any, digits: int = 5) -> list[float | None]:
    """Numbers as a page has them: short, and null where they are infinite or unknown."""
    return [None if not abs(value) < float("inf") else float(f"{value:.{digits}g}") for value in map(float, values)]
