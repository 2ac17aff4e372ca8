"""What a large campaign takes: `python -m tests.performance.campaign_estimate` prints the tables of assets/campaign.md.

Time is simulated: GPUs take specimens from one queue, trainings break off at random times (a process dies: a constant
rate; a machine dies: all its GPUs stop and come back later) and go on from their last checkpoint. Bytes are counted.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from dataclasses import dataclass, replace

SH_DEGREE = 3
PARAMETERS = 3 + 3 + 4 + 1 + 3 * (SH_DEGREE + 1) ** 2
"""Of a Gaussian: mean, scale, rotation, opacity, colour."""
CHECKPOINT_BYTES = 3 * 4 * PARAMETERS
"""Of a Gaussian: parameters and Adam's two moments in float32."""
SPLAT_BYTES = 4 * (PARAMETERS + 3) + 32 + 24
"""Of a Gaussian in the three files of an export: .ply (with normals), .splat, .spz (about, for it is compressed)."""


@dataclass(frozen=True)
class Plan:
    """What is to be done, with what."""

    specimens: int = 10_000
    """How many."""
    gpus: int = 64
    """In all."""
    gpus_per_machine: int = 8
    """Which stop together."""
    train_hours: float = 2.0
    """Of an undisturbed training."""
    after_minutes: float = 5.0
    """Export and report, on the same GPU."""
    process_cpu_hours: float = 1.0
    """Of the processing of a specimen's photographs, on CPUs beside the trainings."""
    start_seconds: float = 60.0
    """From the beginning of an attempt to its first step: imports, reading the photographs."""
    iterations: int = 30_000
    """Of a training."""
    steps_per_save: int = 500
    """Between two checkpoints."""
    crash_hours: float = 200.0
    """Of training between two crashes of a single process (memory, drivers), on average."""
    machine_days: float = 30.0
    """Between two failures of a machine, on average."""
    repair_hours: float = 1.0
    """Until a machine is back."""
    bad: float = 0.01
    """Share of specimens that fail at once, for their photographs are broken."""
    photographs: int = 100
    """Of a specimen."""
    photograph_megabytes: float = 20.0
    """A JPEG of 45 megapixels."""
    gaussians: int = 500_000
    """Of a specimen's model."""
    surface_megabytes: float = 60.0
    """Points and mesh of an export."""
    page_megabytes: float = 12.0
    """Report, thumbnail, logs, curves."""
    seed: int = 0
    """Of the failures."""


@dataclass(frozen=True)
class Course:
    """What came of a simulation."""

    hours: float
    """Until the last specimen is done."""
    busy: float
    """Share of the GPUs' time in which they worked."""
    attempts: int
    lost_hours: float
    """Of GPUs, for work that was done again, and starts."""


