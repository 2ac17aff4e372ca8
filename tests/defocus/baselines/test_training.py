"""The baselines in whole trainings on a tiny capture: they run and learn, and the sharp render is free of blur."""

from pathlib import Path
from typing import Any

import pytest
import torch

from macro_splat.benchmark.modes import MODES, choose
from macro_splat.benchmark.plan import RunSpec
from tests.captures import write_capture

STEPS = 80


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Large enough for a quarter of it to hold the window of the structural similarity.
    return write_capture(tmp_path_factory.mktemp("capture"), views=5, width=64, height=48) / "transforms.json"


def make_trainer(capture: Path, folder: Path, name: str) -> Any:
    (mode,) = choose("modes", MODES, [name])
    config = RunSpec(str(capture), str(capture), name, "given", mode.overrides_for(STEPS), STEPS, 0).config()
    config.output_dir, config.experiment_name = folder, name
    config.set_timestamp()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    return trainer


@pytest.mark.parametrize("name", ["pixel-kernel", "covariance", "coc"])
def test_training_moves_the_head_and_lowers_the_loss(name: str, capture: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    trainer = make_trainer(capture, tmp_path, name)
    model = trainer.pipeline.model
    before = {key: tensor.clone() for key, tensor in model.blur_model.state_dict().items()}
    camera, batch = trainer.pipeline.datamanager.fixed_indices_eval_dataloader[0]
    losses, sizes = [], []
    train_iteration = trainer.train_iteration

    def watched(step: int) -> Any:
        result = train_iteration(step)
        losses.append(float(result[0].detach()))
        sizes.append(model.last_size)
        return result

    trainer.train_iteration = watched
    trainer.train()
    # Losses of pictures of different size do not compare.
    first = sizes.index(sizes[-1])
    assert sum(losses[-5:]) < 0.9 * sum(losses[first : first + 5])
    moved = [key for key, tensor in model.blur_model.state_dict().items() if not torch.equal(tensor, before[key])]
    if name == "coc":
        assert "lens.focus_offset_px" in moved
    else:
        assert len(moved) > 5
    if name == "pixel-kernel":
        assert [sizes[0], sizes[STEPS // 5 + 1], sizes[-1]] == [(12, 16), (24, 32), (48, 64)]

    # The blur model has no part in what is shown and exported.
    model.eval()
    shown = model.get_outputs_for_camera(camera)["rgb"]
    with torch.no_grad():
        for parameter in model.blur_model.parameters():
            parameter.add_(1.0)
    assert torch.equal(model.get_outputs_for_camera(camera)["rgb"], shown)
    assert shown.shape == batch["image"].shape
