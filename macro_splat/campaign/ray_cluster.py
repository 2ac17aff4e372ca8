"""Ray: started on this machine, or a cluster that is there; and what its machines have."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from macro_splat.campaign.stages import Stage
from macro_splat.errors import MacroSplatError
from macro_splat.utils.messages import reason

OBJECT_STORE_BYTES = 80 << 20
"""Ray's least: no data pass through it."""
DEFAULT_CPUS = 4.0
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # by default a training would give way to every other program of the machine
    "RAY_worker_register_timeout_seconds": "600",  # to come up, which takes long on a busy machine; Ray's 60 are final
}
"""Of a Ray that is started here."""


@dataclass(frozen=True)
class Node:
    """What a machine offers."""

    cpus: float
    gpus: float

    def slots(self, stage: Stage) -> int:
        """How many attempts at a stage fit at once."""
        per = [have // need for have, need in ((self.cpus, stage.cpus), (self.gpus, stage.gpus)) if need > 0]
        return int(min(per, default=0))


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Give the module ray, connected to a cluster, or to one on this machine that ends with this process.

    The local one has no dashboard, listens on localhost only and sends no usage statistics.

    Raises:
        MacroSplatError: Ray is not installed, cannot be started, or there is no cluster.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise MacroSplatError('campaigns run on Ray, which is missing: pip install "macro-splat[campaign]"') from error
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        options |= {"address": "local", "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        options |= {"object_store_memory": OBJECT_STORE_BYTES}
    else:
        options["address"] = address
    _start(ray, options)
    try:
        yield ray
    finally:
        ray.shutdown()


def _start(ray: Any, options: dict[str, Any]) -> None:
    local = options["address"] == "local"
    tries = 3 if local else 1  # Ray gives its helpers 15 s to come up, which a busy machine may exceed
    for remaining in range(tries - 1, -1, -1):
        try:
            ray.init(**options)
            return
        except Exception as error:  # Ray raises plain ones, too
            ray.shutdown()
            if remaining == 0:
                what = "Ray does not start here" if local else f"--address {options['address']}: no Ray cluster there"
                raise MacroSplatError(
                    f"{what} ({reason(error, 200)}); try again, or see Ray's logs in /tmp/ray"
                ) from error


def nodes(ray: Any) -> list[Node]:
    """Return the machines that are there now."""
    alive = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return [Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0)) for resources in alive]


def is_alive_here(ray: Any) -> bool:
    """Ray's daemon on this machine, without which a driver gets nothing done, has not died."""
    own = ray.get_runtime_context().get_node_id()
    return any(node["Alive"] and node["NodeID"] == own for node in ray.nodes())


def chosen_resources(ray: Any, cpus: float | None, gpus: float | None) -> tuple[float, float]:
    """CPUs and GPUs of an attempt: those asked for, or what suits the machines.

    Raises:
        MacroSplatError: no machine has so many.
    """
    machines = nodes(ray)
    if gpus is None:
        gpus = 1.0 if any(node.gpus >= 1 for node in machines) else 0.0
    able = [node for node in machines if node.gpus >= gpus]
    if not able:
        most = max((node.gpus for node in machines), default=0)
        raise MacroSplatError(f"--gpus {gpus:g}: no machine has so many; the best has {most:g}")
    most = max(node.cpus for node in able)
    if cpus is None:
        cpus = min(DEFAULT_CPUS, most)
    if cpus > most or cpus <= 0:
        raise MacroSplatError(f"--cpus {cpus:g}: must be more than 0 and at most {most:g}, which the best machine has")
    return cpus, gpus


def width(machines: Sequence[Node], stages: Sequence[Stage]) -> int:
    """How many specimens are under way at once: twice as many as can be worked on, so that no machine ever waits for
    the driver, and few enough that the first are finished before the last are begun."""
    return max(2, 2 * max((sum(node.slots(stage) for node in machines) for stage in stages), default=1))
