"""The lens of a film, as it is asked for on the command line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nerfstudio.cameras.cameras import Cameras

from macro_splat.defocus.virtual_lens import VirtualLens
from macro_splat.errors import MacroSplatError
from macro_splat.model.macro_splat_model import NEAR_PLANE
from macro_splat.viewer.lens_units import LensUnits

if TYPE_CHECKING:
    from macro_splat.runs.load import Run

FASTEST = 0.5
"""Least f-number that a lens in air can have."""
WIDEST = 100.0
"""Pupil over that of the photographs up to which a picture still shows anything."""


@dataclass(frozen=True)
class LensOptions:
    """What was said of the lens; the rest is as the photographs were taken.

    Raises:
        MacroSplatError: a value that no lens has, or two that contradict each other.
    """

    f_number: float | None = None
    """Needs a capture that says millimetres and the lens's focal length."""
    blur: float = 0.0
    """The pupil over that of the photographs; 0: not said."""
    focus: float | None = None
    """Distance of the plane of focus, in the unit of `LensUnits`."""

    def __post_init__(self) -> None:
        if self.f_number is not None and not FASTEST <= self.f_number < math.inf:
            raise MacroSplatError(f"--f-number {self.f_number:g}: no lens has that; give {FASTEST:g} or more")
        if not 0 <= self.blur <= WIDEST:
            raise MacroSplatError(
                f"--blur {self.blur:g}: give a factor up to {WIDEST:g} (1: the photograph's own lens) or 0"
            )
        if self.focus is not None and not 0 < self.focus < math.inf:
            raise MacroSplatError(f"--focus {self.focus:g}: give a distance before the camera, more than 0")
        if self.f_number is not None and self.blur:
            raise MacroSplatError(f"--f-number {self.f_number:g} --blur {self.blur:g}: give one of the two")

    @property
    def given(self) -> str:
        """The options that were given, as they are written; empty: none."""
        values = {"--f-number": self.f_number, "--blur": self.blur or None, "--focus": self.focus}
        return " ".join(f"{option} {value:g}" for option, value in values.items() if value is not None)

    def check_film(self, film: str) -> None:
        """Refuse what a film cannot follow.

        Raises:
            MacroSplatError: a plane of focus for a film that moves it, any lens for one that has its own pictures.
        """
        if film == "before-after" and self.given:
            raise MacroSplatError(
                f"{self.given}: before-after shows the photograph and the sharp render, no other lens"
            )
        if film in ("focus-pull", "stack") and self.focus is not None:
            raise MacroSplatError(f"--focus {self.focus:g}: {film} moves the focus through the object itself")

    def aperture_radius(self, run: Run, own: float) -> float:
        """Of the entrance pupil, model units. ``own``: that of the photographs; it is the answer if none was said.

        Raises:
            MacroSplatError: an f-number, which this capture cannot tell the size of.
        """
        if self.f_number is None:
            return own * (self.blur or 1.0)
        units = LensUnits.of(run.metadata)
        if not units.knows_f_numbers:
            raise MacroSplatError(
                f"--f-number {self.f_number:g}: the capture tells no millimetres or no focal length; give --blur"
            )
        return units.aperture_radius(self.f_number)

    def lens_for(self, run: Run, camera: Cameras) -> VirtualLens | None:
        """The lens of a camera that took no photograph, or None, all sharp, where nothing was said.

        Raises:
            MacroSplatError: what was not said is not known either; the focus is nearer than anything is shown.
        """
        if not self.given:
            return None
        units, typical = LensUnits.of(run.metadata), None
        if self.f_number is None or self.focus is None:
            if run.model.lens is None:
                raise MacroSplatError(
                    f"{self.given}: {run.folder} was trained without a lens; give both --f-number and --focus"
                )
            typical = run.model.typical_lens(camera)
        radius = self.aperture_radius(run, typical.aperture_radius if typical is not None else 0.0)
        if self.focus is None:
            assert typical is not None
            return VirtualLens(typical.focus_distance, radius)
        nearest = NEAR_PLANE * units.length
        if self.focus < nearest:
            raise MacroSplatError(f"--focus {self.focus:g}: nothing nearer than {nearest:.3g} {units.name} is shown")
        return VirtualLens(self.focus / units.length, radius)


__all__ = ["LensOptions"]
