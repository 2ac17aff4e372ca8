"""Millimetres and f-numbers."""

import math
from dataclasses import replace

import pytest
import torch

from macro_splat.data.lens import Lens
from macro_splat.defocus.virtual_lens import VirtualLens
from macro_splat.viewer.lens_units import LensUnits, focus_range, on_steps, slider_range

LENS = replace(
    Lens.unknown(2), focal_length_mm=torch.tensor([[50.0], [math.nan]]), f_number=torch.tensor([[2.8], [2.8]])
)


def test_millimetres_and_f_numbers_where_the_capture_tells_them() -> None:
    units = LensUnits.of({"dataparser_scale": 0.01, "mm_per_unit": 10.0, "scene_unit": "cm", "lens": LENS})
    assert units.name == "mm"
    assert units.length == pytest.approx(1000.0)
    assert units.typical_f_number == pytest.approx(2.8)
    radius = units.aperture_radius(2.0)  # 12.5 mm
    assert radius == pytest.approx(0.0125)
    assert units.f_number(radius) == pytest.approx(2.0)
    assert units.f_number(0.0) == math.inf


@pytest.mark.parametrize(
    ("metadata", "name", "length"),
    [
        ({}, "units", 1.0),
        ({"dataparser_scale": 0.5, "mm_per_unit": None, "scene_unit": None}, "units", 2.0),
        ({"dataparser_scale": 0.5, "mm_per_unit": 1.0, "lens": Lens.unknown(2)}, "mm", 2.0),
    ],
)
def test_no_f_numbers_without_focal_length_or_scale(metadata: dict, name: str, length: float) -> None:
    units = LensUnits.of(metadata)
    assert (units.name, units.length, units.knows_f_numbers) == (name, length, False)


def test_description_fits_the_panel() -> None:
    units = LensUnits.of({"dataparser_scale": 0.01, "mm_per_unit": 1.0, "lens": LENS})
    assert units.describe(VirtualLens(1.23177, 0.125 / 1.41)) == "f/2.82, focus 123.18 mm"
    assert LensUnits.of({}).describe(VirtualLens(1.25, 0.1)) == "focus 1.25 units"


@pytest.mark.parametrize(
    ("aperture", "expected"),
    [(0.125, "118.9 to 121.2 mm"), (1.25, "119.88 to 120.12 mm"), (0.0005, "35.29 mm to infinity")],
)
def test_sharp_zone_is_as_precise_as_it_is_narrow(aperture: float, expected: str) -> None:
    units = LensUnits.of({"dataparser_scale": 0.01, "mm_per_unit": 1.0, "lens": LENS})
    # The circle is 2 px wide at |1/1.2 - 1/z| = 1 / (aperture * 1000).
    assert units.sharp_zone(VirtualLens(1.2, aperture), 1000.0) == expected


def test_a_stop_halves_the_light() -> None:
    units = LensUnits.of({"dataparser_scale": 0.01, "mm_per_unit": 10.0, "lens": LENS})
    radius = units.aperture_radius(4.0)
    assert units.stops(radius) == pytest.approx(4.0)
    assert units.stops(radius / math.sqrt(2)) == pytest.approx(5.0)
    assert units.stops(0.0) == math.inf


def test_sliders_get_values_of_their_steps_alone() -> None:
    assert on_steps(123.177, 54.4, 197.2, 0.1) == 123.2
    assert on_steps(4.0002, -1.0, 10.0, 0.1) == 4.0
    assert on_steps(math.inf, -1.0, 10.0, 0.1) == 10.0
    assert on_steps(0.0, 54.4, 197.2, 0.1) == 54.4
    assert on_steps(1.0312, 0.0, 4.0, 0.05) == 1.05


def test_focus_range_holds_the_scene() -> None:
    points = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * 0.02
    pose = torch.eye(4)[None, :3].clone()
    pose[0, 2, 3] = 1.0  # looks along -z at the origin
    near, far = focus_range({"points3D_xyz": points}, pose, torch.ones(1))
    assert 0.4 < near < 0.94
    assert 1.06 < far < 1.7


def test_slider_range_is_round() -> None:
    low, high, step = slider_range(54.43862, 197.18509)
    assert step == pytest.approx(0.1)
    assert (low, high) == (pytest.approx(54.4), pytest.approx(197.2))
    assert slider_range(0.0001, 20.0)[0] > 0
