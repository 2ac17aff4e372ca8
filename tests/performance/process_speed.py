"""How many photographs `macro-splat process` does in a second, and how much memory it takes.

    python -m tests.performance.process_speed                        # 200 photographs of 24 megapixels, poses by a rig
    python -m tests.performance.process_speed --sfm-photographs 20   # and some with poses by structure from motion
    python -m tests.performance.process_speed --photographs 0 --stacks 20   # focus stacks of 10 slices, poses by a rig

Photographs are made for it in a temporary folder (2 GB for 200), which is removed in the end. Every run is a process of
its own; CPU seconds are those of all its threads.
"""

from __future__ import annotations

import json
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tyro
from PIL import Image, ImageFilter
from rich.table import Table

from macro_splat.process.geometry import look_at_pose
from tests.performance.machine import processor_name
from tests.performance.tables import to_markdown

VIEWS_MADE = 8
"""So many pictures are made; the others of a turntable are these again, under other names and with other comments."""
RADIUS_MM, FOCAL_LENGTH_MM, SENSOR_MM, BALL_MM = 150.0, 50.0, 36.0, 20.0
RENDERED_WIDTH = 1500
"""Pictures are rendered at this width and enlarged."""
SLICES, STEP_MM, BLUR_PX = 10, 3.0, 2.0
"""Of a focus stack, which passes through the front half of the ball; pixels of the rendered picture for each step."""


def main(
    photographs: int = 200, megapixels: float = 24.0, threads: int = 0, sfm_photographs: int = 0, stacks: int = 0
) -> None:
    """Make photographs, process them, print a table.

    Args:
        photographs: with poses by a rig; 0: no such run.
        megapixels: of each photograph, of shape 3:2.
        threads: as `--threads`; 0: not given.
        sfm_photographs: with poses by structure from motion; 0: no such run.
        stacks: poses of SLICES photographs each, by a rig; 0: no such run.
    """
    width = round((megapixels * 1.5e6) ** 0.5)
    size = (width, round(width / 1.5))
    limit = ["--threads", str(threads)] if threads else []
    table = Table(title=f"macro-splat process, {size[0]}×{size[1]} JPEG, {processor_name()}")
    for heading in ("run", "photographs", "s", "per s", "CPU s", "peak MB"):
        table.add_column(heading, justify="left" if heading == "run" else "right")
    with tempfile.TemporaryDirectory(prefix="process_speed_") as name:
        folder = Path(name)
        if photographs:
            make_turntable(folder / "card", photographs, size, VIEWS_MADE)
            by_rig = [folder / "card", folder / "out", "--rig", write_rig(folder, photographs), *limit]
            _measure(table, "rig", photographs, by_rig)
            _measure(table, "the same again", photographs, by_rig)
            _measure(table, "then reduced to 1600 px", photographs, [*by_rig, "--max-image-edge", "1600"])
        if stacks:
            make_turntable(folder / "stacks", stacks, size, 2, SLICES)
            by_rig = [folder / "stacks", folder / "out_stacks", "--rig", write_rig(folder, stacks, SLICES), *limit]
            _measure(table, f"{stacks} stacks of {SLICES}, rig", stacks * SLICES, by_rig)
        if sfm_photographs:
            make_turntable(folder / "orbit", sfm_photographs, size, sfm_photographs)
            by_sfm = [folder / "orbit", folder / "out_sfm", *limit]
            _measure(table, "structure from motion", sfm_photographs, by_sfm)
    print(to_markdown(table))


