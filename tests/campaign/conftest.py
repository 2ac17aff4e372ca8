"""A real Ray cluster of several nodes on this machine, for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray = pytest.importorskip("ray", reason='campaigns need Ray: pip install "macro-splat[campaign]"')
WORKERS, CPUS = 2, 2


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A head without CPUs, which drivers attach to, and `WORKERS` nodes with `CPUS` each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    add_node(cluster, 0)
    for _ in range(WORKERS):
        add_node(cluster, CPUS)
    yield cluster
    cluster.shutdown()


def add_node(cluster: Any, cpus: int) -> Any:
    return cluster.add_node(num_cpus=cpus, include_dashboard=False, object_store_memory=80 << 20)
