"""Photographs that were never trained on, taken by a virtual lens: a slice of every focus stack is held out.

    python tests/performance/virtual_lens.py CAPTURE [--slice K] [--iterations N] [--keep FOLDER] [--run RUN]

Trains on the other slices, renders every stack's pose with the virtual lens focused where the held-out slice was and
with the pupil that the training learnt, and compares with that slice's photograph: PSNR, beside that of the training
slices as re-blurred by their own lenses and of the sharp render against both. Exits with 1 where the slices that the
virtual lens takes are worse than the training slices by more than 1.5 dB. With a RUN that was trained on all slices
nothing is trained: each slice's view is rendered at the focus distance of the slice after the next of its stack.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from macro_splat.defocus.virtual_lens import VirtualLens
from macro_splat.runs.load import find_run, load_run

ALLOWED_DB = 1.5
"""How much worse a slice that was never trained on may be than those that were."""
TRAINED, HELD_OUT = "training slices, own lens", "other slices, virtual lens"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--slice", type=int, default=2, help="stack_index that is held out")
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--keep", type=Path, help="folder for the run, instead of a temporary one")
    parser.add_argument("--run", type=Path, help="a run on the whole capture, instead of a training")
    arguments = parser.parse_args()
    if arguments.run is not None:
        return report(compare(arguments.run, arguments.capture, other_slices(arguments.capture)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        source, capture = arguments.capture.resolve(), folder / "capture"
        held = hold_out(source, capture, arguments.slice)
        train = [Path(sys.executable).with_name("ns-train"), "macro-splat", "--data", capture, "--vis", "tensorboard"]
        train += ["--output-dir", folder / "run", "--max-num-iterations", arguments.iterations]
        subprocess.run([str(word) for word in train], check=True, stdout=subprocess.DEVNULL)
        return report(compare(folder / "run", source, held))


def report(figures: dict[str, list[float]]) -> int:
    """Print the means and say, as an exit code, whether the virtual lens's are as good as is asked for."""
    for name, values in figures.items():
        print(f"{name:32} {np.mean(values):6.2f} dB   ({min(values):.2f} to {max(values):.2f})")
    lost = float(np.mean(figures[TRAINED]) - np.mean(figures[HELD_OUT]))
    good = lost <= ALLOWED_DB  # NaN is not
    print(
        f"{'what the virtual lens loses':32} {lost:6.2f} dB   ({'at most' if good else 'NOT at most'} {ALLOWED_DB} dB)"
    )
    return 0 if good else 1


def other_slices(source: Path) -> dict[str, dict[str, Any]]:
    """The frame after the next of its stack, by the file of a slice."""
    stacks: dict[str, list[dict[str, Any]]] = {}
    for frame in json.loads((source / "transforms.json").read_text(encoding="utf-8"))["frames"]:
        if "stack_index" in frame:
            stacks.setdefault(frame["stack_id"], []).append(frame)
    result = {}
    for frames in stacks.values():
        frames.sort(key=lambda frame: frame["stack_index"])
        result |= {frame["file_path"]: frames[(k + 2) % len(frames)] for k, frame in enumerate(frames)}
    return result


def hold_out(source: Path, folder: Path, index: int) -> dict[str, dict[str, Any]]:
    """Make the same capture without the slices of this index; its files stay where they are.

    Returns:
        The frames left out, by the file of another slice of their stack.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if entry.name != "transforms.json" and not (folder / entry.name).exists():
            (folder / entry.name).symlink_to(entry)
    transforms = json.loads((source / "transforms.json").read_text(encoding="utf-8"))
    held = [frame for frame in transforms["frames"] if frame.get("stack_index") == index]
    assert held, f"{source}: no stack has a slice {index}"
    names = {frame["file_path"] for frame in held}
    transforms["frames"] = [frame for frame in transforms["frames"] if frame["file_path"] not in names]
    transforms["train_filenames"] = [name for name in transforms["train_filenames"] if name not in names]
    (folder / "transforms.json").write_text(json.dumps(transforms, indent=1), encoding="utf-8")
    of_stack = {frame["stack_id"]: frame["file_path"] for frame in transforms["frames"] if "stack_id" in frame}
    return {of_stack[frame["stack_id"]]: frame for frame in held}


@torch.no_grad()
def compare(run_folder: Path, source: Path, held: dict[str, dict[str, Any]]) -> dict[str, list[float]]:
    """PSNR of every view; ``held``: of `hold_out`, of the capture `source`."""
    run = load_run(find_run(run_folder))
    model, datamanager = run.model, run.datamanager
    assert model.lens is not None
    pupil = float(model.lens.aperture_radius().median())
    result: dict[str, list[float]] = {}

    def note(name: str, picture: Tensor, photograph: Tensor) -> None:
        photograph = photograph[..., :3].float() / (255.0 if photograph.dtype == torch.uint8 else 1.0)
        error = float((picture - photograph).square().mean())
        result.setdefault(name, []).append(float(-10.0 * torch.log10(torch.tensor(error))))

    for view in range(len(datamanager.train_dataset)):
        own = model.render_training_view(run.camera(view), view)
        photograph = datamanager.cached_train[view]["image"]
        note(TRAINED, own["rgb_blurred"], photograph)
        note("training slices, sharp render", own["rgb"], photograph)
        photographed = datamanager.train_dataset.image_filenames[view].as_posix()
        frame = next((frame for name, frame in held.items() if photographed.endswith(f"/{name}")), None)
        if frame is not None:
            model.virtual_lens = VirtualLens(frame["focus_distance"] * run.metadata["dataparser_scale"], pupil)
            outputs = model.render_training_view(run.camera(view), view)
            model.virtual_lens = None
            photograph = torch.from_numpy(np.array(Image.open(source / frame["file_path"]).convert("RGB")))
            note(HELD_OUT, outputs["rgb_blurred"], photograph)
            note("other slices, sharp render", outputs["rgb"], photograph)
            note("other slices, neighbour's lens", own["rgb_blurred"], photograph)
    return result


if __name__ == "__main__":
    sys.exit(main())