def simulate(plan: Plan) -> Course:
    """Play a campaign through, from attempt to attempt."""
    rng = random.Random(plan.seed)
    save_hours = plan.train_hours * plan.steps_per_save / plan.iterations
    start = plan.start_seconds / 3600
    good = sum(rng.random() >= plan.bad for _ in range(plan.specimens))
    queue = [plan.train_hours] * good
    """Hours of training that are left."""
    machines = max(1, plan.gpus // plan.gpus_per_machine)
    down = [_until_fault(rng, 24 * plan.machine_days) for _ in range(machines)]
    """When each machine fails next."""
    free = [(0.0, gpu) for gpu in range(plan.gpus)]
    heapq.heapify(free)
    attempts, busy, lost, end = 0, 0.0, 0.0, 0.0
    while queue:
        now, gpu = heapq.heappop(free)
        machine = min(gpu // plan.gpus_per_machine, machines - 1)
        while down[machine] + plan.repair_hours <= now:  # it failed while none of this GPU's work was on it
            down[machine] += plan.repair_hours + _until_fault(rng, 24 * plan.machine_days)
        if down[machine] <= now:
            heapq.heappush(free, (down[machine] + plan.repair_hours, gpu))
            continue
        left = queue.pop()
        attempts += 1
        whole = start + left + plan.after_minutes / 60
        fault = min(now + start + _until_fault(rng, plan.crash_hours), down[machine])
        if fault >= now + whole:
            busy, lost = busy + whole, lost + start
            end = max(end, now + whole)
            heapq.heappush(free, (now + whole, gpu))
            continue
        trained = min(max(0.0, fault - now - start), left)
        kept = trained if trained == left else math.floor(trained / save_hours) * save_hours
        queue.append(left - kept)
        busy, lost = busy + fault - now, lost + fault - now - kept
        heapq.heappush(free, (fault, gpu))
    return Course(end, busy / (end * plan.gpus), attempts, lost)


def _until_fault(rng: random.Random, mean_hours: float) -> float:
    """At a constant rate; infinite = never."""
    return mean_hours if math.isinf(mean_hours) else rng.expovariate(1 / mean_hours)


def time_table(plan: Plan) -> str:
    """Markdown: wall time as failures and the distance of checkpoints change."""
    cases = {
        "no crash, no failing machine": replace(plan, crash_hours=math.inf, machine_days=math.inf),
        "as assumed": plan,
        "crashes ten times as often": replace(plan, crash_hours=plan.crash_hours / 10),
        "machines fail ten times as often": replace(plan, machine_days=plan.machine_days / 10),
        "a checkpoint every 2,000 steps": replace(plan, steps_per_save=2000),
        "the same, crashes ten times as often": replace(plan, steps_per_save=2000, crash_hours=plan.crash_hours / 10),
        "no checkpoints, crashes ten times as often": replace(
            plan, steps_per_save=plan.iterations, crash_hours=plan.crash_hours / 10
        ),
    }
    lines = ["| | wall time | GPUs busy | attempts | GPU time lost |", "|---|---:|---:|---:|---:|"]
    for name, case in cases.items():
        course = simulate(case)
        lines.append(
            f"| {name} | {course.hours / 24:.2f} days | {course.busy:.1%} | {course.attempts:,} "
            f"| {course.lost_hours / (course.busy * course.hours * case.gpus):.2%} |"
        )
    return "\n".join(lines)


def storage_table(plan: Plan) -> str:
    """Markdown: what lies on the disk at the end."""
    megabytes = {
        "photographs": plan.photographs * plan.photograph_megabytes,
        "capture (a copy of the photographs)": plan.photographs * plan.photograph_megabytes,
        "run (two checkpoints)": 2 * plan.gaussians * CHECKPOINT_BYTES / 1e6,
        "export": plan.gaussians * SPLAT_BYTES / 1e6 + plan.surface_megabytes,
        "report, logs, curves": plan.page_megabytes,
    }
    lines = ["| | a specimen | all |", "|---|---:|---:|"]
    for name, size in [*megabytes.items(), ("in all", sum(megabytes.values()))]:
        lines.append(f"| {name} | {size:,.0f} MB | {size * plan.specimens / 1e6:,.1f} TB |")
    return "\n".join(lines)


def network_table(plan: Plan) -> str:
    """Markdown: what goes to and from the storage while the GPUs work, on average over the campaign."""
    course = simulate(plan)
    seconds = course.hours * 3600
    photographs = plan.photographs * plan.photograph_megabytes
    checkpoint = plan.gaussians * CHECKPOINT_BYTES / 1e6
    export = plan.gaussians * SPLAT_BYTES / 1e6 + plan.surface_megabytes
    saves = plan.iterations / plan.steps_per_save
    per_specimen = {
        "photographs read by process": photographs,
        "capture written": photographs,
        "capture read by trainings, exports, reports": photographs * (course.attempts / plan.specimens + 2),
        f"checkpoints written ({saves:,.0f} of each training, growing)": checkpoint * saves * 0.75,
        "runs read by exports and reports": 2 * checkpoint,
        "exports and reports written": export + plan.page_megabytes,
    }
    lines = ["| | a specimen | all | on average |", "|---|---:|---:|---:|"]
    for name, size in [*per_specimen.items(), ("in all", sum(per_specimen.values()))]:
        total = size * plan.specimens
        lines.append(f"| {name} | {size / 1e3:,.1f} GB | {total / 1e6:,.1f} TB | {total / seconds:,.1f} MB/s |")
    return "\n".join(lines)


def cpus_needed(plan: Plan) -> float:
    """CPUs that processing keeps busy beside the trainings, if no GPU is ever to wait for it."""
    return plan.process_cpu_hours * plan.specimens / simulate(plan).hours


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    plan = Plan()
    for name in Plan.__dataclass_fields__:
        value = getattr(plan, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    plan = Plan(**vars(parser.parse_args()))
    print(time_table(plan), storage_table(plan), network_table(plan), sep="\n\n")
    print(f"\nCPUs for processing: {cpus_needed(plan):.0f}")


if __name__ == "__main__":
    main()
