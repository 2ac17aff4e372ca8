"""A program: interrupts the first render of a fresh process at many places, as nerfstudio's viewer does.

    python -m tests.viewer.interrupted_renders CAPTURE OUTPUTS COUNT

Every place has a process of its own, forked before anything was rendered. Afterwards it must render what a process
that was never interrupted renders. Prints a line per place that fails, and at last how many there were.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from nerfstudio.cameras.cameras import Cameras

from tests.model.trainers import build_trainer


class Interrupt(Exception):
    """As nerfstudio's IOChangeException."""


class Tracer:
    """Counts lines of Python as they run, and raises at one of them."""

    def __init__(self, place: int | None = None) -> None:
        self.place = place
        self.lines = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self.lines += 1
            if self.lines == self.place:
                raise Interrupt
        return self


def render(model: Any, camera: Cameras, tracer: Tracer | None = None) -> str:
    """Render as the viewer does; a digest of the picture."""
    model.eval()
    sys.settrace(tracer)
    try:
        with torch.no_grad():
            picture = model.get_outputs_for_camera(camera)["rgb"]
    finally:
        sys.settrace(None)
    return hashlib.sha256(picture.numpy().tobytes()).hexdigest()


def in_a_child(work: Any) -> str:
    """What `work()` returns in a forked process, or its traceback."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            said = str(work())
        except BaseException:
            said = traceback.format_exc()
        os.write(write, said.encode()[-60_000:])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


def main() -> None:
    capture, outputs, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)  # forked processes have no threads
    model = build_trainer(capture, outputs, mode="image").pipeline.model
    cameras = model.kwargs["metadata"]["cameras"]

    def camera() -> Cameras:
        return cameras[0:1]

    wanted = in_a_child(lambda: render(model, camera()))

    def count_lines() -> int:
        tracer = Tracer()
        render(model, camera(), tracer)
        return tracer.lines

    lines = int(in_a_child(count_lines))

    def interrupt(place: int) -> str:
        try:
            render(model, camera(), Tracer(place))
        except Interrupt:
            return render(model, camera())
        return "not interrupted"

    places = sorted(random.Random(0).sample(range(1, lines + 1), min(count, lines)))
    failed = 0
    for place in places:
        said = in_a_child(lambda place=place: interrupt(place))
        if said != wanted:
            failed += 1
            print(f"line {place} of {lines}: {said}")
    print(f"{len(places)} places of {lines}, {failed} failed")


if __name__ == "__main__":
    main()
