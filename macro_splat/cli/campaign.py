"""`macro-splat campaign`: every specimen of a folder, from photographs to report, on one machine or a cluster."""

from __future__ import annotations

from macro_splat.campaign.config import CampaignConfig


def campaign(config: CampaignConfig) -> int:
    """Process, train, export and report every specimen of a folder, on Ray: on this machine, or on a cluster.

    The same command again does what is missing, and tries again what failed. Ctrl-C ends it; trainings under way keep
    a checkpoint, from which they go on. On a cluster both folders must have the same paths on all machines.
    """
    from macro_splat.campaign.start import start

    return start(config)
