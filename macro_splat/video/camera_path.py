"""Camera paths as nerfstudio's viewer writes them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from nerfstudio.cameras.camera_paths import get_path_from_json
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.scene_box import OrientedBox

from macro_splat.errors import MacroSplatError
from macro_splat.utils.messages import reason


@dataclass(frozen=True, eq=False)
class CameraPath:
    """A camera for each frame of a film."""

    cameras: Cameras
    """[N], model units."""
    seconds: float
    """That they take."""
    box: OrientedBox | None
    """All that is to be seen, if the path was made in a cropped view."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return int(self.cameras.width[0]), int(self.cameras.height[0])


def read_camera_path(file: Path) -> CameraPath:
    """Read a camera path.

    Raises:
        MacroSplatError: there is no such file, or no path for a pinhole camera in it.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise MacroSplatError(f"--camera-path-filename {file}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # no UTF-8, or no JSON
        raise MacroSplatError(f"--camera-path-filename {file}: is no JSON") from error
    try:
        cameras = get_path_from_json(content)
        seconds = float(content["seconds"])
        crop = content.get("crop")
        box = crop and OrientedBox.from_params(
            tuple(crop["crop_center"]), tuple(crop.get("crop_rot", (0.0, 0.0, 0.0))), tuple(crop["crop_scale"])
        )
    except Exception as error:  # nerfstudio takes what is there for granted
        raise MacroSplatError(
            f"--camera-path-filename {file}: is no camera path as nerfstudio's viewer writes it "
            f"({type(error).__name__}: {reason(error, 100)})"
        ) from error
    if int(cameras.camera_type[0]) != CameraType.PERSPECTIVE.value:
        raise MacroSplatError(
            f"--camera-path-filename {file}: camera type {content['camera_type']}; splats are seen in perspective only"
        )
    sound = cameras.camera_to_worlds.isfinite().all() and (cameras.fx.isfinite() & (cameras.fx > 0)).all()
    if not (sound and 0 < seconds < math.inf and min(int(cameras.width[0]), int(cameras.height[0])) > 0):
        raise MacroSplatError(
            f"--camera-path-filename {file}: a pose, field of view, size or length in it is impossible"
        )
    return CameraPath(cameras, seconds, box)
