"""A real Ray cluster on this machine, for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray = pytest.importorskip("ray", reason='campaigns need Ray: pip install "macro-splat[campaign]"')
CPUS = 2
"""Of a node."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A head with `CPUS`, which drivers attach to; tests add other nodes."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    add_node(cluster)
    yield cluster
    cluster.shutdown()


def add_node(cluster: Any) -> Any:
    return cluster.add_node(
        num_cpus=CPUS,
        include_dashboard=False,
        include_log_monitor=False,
        no_monitor=True,
        object_store_memory=80 << 20,
    )
