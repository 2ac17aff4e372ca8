"""The lens of a rig.yaml counts where poses come from the photographs, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from macro_splat.photographs.exif import Exif
from macro_splat.photographs.load import Photograph
from macro_splat.process.rig.format import RigLens
from macro_splat.process.rig.lens import with_lens
from macro_splat.process.sfm.inputs import focal_length_px
from macro_splat.process.stacks.grouping import Stack


def through(lens: RigLens, width: int = 6000, height: int = 4000, **tags: Any) -> Photograph:
    stack = Stack("a", (Photograph(Path("a.jpg"), "a.jpg", width, height, Exif(**tags)),))
    return with_lens(stack, lens).photographs[0]


@pytest.mark.parametrize(
    "lens",
    [
        RigLens(focal_length_mm=60, f_number=8, magnification=0.5, sensor_width_mm=36),
        RigLens(focal_length_mm=60, f_number=8, focus_distance_mm=180, pixel_pitch_um=6),
    ],
)
def test_a_lens_without_exif_starts_structure_from_motion(lens: RigLens) -> None:
    """At half life size a 60 mm lens is 180 mm from the object and 90 mm from the sensor."""
    photograph = through(lens)
    assert focal_length_px(photograph, 3000) == pytest.approx(90 / 0.012)
    assert photograph.exif.focus_distance_mm == pytest.approx(270)
    assert photograph.exif.working_f_number == pytest.approx(12)
    assert photograph.exif.sensor_width_mm == pytest.approx(36)


def test_what_the_file_does_not_say_stays_as_the_camera_wrote_it() -> None:
    tags = {"focal_length_mm": 100.0, "f_number": 4.0, "pixel_pitch_mm": 0.005, "focus_distance_mm": 500.0}
    photograph = through(RigLens(f_number=11), magnification=0.25, **tags)
    assert photograph.exif.f_number == 11
    assert focal_length_px(photograph, 6000) == pytest.approx(125 / 0.005)
    assert photograph.exif.focus_distance_mm == 500
    unknown = through(RigLens())
    assert unknown.exif == Exif()


def test_another_focal_length_changes_what_the_distance_implies() -> None:
    # D = f (1 + m)^2 / m: 250 mm at life size for 62.5 mm
    photograph = through(RigLens(focal_length_mm=62.5), focal_length_mm=50.0, focus_distance_mm=250.0)
    assert photograph.exif.magnification == pytest.approx(1)


def test_the_long_side_of_a_portrait_picture_covers_the_sensor() -> None:
    photograph = through(RigLens(sensor_width_mm=36), width=4000, height=6000, orientation=6)
    assert photograph.exif.pixel_pitch_mm == pytest.approx(0.006)
    assert photograph.exif.sensor_width_mm == pytest.approx(36)
