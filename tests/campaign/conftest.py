"""A real Ray cluster on this machine, for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from macro_splat.campaign.ray_cluster import ENVIRONMENT

os.environ.update(ENVIRONMENT)  # read when Ray is imported and when its daemons start
CPUS = 2
"""Of a node."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A head with `CPUS`, which drivers attach to; tests add other nodes."""
    utils = pytest.importorskip("ray.cluster_utils", reason='campaigns need Ray: pip install "macro-splat[campaign]"')
    cluster = utils.Cluster()
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