def write_rig(folder: Path, poses: int, slices: int = 1) -> Path:
    """The rig.yaml of `make_turntable`."""
    text = (
        f"turntable: {{radius_mm: {RADIUS_MM}, steps: {poses}, direction: cw, tilts: [25]}}\n"
        f"lens: {{focal_length_mm: {FOCAL_LENGTH_MM}, f_number: 8, sensor_width_mm: {SENSOR_MM}, breathing: false, "
        f"focus_distance_mm: {RADIUS_MM - BALL_MM / 2}}}\n"
    )
    if slices > 1:
        text += f"stack: {{motion: ring, slices: {slices}, first: near, step_mm: {STEP_MM}}}\n"
    path = folder / f"rig_{slices}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _measure(table: Table, what: str, count: int, arguments: list[object]) -> None:
    program = Path(sys.executable).with_name("macro-splat")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    done = subprocess.run([program, "process", *map(str, arguments)], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - start
    if done.returncode:
        raise SystemExit(f"process ended with exit code {done.returncode}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    out = Path(str(arguments[1]))
    record = json.loads((out / "process.json").read_text())
    used = sum(photograph["used"] for photograph in record["photographs"])
    print(f"{what}: {used} of {count} used, {record['seconds']}", file=sys.stderr)
    row = (f"{seconds:.0f}", f"{count / seconds:.2f}", f"{cpu:.0f}", f"{record['peak_memory_mb']:.0f}")
    table.add_row(what, str(count), *row)


def make_turntable(folder: Path, count: int, size: tuple[int, int], made: int, slices: int = 1) -> None:
    """JPEG photographs of a ball of unique texture, with grain, from a ring of `count` poses.

    Of focus stacks every slice is blurred as a whole, more the farther it is from the middle one: as much work as any.
    """
    folder.mkdir()
    rng = np.random.default_rng(0)
    waves = rng.normal(size=(48, 3)) * rng.uniform(0.2, 3.0, (48, 1))
    phases = rng.uniform(0, 2 * np.pi, 48)
    grain = rng.integers(0, 8, (size[1], size[0], 1), dtype=np.uint8)
    names = [
        [f"pose{i:04d}_slice{k:02d}.jpg" if slices > 1 else f"{i:04d}.jpg" for k in range(slices)] for i in range(count)
    ]
    for i in range(min(made, count)):
        rendered = Image.fromarray(_render(look_at_pose(360.0 * i / count, 25.0, RADIUS_MM), waves, phases))
        for k, name in enumerate(names[i]):
            blurred = rendered.filter(ImageFilter.GaussianBlur(BLUR_PX * abs(k - slices // 2)))
            picture = blurred.resize(size, Image.Resampling.BILINEAR)
            pixels = np.asarray(picture) + np.roll(grain, 97 * (i * slices + k), axis=1)
            Image.fromarray(pixels).save(folder / name, quality=92)
    for i in range(made, count):
        for original, name in zip(names[i % made], names[i], strict=True):
            data = (folder / original).read_bytes()
            comment = f"photograph {name}".encode()
            marker = b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment
            (folder / name).write_bytes(data[:2] + marker + data[2:])


def _render(pose: np.ndarray, waves: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """The ball [H, W, 3] before a dark ground, seen by a pinhole."""
    width, height = RENDERED_WIDTH, round(RENDERED_WIDTH / 1.5)
    image_distance = FOCAL_LENGTH_MM * RADIUS_MM / (RADIUS_MM - FOCAL_LENGTH_MM)
    focal_px = image_distance / SENSOR_MM * width
    u, v = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    rays = np.stack([u / focal_px, -v / focal_px, -np.ones_like(u)], axis=-1) @ pose[:3, :3].T
    origin = pose[:3, 3]
    a, b = (rays**2).sum(-1), rays @ origin
    root = b**2 - a * (origin @ origin - BALL_MM**2)
    hit = root > 0
    points = origin + ((-b[hit] - np.sqrt(root[hit])) / a[hit])[:, None] * rays[hit]
    picture = np.full((height, width, 3), 12.0)
    for channel in range(3):
        own = slice(16 * channel, 16 * channel + 16)
        picture[hit, channel] = 128 + 22 * np.sin(points @ waves[own].T + phases[own]).sum(axis=1)
    return np.clip(picture, 0, 247).astype(np.uint8)


if __name__ == "__main__":
    tyro.cli(main)
