"""A long training with the viewer open in two browsers throughout, against the same training without.

    python -m tests.browser.soak CAPTURE OUTPUT [--iterations 12000] [--minutes 1]

Both browsers turn the camera all the time. Every so many minutes a line says how far the training is, how much memory
it takes and how many pictures each browser got since. At the end it is checked that

* the training ended well and said nothing of an error;
* each browser got pictures in every interval;
* memory grew by no more than 5 % over the second half;
* the model is, to the last bit, that of the training without a viewer.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from playwright.sync_api import Browser, sync_playwright

from tests.browser.viewer_page import ViewerPage, find_chromium, open_viewer, start_chromium
from tests.end_to_end.processes import Watched, run, watched

MOST_GROWTH = 0.05


def resident_bytes(process: int) -> int:
    """Of a process, by Linux."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"process {process} says nothing of its memory")


def turn(opened: ViewerPage, angle: int) -> None:
    """Drag the camera a little around."""
    mouse = opened.page.mouse
    mouse.move(200, 150)
    mouse.down()
    mouse.move(200 + (40 if angle % 2 else -40), 150 + angle % 5 - 2, steps=3)
    mouse.up()


def watch(running: Watched, browser: Browser, minutes: float) -> tuple[list[int], list[int]]:
    """Look at the training until it ends; memory and the fewest pictures of a browser, by interval."""
    memory: list[int] = []
    fewest: list[int] = []
    running.wait_for_viewer(300)
    began = time.monotonic()
    with open_viewer(browser, running.port) as first, open_viewer(browser, running.port) as second:
        pages = (first, second)
        for opened in pages:
            opened.page.set_viewport_size({"width": 640, "height": 400})
            opened.wait_until(lambda opened=opened: opened.picture_count() > 0, 120, "a first picture")
        angle, before, end = 0, [opened.picture_count() for opened in pages], time.monotonic() + 60 * minutes
        while running.process.poll() is None:
            for opened in pages:
                turn(opened, angle)
                opened.page.wait_for_timeout(500)
            angle += 1
            if time.monotonic() > end and running.process.poll() is None:
                end += 60 * minutes
                counts = [opened.picture_count() for opened in pages]
                memory.append(resident_bytes(running.process.pid))
                fewest.append(min(now - then for now, then in zip(counts, before, strict=True)))
                since = (time.monotonic() - began) / 60
                pictures = " + ".join(str(now - then) for now, then in zip(counts, before, strict=True))
                print(
                    f"{since:5.1f} min  step {running.step():6d}  {memory[-1] / 1e6:6.0f} MB  {pictures} pictures",
                    flush=True,
                )
                before = counts
    return memory, fewest


def checkpoint(folder: Path) -> dict[str, torch.Tensor]:
    """The model's tensors in the last checkpoint below a folder."""
    path = max(folder.rglob("step-*.ckpt"))
    return torch.load(path, map_location="cpu", weights_only=False)["pipeline"]  # our own, just written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--iterations", type=int, default=12_000)
    parser.add_argument("--minutes", type=float, default=1.0)
    arguments = parser.parse_args()
    executable = find_chromium()
    assert executable is not None, "no chromium on the PATH"
    capture, output = arguments.capture.resolve(), arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    words = ("macro-splat", "--data", capture, "--max-num-iterations", arguments.iterations, "--report", False)
    failures = []

    began = time.monotonic()
    with sync_playwright() as playwright:
        chromium = start_chromium(playwright, executable)
        folder = ("--output-dir", output / "watched", "--vis", "viewer", "--viewer.quit-on-train-completion", True)
        with watched("ns-train", *words, *folder, cwd=output, log=output / "watched.log") as running:
            memory, fewest = watch(running, chromium, arguments.minutes)
            code, said = running.process.wait(), running.output()
        chromium.close()
    print(f"watched: {(time.monotonic() - began) / 60:.1f} min")
    if code != 0 or "Traceback" in said:
        failures.append(f"the training ended with {code}: {said[-2000:]}")
    if min(fewest, default=0) == 0:
        failures.append(f"a browser got no picture for {arguments.minutes:g} min: {fewest}")
    later = memory[len(memory) // 2 :]
    growth = max(later) / later[0] - 1 if later else float("inf")
    print(f"memory over the second half: {growth:+.1%}")
    if growth > MOST_GROWTH:
        failures.append(f"memory grew by {growth:.1%}")

    alone = run(
        "ns-train",
        *words,
        "--output-dir",
        output / "alone",
        "--vis",
        "tensorboard",
        cwd=output,
        log=output / "alone.log",
    )
    print(f"alone: {alone.seconds / 60:.1f} min")
    ours, theirs = checkpoint(output / "watched"), checkpoint(output / "alone")
    differ = [name for name in theirs if name not in ours or not torch.equal(ours[name], theirs[name])]
    print(f"{len(theirs)} tensors of the model, {len(differ)} differ")
    if differ or len(ours) != len(theirs):
        failures.append(f"the viewer changed the model: {differ[:5]}")
    print("\n".join(failures) or "all well")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
