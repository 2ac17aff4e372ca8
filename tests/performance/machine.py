"""The machine that a benchmark ran on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor_name() -> str:
    """Its processor's name and number of threads."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} threads"
    return platform.processor() or platform.machine()
