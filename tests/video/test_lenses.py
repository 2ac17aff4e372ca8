"""The lens that a film's options mean, and one line for those that mean none."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from macro_splat.data.lens import Lens
from macro_splat.defocus.virtual_lens import VirtualLens
from macro_splat.errors import MacroSplatError
from macro_splat.video.config import LensOptions
from macro_splat.video.lenses import lens_for

LENS = replace(Lens.unknown(1), f_number=torch.tensor([[2.8]]), focal_length_mm=torch.tensor([[50.0]]))
IN_MM = {"dataparser_scale": 0.01, "mm_per_unit": 1.0, "lens": LENS}
TYPICAL = VirtualLens(1.25, 0.08)
CAMERA: Any = None


def run(metadata: dict[str, Any], *, lens: bool = True) -> Any:
    model = SimpleNamespace(lens=object() if lens else None, typical_lens=lambda camera: TYPICAL)
    return SimpleNamespace(metadata=metadata, model=model, folder="runs/one")


def test_nothing_said_is_sharp() -> None:
    assert lens_for(LensOptions(), run(IN_MM), CAMERA) is None


@pytest.mark.parametrize(
    ("options", "focus_distance", "aperture_radius"),
    [
        (LensOptions(f_number=2.0, focus=110.0), 1.1, 0.125),  # 50 mm / 2 / 2, 1 mm = 0.01
        (LensOptions(f_number=2.0), 1.25, 0.125),
        (LensOptions(blur=3.0), 1.25, 0.24),
        (LensOptions(focus=110.0), 1.1, 0.08),
    ],
)
def test_what_is_not_said_is_as_photographed(options, focus_distance: float, aperture_radius: float) -> None:
    lens = lens_for(options, run(IN_MM), CAMERA)
    assert (lens.focus_distance, lens.aperture_radius) == pytest.approx((focus_distance, aperture_radius))


def test_without_a_scale_the_units_are_the_scenes() -> None:
    unknown = run({"dataparser_scale": 0.5, "mm_per_unit": None})
    lens = lens_for(LensOptions(blur=2.0, focus=3.0), unknown, CAMERA)
    assert lens is not None
    assert (lens.focus_distance, lens.aperture_radius) == pytest.approx((1.5, 0.16))
    with pytest.raises(MacroSplatError, match=r"--f-number 4: .*--blur"):
        lens_for(LensOptions(f_number=4.0), unknown, CAMERA)


def test_a_model_without_a_lens_needs_all_of_it() -> None:
    lens = lens_for(LensOptions(f_number=2.0, focus=110.0), run(IN_MM, lens=False), CAMERA)
    assert lens == VirtualLens(1.1, 0.125)
    with pytest.raises(MacroSplatError, match="without a lens; give both --f-number and --focus"):
        lens_for(LensOptions(blur=2.0), run(IN_MM, lens=False), CAMERA)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        *(({"f_number": v}, f"--f-number {v:g}: ") for v in (0.0, -4.0, NAN, INF, 1e-9)),
        *(({"focus": v}, f"--focus {v:g}: ") for v in (0.0, -100.0, NAN, INF)),
        *(({"blur": v}, f"--blur {v:g}: ") for v in (-1.0, NAN, INF, 1e9)),
        ({"f_number": 4.0, "blur": 2.0}, "--f-number 4 --blur 2: "),
    ],
)
def test_a_lens_that_cannot_be(values: dict[str, float], message: str) -> None:
    with pytest.raises(MacroSplatError) as caught:
        LensOptions(**values)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_focus_nearer_than_anything_is_shown() -> None:
    with pytest.raises(MacroSplatError, match=r"--focus 0\.001: nothing nearer than 1 mm"):
        lens_for(LensOptions(focus=0.001), run(IN_MM), CAMERA)


@pytest.mark.parametrize(
    ("film", "options"),
    [
        ("focus-pull", LensOptions(focus=110.0)),
        ("stack", LensOptions(focus=110.0)),
        ("before-after", LensOptions(f_number=4.0)),
        ("before-after", LensOptions(blur=2.0)),
    ],
)
def test_a_film_that_has_no_use_for_it(film: str, options: LensOptions) -> None:
    with pytest.raises(MacroSplatError, match=rf"^{options.given}: .*{film}"):
        options.check_film(film)
    LensOptions().check_film(film)
