"""The limits by which an export tells the object from haze, background and floaters."""

from __future__ import annotations

from dataclasses import dataclass

from macro_splat.errors import MacroSplatError


@dataclass(frozen=True)
class CleanConfig:
    """When a Gaussian does not belong to the object."""

    min_opacity: float = 0.02
    """fainter splats are taken off."""
    max_size: float = 0.25
    """larger splats are taken off: standard deviation as a share of the object's radius."""
    reach: float = 2.0
    """splats farther from the object's centre are taken off: as a multiple of its radius."""

    def check(self) -> None:
        """Refuse impossible limits.

        Raises:
            MacroSplatError: the first one, by its option.
        """
        if not 0 <= self.min_opacity < 1:
            raise MacroSplatError(f"--min-opacity {self.min_opacity:g}: must be 0 or more, and less than 1")
        for option, value in (("--max-size", self.max_size), ("--reach", self.reach)):
            if not value > 0:
                raise MacroSplatError(f"{option} {value:g}: must be more than 0")
