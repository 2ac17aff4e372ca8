"""What a benchmark compares: modes (how the blur is modelled) and variants (what the capture gives)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from macro_splat.benchmark import stack_fusion
from macro_splat.defocus.baselines import pixel_kernel
from macro_splat.errors import MacroSplatError

MODE_KEY = "pipeline.model.defocus.mode"


@dataclass(frozen=True, eq=False)
class Mode:
    """One column of the comparison."""

    name: str
    title: str
    """For tables and captions."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Dotted path into the trainer's config -> value, or a function of the number of iterations that gives it."""
    uses_lens: bool = True
    """It looks at the capture's optics; if not, variants that differ in these alone share one run."""
    uses_sharp: bool = False
    """Trains on the all-in-focus photographs, so the capture must have them."""
    needs_stacks: bool = False
    """Makes sense for focus stacks only."""
    prepare: Callable[[Path, Path], None] | None = None
    """Makes another capture of the one in the first folder, in the second one; training reads that."""

    def overrides_for(self, iterations: int) -> dict[str, Any]:
        """Return the overrides as values."""
        return {path: value(iterations) if callable(value) else value for path, value in self.overrides.items()}


@dataclass(frozen=True, eq=False)
class Variant:
    """What is known when the training starts."""

    name: str
    title: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    file: str = "transforms.json"
    """The capture's description to train on."""
    lens_only: bool = False
    """It differs from `given` only in what it tells about the lens."""


MODES = (
    Mode("off", "plain splats", {MODE_KEY: "off"}, uses_lens=False),
    Mode("splat", "ours, splat", {MODE_KEY: "splat"}),
    Mode("image", "ours, image", {MODE_KEY: "image"}),
    Mode(
        "pixel-kernel",
        "kernels per pixel (BAGS)",
        {
            MODE_KEY: "pixel-kernel",
            "pipeline.model.num_downscales": len(pixel_kernel.STAGES) - 1,
            "pipeline.model.resolution_schedule": lambda iterations: max(1, int(pixel_kernel.STAGE_SHARE * iterations)),
        },
        uses_lens=False,
    ),
    Mode("covariance", "widened Gaussians (Deblurring-3DGS)", {MODE_KEY: "covariance"}, uses_lens=False),
    Mode("coc", "Gaussian CoC per pixel (DoF-Gaussian)", {MODE_KEY: "coc"}),
    Mode(
        "fuse",
        "stacks fused, then plain splats",
        {MODE_KEY: "off"},
        uses_lens=False,
        needs_stacks=True,
        prepare=stack_fusion.fuse_capture,
    ),
    Mode(
        "oracle",
        "plain splats on sharp photographs",
        {MODE_KEY: "off", "pipeline.datamanager.dataparser.train_on_sharp": True},
        uses_lens=False,
        uses_sharp=True,
    ),
)
"""In the order of the table."""

DEFOCUS = "pipeline.model.defocus"


def _without(name: str, title: str, overrides: Mapping[str, Any]) -> Mode:
    return Mode(f"image-{name}", f"ours, image, {title}", {MODE_KEY: "image", **overrides})


ABLATIONS = (
    _without("no-depth-edges", "one layer at depth edges", {f"{DEFOCUS}.depth_edges": False}),
    _without("no-linear-light", "sRGB values added up", {f"{DEFOCUS}.linear_light": False}),
    _without("no-silhouette", "no silhouette term", {f"{DEFOCUS}.silhouette_weight": 0.0}),
    _without("no-sensor-noise", "clipped noise not told", {f"{DEFOCUS}.sensor_noise": False}),
    _without("no-crispness", "no crispness term", {f"{DEFOCUS}.binarization_weight": 0.0}),
    _without("no-fine-growth", "splatfacto's growth threshold", {"pipeline.model.densify_grad_thresh": 0.0008}),
    _without("sh-3", "splatfacto's colour degree 3", {"pipeline.model.sh_degree": 3}),
    _without("no-search", "lens not searched for", {f"{DEFOCUS}.lens_search": False}),
    _without(
        "no-lens-learning",
        "lens not learnt",
        # Not 0, of which a decaying rate would be 0/0.
        {
            f"optimizers.{group}.{part}.{key}": 1e-12
            for group in ("lens_focus", "lens_aperture")
            for part, key in (("optimizer", "lr"), ("scheduler", "lr_final"))
        },
    ),
    _without("blur-net", "with BlurNet", {f"{DEFOCUS}.blur_net": True}),
    _without("clarity", "blurred pixels weigh 0.3", {f"{DEFOCUS}.blurred_weight": 0.3}),
)
"""Our method with one part taken away or another added."""

VARIANTS = (
    Variant("given", "lens given"),
    Variant("unknown", "lens unknown", {"pipeline.datamanager.dataparser.ignore_optics": True}, lens_only=True),
    Variant(
        "noisy",
        "noisy poses, refined",
        {"pipeline.model.camera_optimizer.mode": "SO3xR3"},
        file="transforms_noisy.json",
    ),
)

Named = TypeVar("Named", Mode, Variant)


def choose(kind: str, known: tuple[Named, ...], names: Iterable[str]) -> list[Named]:
    """Return those with the given names, in the known order, each once.

    Raises:
        MacroSplatError: there is no such name.
    """
    wanted = list(names)
    unknown = [name for name in wanted if name not in {each.name for each in known}]
    if unknown or not wanted:
        every = ", ".join(each.name for each in known)
        raise MacroSplatError(f"--{kind} {' '.join(unknown)}: there are these: {every}")
    return [each for each in known if each.name in wanted]


def apply_overrides(config: Any, overrides: Mapping[str, Any]) -> None:
    """Set values by their dotted path; a part of the path may be an attribute or a dictionary's key.

    Raises:
        KeyError, AttributeError: the path leads nowhere.
    """
    for path, value in overrides.items():
        *parents, last = path.split(".")
        target = config
        for name in parents:
            target = target[name] if isinstance(target, dict) else getattr(target, name)
        if isinstance(target, dict):
            if last not in target:
                raise KeyError(path)
            target[last] = value
        else:
            getattr(target, last)  # a misspelt name must not become a new attribute
            setattr(target, last, value)
