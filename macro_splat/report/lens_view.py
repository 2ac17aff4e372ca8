"""The lens of every training view: where it is focused, in space and against the depth of the object."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from nerfstudio.cameras.cameras import Cameras

from macro_splat.report.charts import BLUE, ORANGE, Plot, chart, rounded
from macro_splat.report.pose_view import nearby, pyramid, space_view, symbol_size
from macro_splat.report.run_geometry import SHARP_PX, RunGeometry


def focus_in_space(geometry: RunGeometry, cameras: Cameras, names: Sequence[str]) -> Plot:
    """Return the cameras, a line from each to its point of focus, and the splats, as `space_view`."""
    poses, focus = geometry.cameras, geometry.focus
    size = symbol_size(poses, geometry.centre)
    farthest = 2 * float(np.linalg.norm(poses[:, :3, 3] - geometry.centre, axis=1).max())
    gap = np.full((1, 3), np.nan)
    outlines, places, labels = [], [], []
    for i, pose in enumerate(poses):
        camera = cameras[i]
        size_px, focal = (int(camera.width), int(camera.height)), (float(camera.fx), float(camera.fy))
        outline = pyramid(pose, *size_px, *focal, size)
        label, place = names[i], pose[:3, 3]
        if focus is not None:
            label += f": focus at {focus[i]:.4g} {geometry.unit or ''}"
            place = pose[:3, 3] - min(float(focus[i]), farthest) * pose[:3, 2]
            outline = np.concatenate([outline, gap, pose[None, :3, 3], place[None]])
        outlines.append(np.concatenate([outline, gap]))
        places.append(place)
        labels.append(label)
    colourings: dict[str, Sequence[float]] = {"order of the views": list(range(1, len(poses) + 1))}
    if focus is not None and np.isfinite(focus).all():
        colourings["focus distance"] = [round(float(value), 4) for value in focus]
    near = nearby(geometry.points, poses, geometry.centre)
    cloud = (geometry.points[near], geometry.colours[near])
    box = None
    if len(geometry.object_points):
        low, high = geometry.object_points.min(axis=0), geometry.object_points.max(axis=0)
        margin = 0.1 * (high - low).max()
        box = np.stack([low - margin, high + margin])
    return space_view(outlines, np.stack(places), labels, cloud, colourings, geometry.unit, box)


def focus_chart(geometry: RunGeometry, names: Sequence[str]) -> Plot:
    """Return a chart of focus distance and depth of field of each view, before the depths of the object."""
    assert geometry.focus is not None
    assert geometry.sharp_from is not None
    assert geometry.sharp_to is not None
    views = list(range(1, len(names) + 1))
    focus = geometry.focus
    top = 1.5 * np.nanmax(geometry.object_to) if np.isfinite(geometry.object_to).any() else np.nanmax(focus)
    sharp_to = np.minimum(geometry.sharp_to, top)
    band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    traces = [
        {"x": views, "y": rounded(geometry.object_from), "showlegend": False, **band},
        {
            "x": views,
            "y": rounded(geometry.object_to),
            "fill": "tonexty",
            "fillcolor": "rgba(154,154,154,0.25)",
            "name": "the object",
            **band,
        },
        {
            "x": views,
            "y": rounded(np.minimum(focus, top)),
            "text": [escape(name) for name in names],  # plotly reads texts as markup
            "name": f"focus, and where blur is under {SHARP_PX:g} px",
            "mode": "markers",
            "marker": {"color": BLUE, "size": 7},
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": rounded(np.maximum(sharp_to - focus, 0)),
                "arrayminus": rounded(np.maximum(focus - geometry.sharp_from, 0)),
                "color": ORANGE,
                "thickness": 2,
                "width": 3,
            },
            "hovertemplate": "%{text}<br>focus %{y:.4g}<extra></extra>",
        },
    ]
    unit = f", {geometry.unit}" if geometry.unit else ""
    return chart("focus-chart", traces, "training view", f"distance from the camera{unit}", hovermode="closest")
