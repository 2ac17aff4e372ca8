"""The cameras in space with the sparse points: what plotly needs to draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.coverage import object_centre
from macro_splat.capture.format import Frame, SparsePoints
from macro_splat.report.charts import Plot, rounded

MAX_POINTS = 6000
NEARBY_FACTOR = 1.2
"""Points farther from the object than the farthest camera by this factor are not shown: they would shrink the rest."""
SYMBOL_SIZE = 0.07
"""Half the width of a camera's symbol, relative to the cameras' median distance from the object."""
MAX_SYMBOL_DEPTH = 1.5
"""Over half the symbol's width: a macro lens's true pyramid would be a needle."""
CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))
PATH = (0, 1, 2, 0, 3, 4, 0, 2, 3, 0, 1, 4)
"""A way along all edges of a pyramid: 0 is its tip, 1 to 4 its base."""
COLOURS = ((68, 1, 84), (49, 104, 142), (38, 167, 132), (224, 168, 0))
"""sRGB from low to high: viridis, its end darkened for white paper."""


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


def scale_colour(share: float) -> str:
    """Return the colour at 0..1 of the scale, as CSS writes it."""
    stops = np.linspace(0, 1, len(COLOURS))
    return "#" + "".join(f"{round(np.interp(share, stops, channel)):02x}" for channel in np.transpose(COLOURS))


def pose_view(poses: Sequence[Pose], points: SparsePoints | None, scene_unit: str | None) -> Plot:
    """Return the poses in space with the sparse points, as `space_view`."""
    cameras = np.stack([pose.camera_to_world for pose in poses])
    centre = object_centre(cameras, points)
    if centre is None:
        centre = cameras[:, :3, 3].mean(axis=0)
    size = symbol_size(cameras, centre)
    return space_view(
        outlines=[_outline(pose, size) for pose in poses],
        places=cameras[:, :3, 3],
        labels=[pose.label for pose in poses],
        cloud=None if points is None else (points.xyz[near := nearby(points.xyz, cameras, centre)], points.rgb[near]),
        colourings={
            "order of the poses": list(range(1, len(poses) + 1)),
            "sharpness of the sharpest photograph": [round(pose.sharpness, 4) for pose in poses],
        },
        unit=scene_unit,
    )


def space_view(
    outlines: Sequence[NDArray[np.float64]],
    places: NDArray[np.float64],
    labels: Sequence[str],
    cloud: tuple[NDArray[np.floating], NDArray[np.uint8]] | None,
    colourings: Mapping[str, Sequence[float]],
    unit: str | None,
    box: NDArray[np.float64] | None = None,
) -> Plot:
    """Return a view in space of V things, drawn by `pose_view.js`.

    Args:
        outlines: [K, 3] each, the lines that are drawn for every thing; NaN is a break.
        places: [V, 3] of their dots.
        labels: plain text, shown where the pointer rests on a dot.
        cloud: points [N, 3] and their colours [N, 3].
        colourings: by name the number of each thing that its colour stands for.
        unit: of lengths.
        box: [2, 3] corners around the object: the view opens on that, and can be widened to everything.
    """
    scale = [[i / (len(COLOURS) - 1), f"rgb{colour}"] for i, colour in enumerate(COLOURS)]
    colour_bar = {"thickness": 10, "len": 0.6, "x": 1.0, "xpad": 4, "title": {"side": "right"}}
    dots = {"size": 3, "colorscale": scale, "showscale": len(places) > 1, "colorbar": colour_bar}
    # plotly reads texts as markup
    texts = {"text": [escape(label) for label in labels], "hoverinfo": "text"}
    traces = [
        _scatter(np.concatenate(outlines), "lines", line={"width": 3, "colorscale": scale}, hoverinfo="skip"),
        _scatter(places, "markers", **texts, marker=dots),
    ]
    if cloud is not None:
        points, colours = cloud
        marker = {"size": 1.5, "color": [f"rgb({r},{g},{b})" for r, g, b in colours]}
        traces.append(_scatter(points, "markers", marker=marker, hoverinfo="skip"))
    in_unit = f" ({unit})" if unit else ""
    data = {
        "traces": traces,
        "owners": [i for i, outline in enumerate(outlines) for _ in outline],
        "colourings": [{"title": name, "values": list(values)} for name, values in colourings.items()],
        "box": None if box is None else [rounded(axis) for axis in box.T],
        "layout": {
            "scene": {"aspectmode": "data", **{f"{a}axis": {"title": {"text": a + in_unit}} for a in "xyz"}},
            "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
            "showlegend": False,
            "uirevision": "keep the view",
        },
    }
    return Plot("pose-data", data)


def symbol_size(cameras: NDArray[np.float64], centre: NDArray[np.float64]) -> float:
    """Return half the width of a camera's symbol. ``cameras``: [V, 3 or 4, 4]; ``centre``: [3] of the object."""
    return SYMBOL_SIZE * (float(np.median(np.linalg.norm(cameras[:, :3, 3] - centre, axis=1))) or 1.0)


def nearby(points: NDArray[np.floating], cameras: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return which of the points [N, 3] are shown: those that the cameras stand around, and not too many."""
    radius = NEARBY_FACTOR * float(np.linalg.norm(cameras[:, :3, 3] - centre, axis=1).max())
    near = np.flatnonzero(np.linalg.norm(points - centre, axis=1) <= radius)
    return near[:: max(1, -(-len(near) // MAX_POINTS))]


def pyramid(
    camera_to_world: NDArray[np.float64], width: int, height: int, fl_x: float, fl_y: float, size: float
) -> NDArray[np.float64]:
    """Return the symbol of a camera as one line [K, 3]. ``size``: half its width."""
    half_height = size * height / width * fl_x / fl_y
    depth = min(2 * size * fl_x / width, MAX_SYMBOL_DEPTH * size)
    base = [(x * size, y * half_height, -depth) for x, y in CORNERS]
    corners = np.array([(0.0, 0.0, 0.0), *base])
    return corners[list(PATH)] @ camera_to_world[:3, :3].T + camera_to_world[:3, 3]


def _outline(pose: Pose, size: float) -> NDArray[np.float64]:
    """Return the pyramid [K, 3] with a line along the places of a stack's photographs; it ends with a break."""
    lens = pose.frames[0].intrinsics
    symbol = pyramid(pose.camera_to_world, lens.width, lens.height, lens.fl_x, lens.fl_y, size)
    places = np.stack([frame.camera_to_world[:3, 3] for frame in pose.frames])
    gap = np.full((1, 3), np.nan)
    return np.concatenate([symbol, gap, places, gap])


def _scatter(places: NDArray[np.floating], mode: str, **options: Any) -> dict[str, Any]:
    """Return places [N, 3] as a trace, with null for a break in a line."""
    axes = {axis: rounded(column) for axis, column in zip("xyz", places.T, strict=True)}
    return {"type": "scatter3d", "mode": mode, **axes, **options}
