"""What a campaign costs beside its stages: 100 specimens whose four stages only sleep.

    python -m tests.performance.campaign_overhead [--specimens 100] [--seconds 5] [--slots 20]

Prints the wall time against that of a schedule without any gap: specimens x stages x seconds / slots. Nothing competes
for the processors but the campaign itself, so everything that it does beside sleeping is in the difference: Ray, its
workers' start, locks, supervisors, the books.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from macro_splat.campaign.attempt import Outcome
from macro_splat.campaign.driver import Campaign, CampaignProgress, Flight
from macro_splat.campaign.page import write_overview
from macro_splat.campaign.ray_cluster import connected
from macro_splat.campaign.specimen import Specimen, find_specimens
from macro_splat.campaign.stages import Stage

STAGES = ("process", "train", "export", "report")


@dataclass(frozen=True)
class Sleep:
    """Sleeps, then leaves its result."""

    name: str
    seconds: float
    cpus: float
    gpus: float = 0.0

    def finished(self, specimen: Specimen) -> bool:
        return (specimen.folder / f"{self.name}.result").is_file()

    def command(self, specimen: Specimen) -> list[str]:
        return ["/bin/sh", "-c", f"sleep {self.seconds} && : > {self.name}.result"]


class Silent:
    """A view that shows nothing, and notes when the first stage has ended: then the workers are there."""

    first: float | None = None

    def event(self, flight: Flight, outcome: Outcome, again: bool) -> None:
        if self.first is None:
            self.first = time.monotonic()

    def show(self, progress: CampaignProgress, *, last: bool = False) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--specimens", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each stage")
    parser.add_argument("--slots", type=int, default=20, help="stages that run at once")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, connected(None) as ray:
        base = Path(folder)
        for i in range(options.specimens):
            (base / "in" / f"{i:04d}").mkdir(parents=True)
        cpus = ray.cluster_resources()["CPU"] / options.slots
        stages: list[Stage] = [Sleep(name, options.seconds, int(cpus * 1e4) / 1e4) for name in STAGES]
        view = Silent()
        specimens = find_specimens(base / "in", base / "out")
        campaign = Campaign(ray, specimens, stages, view, retries=0, grace_s=5)
        start, start_cpu = time.monotonic(), time.process_time()
        campaign.run()
        wall, cpu = time.monotonic() - start, time.process_time() - start_cpu
        begun = time.monotonic()
        write_overview(base / "out", campaign.states, stages)
        overview = time.monotonic() - begun
        assert all(state.status == "done" for state in campaign.states)
        seconds = [attempt.seconds for state in campaign.states for attempt in state.attempts]
    slept = len(STAGES) * options.specimens * options.seconds
    ideal = slept / options.slots
    first = (view.first or start) - start - options.seconds
    print(f"{options.specimens} specimens, {len(STAGES)} stages of {options.seconds:g} s, {options.slots} at once")
    print(f"load of the machine before: {os.getloadavg()[2]:.1f} on {os.cpu_count()} processors")
    print(f"without gaps {ideal:.1f} s, taken {wall:.1f} s: {wall / ideal - 1:.1%} more")
    print(f"of that until the first worker was there {first:.1f} s; without it {(wall - first) / ideal - 1:.1%} more")
    print(f"an attempt takes {1000 * (sum(seconds) / len(seconds) - options.seconds):.0f} ms more than its command")
    print(f"the driver uses {1000 * cpu / len(seconds):.1f} ms of processor time per attempt")
    print(f"page and table of {options.specimens}: {1000 * overview:.0f} ms")


if __name__ == "__main__":
    main()
