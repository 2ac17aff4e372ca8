"""The calculation for large campaigns against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.performance.campaign_estimate import (
    CHECKPOINT_BYTES,
    Plan,
    network_table,
    simulate,
    storage_table,
    time_table,
)

CALM = replace(Plan(), crash_hours=math.inf, machine_days=math.inf, bad=0.0)
WHOLE = CALM.train_hours + CALM.start_seconds / 3600 + CALM.after_minutes / 60


def test_without_faults_specimens_come_in_waves() -> None:
    course = simulate(replace(CALM, specimens=130, gpus=64))
    assert course.attempts == 130
    assert course.hours == pytest.approx(3 * WHOLE)
    assert course.busy == pytest.approx(130 / 192)


def test_crashes_cost_half_a_checkpoint_and_a_start() -> None:
    """Of an exponential time to the next crash; steps between checkpoints are short against it."""
    plan = replace(CALM, specimens=20_000, crash_hours=10.0)
    calm, course = simulate(replace(CALM, specimens=20_000)), simulate(plan)
    crashes = course.attempts - 20_000
    assert crashes == pytest.approx(20_000 * (WHOLE - CALM.start_seconds / 3600) / 10.0, rel=0.03)
    save_hours = plan.train_hours * plan.steps_per_save / plan.iterations
    # A crash after the training, in export or report, loses half of that on average.
    after, train = plan.after_minutes / 60, plan.train_hours
    each = plan.start_seconds / 3600 + (train * save_hours / 2 + after * after / 2) / (train + after)
    assert (course.lost_hours - calm.lost_hours) / crashes == pytest.approx(each, rel=0.05)


def test_machines_that_fail_take_their_gpus_along() -> None:
    plan = replace(CALM, specimens=2_000, machine_days=2.0, repair_hours=12.0)
    course = simulate(plan)
    assert course.busy == pytest.approx(48 / (48 + 12), abs=0.06)  # up to down
    assert course.attempts > 2_000


def test_tables_count_bytes() -> None:
    plan = replace(Plan(), specimens=10, gaussians=1_000_000, gpus=2)
    assert CHECKPOINT_BYTES == 3 * 4 * (3 + 3 + 4 + 1 + 48)
    assert "| run (two checkpoints) | 1,416 MB |" in storage_table(plan)
    assert "| photographs read by process | 2.0 GB |" in network_table(plan)
    assert time_table(plan).count("days") == 7
