"""The guard against the degenerate solution, in which a model fits blurry photographs and stays blurry itself.

Then the network or the lens sharpens, or does nothing: losses are low, and the sharp render is none. Whole trainings on
a ball photographed with a wide open lens; judged at poses that were held out, where the truth is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from macro_splat.defocus.config import DefocusConfig
from macro_splat.defocus.image_blur import defocus_picture
from macro_splat.evaluation.pictures import psnr, sharpness_ratio
from macro_splat.training.trainer import MacroSplatTrainer
from tests.captures import FOCAL_LENGTH_MM, WORKING_DISTANCE_MM, write_capture
from tests.model.trainers import build_trainer, do_step

pytestmark = pytest.mark.slow

STEPS = 400
F_NUMBER = 1.2


@dataclass(frozen=True)
class Judged:
    """Means over the held-out views, against the sharp truth."""

    psnr: float
    sharpness: float
    reblurred_psnr: float
    reblurred_sharpness: float


class Trainings:
    """One capture with its optics and one without; what is trained on them is judged and kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: dict[str, Judged] = {}

    def judged(self, name: str, defocus: DefocusConfig, optics: bool = True) -> Judged:
        if name not in self.done:
            data = self.folder / ("known" if optics else "unknown")
            if not data.exists():
                size: dict[str, Any] = {"views": 10, "test_views": 3, "width": 80, "height": 60, "points": 1500}
                write_capture(data, **size, f_number=F_NUMBER, optics=optics, sharp=False, depth=False)
            trainer = build_trainer(data, self.folder, mode=defocus.mode, defocus=defocus, num_init_gaussians=1500)
            for step in range(STEPS):
                do_step(trainer, step)
            self.done[name] = judge(trainer)
        return self.done[name]


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("macro_splat.compat.lpips.lpips_or_none", lambda **_: None)
        yield Trainings(tmp_path_factory.mktemp("trainings"))


@torch.no_grad()
def judge(trainer: MacroSplatTrainer) -> Judged:
    """The sharp render, and what the lens of the training views makes of it."""
    model, datamanager = trainer.pipeline.model, trainer.pipeline.datamanager
    model.eval()
    scale = datamanager.train_dataset.metadata["dataparser_scale"]
    rows = []
    for camera, batch in datamanager.fixed_indices_eval_dataloader:
        outputs = model.get_outputs_for_camera(camera)
        truth, picture, alpha = batch["image"].float() / 255, outputs["rgb"], outputs["accumulation"]
        # The photographs' lens, focused where the middle one of them was.
        strength = FOCAL_LENGTH_MM / F_NUMBER / 2 * scale * float(camera.fx)
        circle = strength * (1 / ((WORKING_DISTANCE_MM - 6.0) * scale) - 1 / outputs["depth"].clamp(min=1e-3))
        blurred = defocus_picture(picture, torch.where(alpha > 0, circle, 0.0), alpha)
        rows.append([f(shown, truth) for shown in (picture, blurred) for f in (psnr, sharpness_ratio)])
    return Judged(*(fmean(column) for column in zip(*rows, strict=True)))


@pytest.mark.parametrize(
    ("name", "defocus", "optics"),
    [
        ("image", DefocusConfig(mode="image", blur_net=False), True),
        ("image, network, lens unknown", DefocusConfig(mode="image", blur_net=True), False),
        ("splat", DefocusConfig(mode="splat", blur_net=False), True),
    ],
)
def test_the_sharp_render_is_sharp(name: str, defocus: DefocusConfig, optics: bool, trainings: Trainings) -> None:
    ours = trainings.judged(name, defocus, optics)
    plain = trainings.judged("off", DefocusConfig(mode="off"))
    # Sharper than the same picture seen through the lens, and not by noise: closer to the truth, too.
    assert ours.sharpness > 1.3 * ours.reblurred_sharpness
    assert ours.psnr > ours.reblurred_psnr + 1.0
    # Better than a model that took the photographs for sharp.
    assert ours.sharpness > 1.3 * plain.sharpness
    assert ours.psnr > plain.psnr + 1.0
    assert ours.sharpness < 1.15
