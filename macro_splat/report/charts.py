"""Figures for plotly, and flat charts among them with one look for all."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

BLUE, ORANGE, GREY = "#31688e", "#d97706", "#9a9a9a"


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure that plotly draws in the browser."""

    identity: str
    """Of the element that holds its data."""
    data: dict[str, Any]
    """`traces` and `layout` as plotly has them, and what else the script needs that draws it."""


def chart(identity: str, traces: list[dict[str, Any]], x: str, y: str, **layout: Any) -> Plot:
    """Return a flat chart, drawn by `charts.js`. ``x``, ``y``: titles of the axes."""
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
    return Plot(identity, {"traces": traces, "layout": layout})


def rounded(values: Iterable[float], digits: int = 5) -> list[float | None]:
    """Return numbers as a page has them: short, and null where they are infinite or unknown."""
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in values]
