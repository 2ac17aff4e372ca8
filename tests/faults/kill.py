"""Kills our commands at random moments and looks at what they leave and whether the same command then succeeds.

    python tests/faults/kill.py [--moments 50] [--seed N] [--jobs 2] [--only KIND...] [--markdown FILE]

Kinds: train process export render report deblur. Each command runs once undisturbed, which gives its length and its
result. Then, for each moment, it is started anew in a folder of its own and killed with SIGKILL: every second time
anywhere in its run, else within the part of it in which files are written; in half of the cases with its whole process
group, else alone, as the kernel does when memory runs out. After the kill every file with a final name is read to its
end; then the same command is run again (a training with --load-dir where there is a checkpoint, or its report alone
where that is the last one; others with --overwrite where they had finished already), which has to end well, to leave
no temporary file, and to come to the undisturbed result: for a training the same parameters to the last bit. Exit
code 1 if anything failed.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's idle threads must not spin while ours work
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from macro_splat.compat import checkpoints
from tests.captures import write_capture
from tests.end_to_end.outputs import read_video
from tests.faults.whole import check_tree, leftovers

STEPS = 400
SAVE_EVERY = 25
FRAMES = 10
BIN = Path(sys.executable).parent
RIG = """\
turntable: {radius_mm: 120, steps: 12, direction: cw, tilts: [30]}
lens: {focal_length_mm: 50, f_number: 4, focus_distance_mm: 115, sensor_width_mm: 22}
"""


@dataclass(frozen=True)
class Kind:
    """A command that is killed."""

    name: str
    command: Callable[[Path], list[object]]
    """Its words, for a folder of its own in which it writes `out`."""
    again: Callable[[Path], list[object]]
    """The words with which it is started after having been killed."""
    differs: Callable[[Path, Path], str | None]
    """What is different in two folders in which it ran to its end."""
    logs: tuple[str, ...] = ()
    """Names of folders with working state, whose files need not be whole."""


@dataclass
class Tally:
    """What happened to one kind."""

    kills: int = 0
    too_late: int = 0
    found: int = 0
    """Leftovers after the kills."""
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Moment:
    """When a command is to die, and with whom."""

    number: int
    seconds: float
    group: bool


# -- the commands --------------------------------------------------------------------------------------------------


def kinds(base: Path) -> Iterator[Kind]:
    """All kinds, on captures and a training that are made in a folder when the first needs them."""
    capture = write_capture(base / "capture", views=8, width=32, height=24, points=200)
    photographs = write_capture(base / "card", views=12, test_views=0, points=None, width=64, height=48) / "images"
    rig = base / "rig.yaml"
    rig.write_text(RIG)

    def train(folder: Path) -> list[object]:
        words = ["ns-train", "macro-splat", "--data", capture, "--output-dir", folder / "out", "--timestamp", "run"]
        words += ["--pipeline.model.num-init-gaussians", 200, "--vis", "tensorboard", "--max-num-iterations", STEPS]
        return [*words, "--steps-per-save", SAVE_EVERY]

    def train_on(folder: Path) -> list[object]:
        models = models_of(folder)
        if (models / f"step-{STEPS - 1:09d}.ckpt").exists():  # all that is missing may be the report
            return ["macro-splat", "report", folder / "out", "--overwrite"]
        return train(folder) + (["--load-dir", models] if any(models.glob("*.ckpt")) else [])

    yield Kind("train", train, train_on, trainings_differ)

    def process(folder: Path) -> list[object]:
        return ["macro-splat", "process", photographs, folder / "out", "--rig", rig, "--threads", 1]

    yield Kind(
        "process", process, process, lambda a, b: trees_differ(a, b, but=("process.json", "report.html", ".process"))
    )

    run = base / "train"  # which is there already if trainings were killed before
    if not run.is_dir():
        run.mkdir()
        finish(train(run), base / "train.log")

    def writes(output: str, *words: object) -> tuple[Callable[[Path], list[object]], Callable[[Path], list[object]]]:
        def command(folder: Path) -> list[object]:
            return [word if word != "OUT" else folder / output for word in words]

        def again(folder: Path) -> list[object]:
            return command(folder) + (["--overwrite"] if (folder / output).exists() else [])

        return command, again

    size = ("--width", 32, "--height", 24, "--fps", FRAMES, "--seconds", 1)
    yield Kind("export", *writes("out", "macro-splat", "export", run, "OUT"), trees_differ)
    words = writes("orbit.mp4", "macro-splat", "render", run, "orbit", "--output", "OUT", *size)
    yield Kind("render", *words, films_differ)
    yield Kind("report", *writes("page.html", "macro-splat", "report", run, "--output", "OUT"), pages_differ)
    yield Kind("deblur", *writes("out", "macro-splat", "deblur", run, "OUT"), trees_differ)


def models_of(folder: Path) -> Path:
    return folder / "out/capture/macro-splat/run/nerfstudio_models"


def trainings_differ(a: Path, b: Path) -> str | None:
    checkpoints.allow_numpy_scalars()
    name = f"step-{STEPS - 1:09d}.ckpt"
    one, two = (torch.load(models_of(folder) / name, weights_only=True, map_location="cpu") for folder in (a, b))
    different = [key for key in one["pipeline"] if not torch.equal(one["pipeline"][key], two["pipeline"][key])]
    return f"{len(different)} parameters differ: {different[0]}" if different else None


def trees_differ(a: Path, b: Path, but: tuple[str, ...] = ()) -> str | None:
    """Files that are not the same bytes; those named in `but`, or in a folder of that name, hold times."""
    names = []
    for folder in (a, b):
        files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        names.append(sorted(str(file) for file in files if not set(file.parts) & set(but)))
    if names[0] != names[1]:
        return f"other files: {sorted(set(names[0]) ^ set(names[1]))[:3]}"
    different = [name for name in names[0] if not filecmp.cmp(a / name, b / name, shallow=False)]
    return f"{different[0]} has another content" if different else None


def pages_differ(a: Path, b: Path) -> str | None:
    """Only their pictures are compared: what was measured in time differs from run to run."""
    counts = [(folder / "page.html").read_text(encoding="utf-8").count("data:image/") for folder in (a, b)]
    return None if counts[0] == counts[1] > 0 else f"{counts} pictures"


def films_differ(a: Path, b: Path) -> str | None:
    counts = [len(read_video(folder / "orbit.mp4")) for folder in (a, b)]
    return None if counts[0] == counts[1] == FRAMES else f"{counts} frames"


# -- killing -------------------------------------------------------------------------------------------------------


def start(words: Sequence[object], log: Path) -> subprocess.Popen[bytes]:
    program, *rest = words
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(BIN / str(program)), *map(str, rest)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=log.parent,
        )


def finish(words: Sequence[object], log: Path) -> float:
    """Run a command to its end; its wall seconds.

    Raises:
        AssertionError: it failed.
    """
    begun = time.monotonic()
    code = start(words, log).wait()
    output = log.read_text(encoding="utf-8", errors="replace")
    assert code == 0, f"exit code {code}: {output.strip().splitlines()[-1:]}"
    assert "Traceback" not in output, "a traceback in its output"
    return time.monotonic() - begun


def first_file_after(folder: Path, begun: float) -> float:
    """Seconds from a time of the clock to the first file that was written below a folder."""
    return max(min(path.stat().st_mtime for path in folder.rglob("*") if path.is_file()) - begun, 0.0)


def die_once(kind: Kind, moment: Moment, reference: Path, folder: Path, tally: Tally) -> str:
    """Kill the command at a moment, run it again, and judge; what happened, in a few words.

    Raises:
        AssertionError: something is not as it must be.
    """
    folder.mkdir()
    process = start(kind.command(folder), folder.with_suffix(".killed.log"))
    try:
        process.wait(moment.seconds)
        tally.too_late += 1
        what = "had ended before"
    except subprocess.TimeoutExpired:
        (os.killpg if moment.group else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        tally.kills += 1
        what = "killed with its group" if moment.group else "killed alone"
    whole, left = check_tree(folder, but=kind.logs), leftovers(folder)
    tally.found += len(left)
    finish(kind.again(folder), folder.with_suffix(".again.log"))
    check_tree(folder, but=kind.logs)
    assert not leftovers(folder), f"left behind after the second run: {leftovers(folder)}"
    difference = kind.differs(reference, folder)
    assert difference is None, f"another result than undisturbed: {difference}"
    return f"{what}; {whole} whole files, {len(left)} unfinished"


def kill_often(kind: Kind, moments: int, rng: random.Random, base: Path, jobs: int = 1) -> Tally:
    """Kill one kind of command so many times; prints a line for each."""
    reference = base / kind.name
    reference.mkdir()
    begun = time.time()
    length = finish(kind.command(reference), base / f"{kind.name}.log")
    writing = first_file_after(reference, begun)
    check_tree(reference, but=kind.logs)
    print(f"{kind.name}: {length:.1f} s undisturbed, files from {writing:.1f} s on", flush=True)
    length *= 1.0 if jobs == 1 else 1.2  # they disturb each other
    plan = [Moment(i, rng.uniform(writing if i % 2 else 0.0, length), rng.random() < 0.5) for i in range(moments)]
    tally = Tally()

    def one(moment: Moment) -> None:
        folder = base / f"{kind.name}-{moment.number}"
        head = f"{kind.name} {moment.number + 1}/{moments} at {moment.seconds:.2f} s:"
        try:
            print(head, die_once(kind, moment, reference, folder, tally), flush=True)
        except AssertionError as fault:
            tally.faults.append(f"{head} {fault}")
            print(head, "FAULT", fault, flush=True)
        else:
            shutil.rmtree(folder)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, plan))
    return tally


def table(tallies: dict[str, Tally]) -> str:
    """Markdown."""
    lines = ["| command | kills | ended before | unfinished files removed | faults |", "|---|---|---|---|---|"]
    for name, t in tallies.items():
        lines.append(f"| {name} | {t.kills} | {t.too_late} | {t.found} | {len(t.faults)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=50, help="kills of each command")
    parser.add_argument("--seed", type=int, default=None, help="of the moments; by default another one each time")
    parser.add_argument("--jobs", type=int, default=1, help="commands that run at once")
    parser.add_argument("--only", nargs="+", default=None, metavar="KIND")
    parser.add_argument("--markdown", type=Path, default=None, help="file for the table")
    options = parser.parse_args()
    seed = random.randrange(1 << 31) if options.seed is None else options.seed
    print(f"seed {seed}")
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory(prefix="macro-splat-kill-") as folder:
        for kind in kinds(Path(folder)):
            if options.only is None or kind.name in options.only:
                rng = random.Random(f"{seed} {kind.name}")  # the moments of one do not depend on which others run
                tallies[kind.name] = kill_often(kind, options.moments, rng, Path(folder), options.jobs)
    print(table(tallies))
    faults = [fault for tally in tallies.values() for fault in tally.faults]
    print("\n".join(faults) or "no fault")
    if options.markdown is not None:
        options.markdown.write_text(f"{table(tallies)}\n", encoding="utf-8")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
