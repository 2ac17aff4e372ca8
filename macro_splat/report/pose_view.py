"""The cameras in space with the sparse points: what plotly needs to draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.coverage import object_centre
from macro_splat.capture.format import Frame, SparsePoints
from macro_splat.report.page import embedded_json

MOST_POINTS = 6000
NEARBY = 1.2
"""Points farther from the object than the farthest camera by this factor are not shown: they would shrink the rest."""
SYMBOL = 0.07
"""Half the width of a camera's symbol, relative to the cameras' median distance from the object."""
BLUNT = 1.5
"""Depth of a symbol over half its width, at most: a macro lens's true pyramid would be a needle."""
CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))
WALK = (0, 1, 2, 0, 3, 4, 0, 2, 3, 0, 1, 4)
"""A way along all edges of a pyramid: 0 is its tip, 1 to 4 its base."""
COLOURS = ((68, 1, 84), (49, 104, 142), (38, 167, 132), (224, 168, 0))
"""sRGB from low to high: viridis, its end darkened for white paper."""

SCRIPT = """
const data = JSON.parse(document.getElementById("pose-data").textContent);
const plot = document.getElementById("pose-view");
function draw(colouring) {
  const {title, values} = data.colourings[colouring];
  const [lines, centres] = data.traces;
  lines.line.color = data.owners.map((pose) => values[pose]);
  centres.marker.color = values;
  centres.marker.colorbar.title.text = title;
  Plotly.react(plot, data.traces, data.layout, {displaylogo: false, responsive: true});
}
document.querySelectorAll("input[name=colouring]").forEach((input) => {
  input.addEventListener("change", () => draw(Number(input.value)));
});
draw(0);
"""


@dataclass(frozen=True, eq=False)
class Pose:
    """One place of the camera: the photographs of a stack."""

    label: str
    frames: tuple[Frame, ...]
    """At least one, in the stack's order."""
    sharpness: float
    """Of its sharpest photograph."""

    @property
    def camera_to_world(self) -> NDArray[np.float64]:
        """[4, 4] of the photograph in the middle."""
        return self.frames[len(self.frames) // 2].camera_to_world


def paint(share: float) -> str:
    """The colour at 0..1 of the scale, as CSS writes it."""
    stops = np.linspace(0, 1, len(COLOURS))
    return "#" + "".join(f"{round(np.interp(share, stops, channel)):02x}" for channel in np.transpose(COLOURS))


def pose_view(poses: Sequence[Pose], points: SparsePoints | None, scene_unit: str | None) -> str:
    """HTML: the place for the drawing, the choice of its colours, and the data that `SCRIPT` draws."""
    cameras = np.stack([pose.camera_to_world for pose in poses])
    centre = object_centre(cameras, points)
    if centre is None:
        centre = cameras[:, :3, 3].mean(axis=0)
    distances = np.linalg.norm(cameras[:, :3, 3] - centre, axis=1)
    size = SYMBOL * (float(np.median(distances)) or 1.0)
    pieces = [_outline(pose, size) for pose in poses]
    owners = [i for i, piece in enumerate(pieces) for _ in piece]
    scale = [[i / (len(COLOURS) - 1), f"rgb{colour}"] for i, colour in enumerate(COLOURS)]
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter3d",
            "mode": "lines",
            **_coordinates(np.concatenate(pieces)),
            "line": {"width": 3, "colorscale": scale},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter3d",
            "mode": "markers",
            **_coordinates(cameras[:, :3, 3]),
            "text": [escape(pose.label) for pose in poses],
            "hoverinfo": "text",
            "marker": {
                "size": 3,
                "colorscale": scale,
                "showscale": len(poses) > 1,
                "colorbar": {"thickness": 10, "len": 0.6, "x": 1.0, "xpad": 4, "title": {"side": "right"}},
            },
        },
    ]
    if points is not None:
        traces.append(_cloud(points, centre, NEARBY * float(distances.max())))
    unit = f" ({scene_unit})" if scene_unit else ""
    data = {
        "traces": traces,
        "owners": owners,
        "colourings": [
            {"title": "order of the poses", "values": list(range(1, len(poses) + 1))},
            {"title": "sharpness", "values": [round(pose.sharpness, 4) for pose in poses]},
        ],
        "layout": {
            "scene": {"aspectmode": "data", **{f"{a}axis": {"title": {"text": a + unit}} for a in "xyz"}},
            "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
            "showlegend": False,
            "uirevision": "keep the view",
        },
    }
    return (
        '<p>Colours: <label><input type="radio" name="colouring" value="0" checked> order of the poses</label> '
        '<label><input type="radio" name="colouring" value="1"> sharpness of the sharpest photograph</label></p>'
        '<div id="pose-view"></div>' + embedded_json("pose-data", data)
    )


def _outline(pose: Pose, size: float) -> NDArray[np.float64]:
    """The pyramid [K, 3] with a line along the places of a stack's photographs; it ends with a break."""
    lens = pose.frames[0].intrinsics
    half_width = size
    half_height = size * lens.height / lens.width * lens.fl_x / lens.fl_y
    depth = min(2 * size * lens.fl_x / lens.width, BLUNT * size)
    base = [(x * half_width, y * half_height, -depth) for x, y in CORNERS]
    corners = np.array([(0.0, 0.0, 0.0), *base])
    pyramid = corners[list(WALK)] @ pose.camera_to_world[:3, :3].T + pose.camera_to_world[:3, 3]
    places = np.stack([frame.camera_to_world[:3, 3] for frame in pose.frames])
    gap = np.full((1, 3), np.nan)
    return np.concatenate([pyramid, gap, places, gap])


def _cloud(points: SparsePoints, centre: NDArray[np.float64], radius: float) -> dict[str, Any]:
    near = np.flatnonzero(np.linalg.norm(points.xyz - centre, axis=1) <= radius)
    shown = near[:: max(1, -(-len(near) // MOST_POINTS))]
    return {
        "type": "scatter3d",
        "mode": "markers",
        **_coordinates(points.xyz[shown]),
        "marker": {"size": 1.5, "color": [f"rgb({r},{g},{b})" for r, g, b in points.rgb[shown]]},
        "hoverinfo": "skip",
    }


def _coordinates(places: NDArray[np.float64]) -> dict[str, list[float | None]]:
    """Places [N, 3] as plotly has them, with null for a break in a line."""
    return {
        axis: [None if np.isnan(value) else float(f"{value:.5g}") for value in column]
        for axis, column in zip("xyz", places.T, strict=True)
    }
