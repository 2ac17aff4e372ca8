"""The four true stages on a tiny capture, as the command line starts them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from macro_splat.campaign.config import CampaignConfig
from macro_splat.campaign.start import start
from tests.captures import write_capture

STEPS = 150


def test_capture_to_report(cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specimens, out = tmp_path / "in", tmp_path / "out"
    write_capture(specimens / "ball", views=6)
    (specimens / "no photographs").mkdir()
    config = CampaignConfig(
        specimens,
        out,
        iterations=STEPS,
        address=cluster.address,
        cpus=1,
        train_options="--pipeline.model.num-init-gaussians 300",
    )
    assert start(config) == 1
    assert "failed: no photographs: process: error: " in capsys.readouterr().out

    folder = out / "ball"
    assert not (folder / "capture").exists()
    assert json.loads((folder / "splats" / "export.json").read_text())["unit"] == "mm"
    assert "<title>Training ball</title>" in (folder / "report.html").read_text(encoding="utf-8")
    ball, other = csv.DictReader((out / "campaign.csv").open(encoding="utf-8"))
    assert (ball["status"], other["status"]) == ("done", "failed")
    assert (ball["photographs"], ball["steps"], ball["attempts"]) == ("6", str(STEPS), "3")
    assert 5 < float(ball["held_out_truth_psnr"]) < 60
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 1
