"""How long a training takes and when what happens, from the size of the capture and the machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Step numbers that follow from the number of iterations."""

    iterations: int
    max_gaussians: int = 60_000

    @property
    def refine_start(self) -> int:
        """First step at which Gaussians are added and removed."""
        return max(100, self.iterations // 10)

    @property
    def refine_stop(self) -> int:
        """Step after which their number stays: the last 40 % settle what is there."""
        return int(0.6 * self.iterations)

    @property
    def sh_interval(self) -> int:
        """Steps between two degrees of spherical harmonics: colour that depends on direction comes late."""
        return max(1, self.iterations // 6)

    @property
    def lens_searches(self) -> tuple[int, ...]:
        """Steps before which an unknown lens is tried out: once there is a shape, and again when it has detail."""
        return (self.iterations // 12, self.iterations // 6, self.iterations // 3)

    def binarization(self, step: int) -> float:
        """Share, at a step, of the weight that makes silhouettes crisp: none while the shape is still unknown."""
        return min(max((step / self.iterations - 0.2) / 0.3, 0.0), 1.0)


def choose_iterations(num_views: int, pixels_per_view: float, on_gpu: bool) -> int:
    """Iterations that bring a capture near its end quality.

    Every view has to be seen about 125 times, and finer images have more to learn, slowly (fourth root). A GPU does
    twice as many in a fraction of the time.
    """
    per_view = 125.0 * max(1.0, pixels_per_view / 76_800) ** 0.25
    wanted = max(2500.0, per_view * num_views) * (2.0 if on_gpu else 1.0)
    return int(round(min(wanted, 30_000.0), -2))


def choose_max_gaussians(pixels_per_view: float, on_gpu: bool) -> int:
    """Gaussians that hold all detail of a capture: a little more than one for each pixel of a photograph.

    An object fills a part of each photograph and shows all its sides in all of them.
    """
    most = 1_500_000 if on_gpu else 150_000
    return int(min(max(1.2 * pixels_per_view, 20_000), most))
