"""What a rig.yaml says of the lens, for poses that come from the photographs: it counts before their EXIF data."""

from __future__ import annotations

from dataclasses import replace

from macro_splat.photographs.exif import magnification_at
from macro_splat.photographs.load import Photograph
from macro_splat.process.rig.format import RigLens
from macro_splat.process.stacks.grouping import Stack


def with_lens(stack: Stack, lens: RigLens) -> Stack:
    """Return the stack with photographs that were taken through this lens."""
    return replace(stack, photographs=tuple(_through(photograph, lens) for photograph in stack.photographs))


def pixel_pitch_mm(lens: RigLens, photograph: Photograph) -> float | None:
    """Return the side of a pixel on the sensor, by the file or else by the EXIF data."""
    if lens.pixel_pitch_um is not None:
        return lens.pixel_pitch_um / 1000
    if lens.sensor_width_mm is not None:
        return lens.sensor_width_mm / max(photograph.width, photograph.height)
    return photograph.exif.pixel_pitch_mm


def _through(photograph: Photograph, lens: RigLens) -> Photograph:
    exif = photograph.exif
    focal_length = lens.focal_length_mm or exif.focal_length_mm
    f_number = lens.f_number or exif.f_number
    focus, magnification = exif.focus_distance_mm, exif.magnification
    if lens.magnification is not None:
        magnification = lens.magnification
    elif lens.focus_distance_mm is not None:
        known = focal_length is not None and lens.focus_distance_mm > focal_length
        magnification = focal_length / (lens.focus_distance_mm - focal_length) if known and focal_length else None
    elif focal_length and focus and focal_length != exif.focal_length_mm:
        magnification = magnification_at(focal_length, focus)
    if focal_length and magnification and (lens.magnification or lens.focus_distance_mm):
        focus = focal_length * (1 + magnification) ** 2 / magnification  # from the object to the sensor
    pitch = pixel_pitch_mm(lens, photograph)
    stored_width = photograph.width if exif.orientation < 5 else photograph.height
    return replace(
        photograph,
        exif=replace(
            exif,
            focal_length_mm=focal_length,
            f_number=f_number,
            focus_distance_mm=focus,
            magnification=magnification,
            working_f_number=f_number * (1 + magnification) if f_number and magnification else None,
            pixel_pitch_mm=pitch,
            sensor_width_mm=None if pitch is None else pitch * stored_width,
        ),
    )
