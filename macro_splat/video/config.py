"""The options of `macro-splat render`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from macro_splat.errors import MacroSplatError

FilmName = Literal["orbit", "focus-pull", "before-after", "stack", "camera-path"]
MIN_F_NUMBER = 0.5
"""Least f-number that a lens in air can have."""
MAX_BLUR = 100.0
"""Pupil over that of the photographs up to which a picture still shows anything."""


@dataclass(frozen=True)
class LensOptions:
    """The lens of a film; what is not given is as the photographs were taken.

    Raises:
        MacroSplatError: a value that no lens has, or two that contradict each other.
    """

    blur: float = 0.0
    """how much wider than the photograph's own lens the lens is; 0: as wide, or for focus-pull and stack as much wider
    as it takes to see where the focus is."""
    f_number: float | None = None
    """of the lens, where the capture tells millimetres and the focal length."""
    focus: float | None = None
    """distance of the plane of focus of orbit and camera-path, in mm where the capture tells the scale, else in scene
    units; by default as the photographs were focused."""

    def __post_init__(self) -> None:
        if self.f_number is not None and not MIN_F_NUMBER <= self.f_number < math.inf:
            raise MacroSplatError(f"--f-number {self.f_number:g}: no lens has that; give {MIN_F_NUMBER:g} or more")
        if not 0 <= self.blur <= MAX_BLUR:
            raise MacroSplatError(
                f"--blur {self.blur:g}: give a factor up to {MAX_BLUR:g} (1: the photograph's own lens) or 0"
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


@dataclass(frozen=True)
class RenderConfig:
    """Which film of which run is made, and how."""

    run: Positional[Path]
    """folder of a training, with its config.yml, or one above."""
    film: Positional[FilmName]
    """what to make."""
    output: Path | None = None
    """FILE.mp4, FILE.gif, or a folder for PNGs; by default the film's name in the current folder."""
    width: int = 0
    """of the pictures in pixels; 0: follows from the height, or as the photographs."""
    height: int = 0
    """likewise."""
    fps: float = 0.0
    """frames a second; 0: 25, or as the camera path says."""
    seconds: float = 0.0
    """of the film (before-after: for each view); 0: 12 for orbit, 6 for focus-pull, 4 for before-after."""
    view: str = ""
    """index or name of the training photograph for focus-pull, before-after and stack; by default one from the middle,
    or for before-after several."""
    views: int = 4
    """how many photographs before-after shows, where no view is named."""
    slices: int = 10
    """of the stack."""
    lens: Annotated[LensOptions, arg(name="")] = LensOptions()
    camera_path_filename: Path | None = None
    """of camera-path: what the viewer's Render tab has saved."""
    labels: bool = True
    """whether before-after says which side is which."""
    data: Path | None = None
    """folder of the capture, if it was moved since the training."""
    overwrite: bool = False
    """replace what is there."""

    @property
    def output_path(self) -> Path:
        """Where the film is written."""
        return self.output or Path("stack" if self.film == "stack" else f"{self.film}.mp4")

    def check(self) -> None:
        """Refuse impossible values and options that do not go together.

        Raises:
            MacroSplatError: the first one.
        """
        if self.film == "stack" and self.output_path.suffix:
            raise MacroSplatError(f"{self.output_path}: a stack is PNGs; give a folder")
        if not 0 <= self.seconds < 3600:
            raise MacroSplatError(f"--seconds {self.seconds:g}: give a number above 0, or 0 for the usual length")
        if self.views < 1 or self.slices < 2:
            raise MacroSplatError(f"--views {self.views} --slices {self.slices}: at least 1 view and 2 slices")
        if self.width < 0 or self.height < 0:
            raise MacroSplatError(f"--width {self.width} --height {self.height}: give numbers of pixels, or 0")
        self.lens.check_film(self.film)
        if (self.film == "camera-path") != (self.camera_path_filename is not None):
            raise MacroSplatError("camera-path and --camera-path-filename FILE go together; give both or none")
        if self.film == "camera-path" and self.fps and self.seconds:
            raise MacroSplatError(
                f"--fps {self.fps:g} --seconds {self.seconds:g}: a camera path has its frames; give one of both"
            )
