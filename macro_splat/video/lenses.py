"""The lenses through which films see: those that the command line asks for, and those of a focus that moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nerfstudio.cameras.cameras import Cameras

from macro_splat.defocus.virtual_lens import VirtualLens
from macro_splat.errors import MacroSplatError
from macro_splat.model.macro_splat_model import NEAR_PLANE
from macro_splat.runs.views import RenderedView, depth_range
from macro_splat.video.config import LensOptions
from macro_splat.viewer.lens_units import LensUnits

if TYPE_CHECKING:
    from macro_splat.runs.load import Run

VISIBLE_BLUR = 0.03
"""Diameter of the widest blur, as a share of the picture's width, that shows where the focus is."""


def aperture_radius(options: LensOptions, run: Run, own: float) -> float:
    """Return the radius of the entrance pupil, model units; without an option it is ``own``, that of the photographs.

    Raises:
        MacroSplatError: an f-number, but the capture lacks what gives it a size in model units.
    """
    if options.f_number is None:
        return own * (options.blur or 1.0)
    units = LensUnits.of(run.metadata)
    if not units.knows_f_numbers:
        raise MacroSplatError(
            f"--f-number {options.f_number:g}: the capture tells no millimetres or no focal length; give --blur"
        )
    return units.aperture_radius(options.f_number)


def lens_for(options: LensOptions, run: Run, camera: Cameras) -> VirtualLens | None:
    """Return the lens of a camera that took no photograph; None, all sharp, where no option was given.

    Raises:
        MacroSplatError: what was not given is not known either; the focus is nearer than anything is shown.
    """
    if not options.given:
        return None
    units, typical = LensUnits.of(run.metadata), None
    if options.f_number is None or options.focus is None:
        if run.model.lens is None:
            raise MacroSplatError(
                f"{options.given}: {run.folder} was trained without a lens; give both --f-number and --focus"
            )
        typical = run.model.typical_lens(camera)
    radius = aperture_radius(options, run, typical.aperture_radius if typical is not None else 0.0)
    if options.focus is None:
        assert typical is not None
        return VirtualLens(typical.focus_distance, radius)
    nearest = NEAR_PLANE * units.length
    if options.focus < nearest:
        raise MacroSplatError(f"--focus {options.focus:g}: nothing nearer than {nearest:.3g} {units.name} is shown")
    return VirtualLens(options.focus / units.length, radius)


def lenses_through(run: Run, scene: RenderedView, shares: Sequence[float], options: LensOptions) -> list[VirtualLens]:
    """Lenses like that of the view, focused from the nearest (0) to the farthest (1) depth that it shows.

    Steps are even in 1/distance, so that each changes the blur by as much.

    Args:
        options: of the pupil; where none is given it is the photograph's, or as much wider as it takes to see it.

    Raises:
        MacroSplatError: the model has no lens, nothing is to be seen, or the capture knows no f-numbers.
    """
    if run.model.lens is None:
        raise MacroSplatError(
            f"{run.folder}: was trained without a lens (--pipeline.model.defocus.mode); only orbit shows it"
        )
    near_far = depth_range(scene)
    if near_far is None:
        raise MacroSplatError(f"{scene.name}: the model shows nothing there to focus on; choose another --view")
    near, far = (1 / depth for depth in near_far)
    own = run.model.lens_of_view(scene.index).aperture_radius
    radius = aperture_radius(options, run, own)
    if not options.given:
        # What is nearest is blurred by this diameter when what is farthest is in focus.
        diameter = 2 * float(scene.focal_px) * own * (near - far)
        radius *= max(1.0, VISIBLE_BLUR * scene.rgb.shape[1] / max(diameter, 1e-9))
    if radius == 0:
        raise MacroSplatError(f"{scene.name}: was taken all in focus (a pinhole); choose another --view")
    return [VirtualLens(1 / (near + share * (far - near)), radius) for share in shares]
