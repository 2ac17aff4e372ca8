"""How the training went, as curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from macro_splat.report.charts import BLUE, GREY, ORANGE, Plot, chart, rounded
from macro_splat.report.events import Scalar

MAX_POINTS = 1000
"""Of a curve."""
SMOOTHING_WINDOW = 0.02
"""Share of the training that a smoothed curve is a mean of: single steps see single photographs."""


def training_curves(scalars: Mapping[str, Sequence[Scalar]]) -> list[Plot]:
    """Return a chart for each number that was logged."""
    charts = []
    loss, psnr = scalars.get("Train Loss"), scalars.get("Train Metrics Dict/psnr")
    if loss:
        traces = [_curve(loss, None, GREY, width=1), _curve(_smooth(loss), "loss, smoothed", BLUE)]
        charts.append(chart("loss-chart", traces, "step", "loss", yaxis={"type": "log"}))
    if psnr:
        traces = [_curve(_smooth(psnr), "re-blurred, against the photographs it is trained on", BLUE)]
        held_out = scalars.get("Eval Images Metrics/psnr")
        if held_out:
            traces.append(_curve(held_out, "sharp, one held-out view at a time", ORANGE, mode="lines+markers"))
        charts.append(chart("psnr-chart", traces, "step", "PSNR, dB"))
    gaussians = scalars.get("Train Metrics Dict/gaussian_count")
    if gaussians:
        traces = [_curve(gaussians, None, BLUE)]
        charts.append(chart("gaussians-chart", traces, "step", "Gaussians", yaxis={"rangemode": "tozero"}))
    return charts


def _curve(
    scalars: Sequence[Scalar], name: str | None, colour: str, width: float = 2, mode: str = "lines"
) -> dict[str, Any]:
    thinned = scalars[:: max(1, -(-len(scalars) // MAX_POINTS))]
    named = {"showlegend": False, "hoverinfo": "skip"} if name is None else {"name": name}
    return {
        "x": [scalar.step for scalar in thinned],
        "y": rounded([scalar.value for scalar in thinned]),
        "mode": mode,
        "line": {"color": colour, "width": width},
        **named,
    }


def _smooth(scalars: Sequence[Scalar]) -> list[Scalar]:
    """Return means over as many values on both sides as there are, up to half of `SMOOTHING_WINDOW` of the whole."""
    reach = round(SMOOTHING_WINDOW / 2 * len(scalars))
    smoothed = []
    for i, scalar in enumerate(scalars):
        side = min(i, len(scalars) - 1 - i, reach)
        window = scalars[i - side : i + side + 1]
        smoothed.append(scalar._replace(value=sum(item.value for item in window) / len(window)))
    return smoothed
