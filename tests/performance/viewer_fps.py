"""Pictures per second that nerfstudio's viewer gets from the model, with the training paused and beside it.

    python tests/performance/viewer_fps.py [CAPTURE] [--gaussians N] [--width W] [--height H] [--seconds S]

Renders as the viewer does: under the training's lock, with its tracing of interrupts, then reads the output that is
shown and makes it 8 bit. Beside a training, that holds the lock for whole steps, one thread trains and another renders.
On a busy machine the processor time tells more than the pictures per second.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from nerfstudio.cameras.cameras import CameraType
from nerfstudio.viewer.utils import CameraState, get_camera
from nerfstudio.viewer_legacy.server import viewer_utils
from rich.console import Console
from rich.table import Table

from macro_splat.defocus.virtual_lens import VirtualLens
from tests.model.trainers import build_trainer, do_step
from tests.performance.machine import processor_name

ASSET = Path(__file__).resolve().parents[2] / "assets" / "pod_mini"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path, nargs="?", default=ASSET)
    parser.add_argument("--gaussians", type=int, default=12_000)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each figure")
    arguments = parser.parse_args()
    table = Table(title=f"Viewer: {arguments.width}x{arguments.height}, {processor_name()}")
    for heading in ("output", "processor ms", "alone, per second", "beside a training", "training steps per second"):
        table.add_column(heading, justify="left" if heading == "output" else "right")
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(arguments.capture, Path(folder), mode="image", num_init_gaussians=arguments.gaussians)
        model = trainer.pipeline.model
        do_step(trainer, 0)
        camera = model.kwargs["metadata"]["cameras"][0:1]
        fov = float(2 * torch.atan(camera.cy / camera.fy))
        aspect = arguments.width / arguments.height
        state = CameraState(fov, aspect, camera.camera_to_worlds[0], CameraType.PERSPECTIVE)
        lens = model.lens_of_view(0)
        model.virtual_lens = VirtualLens(lens.focus_distance, lens.aperture_radius)
        for output in ("rgb", "rgb_blurred", "coc", "focus_peaking"):

            def draw(output: str = output) -> None:
                render(trainer, get_camera(state, arguments.height, arguments.width), output)

            draw()
            alone, processor = rate(draw, arguments.seconds)
            with Training(trainer) as training:
                start, before = time.perf_counter(), training.steps
                beside, _ = rate(draw, arguments.seconds)
                steps = (training.steps - before) / (time.perf_counter() - start)
            table.add_row(output, f"{1000 * processor:.1f}", f"{alone:.1f}", f"{beside:.1f}", f"{steps:.1f}")
    Console(width=120).print(table)


def render(trainer: Any, camera: Any, output: str) -> None:
    """As `RenderStateMachine` does it."""
    model = trainer.pipeline.model

    def never(frame: Any, event: str, argument: Any) -> Any:
        return never

    with trainer.train_lock:
        training = model.training
        model.eval()
        try:
            with torch.no_grad(), viewer_utils.SetTrace(never):
                outputs = model.get_outputs_for_camera(camera)
        finally:
            model.train(training)
    (outputs[output] * 255).type(torch.uint8).cpu().numpy()


def rate(draw: Any, seconds: float) -> tuple[float, float]:
    """Calls per second, of at least three, and the processor seconds of each, by all threads of this process."""
    start, used, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < seconds or count < 3:
        draw()
        count += 1
    return count / (time.perf_counter() - start), (time.process_time() - used) / count


class Training:
    """Steps without a pause on another thread, each under the lock."""

    next_step = 1

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.steps, self.ended = trainer, 0, threading.Event()
        self.thread = threading.Thread(target=self._train, daemon=True)

    def _train(self) -> None:
        while not self.ended.is_set():
            with self.trainer.train_lock:
                do_step(self.trainer, Training.next_step)
            Training.next_step += 1
            self.steps += 1

    def __enter__(self) -> Training:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()


if __name__ == "__main__":
    main()
