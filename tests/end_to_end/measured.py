"""Runs one command and reports its own time and memory: `python measured.py REPORT COMMAND...`.

A process of its own because the system counts, as a command's peak memory, that of the process which started it too:
this one is small, a test or a benchmark with torch in it is not.
"""

import json
import os
import subprocess
import sys
import time


def main(report: str, *command: str) -> int:
    """Run it, write `{"seconds", "peak_bytes"}` to the report, return its exit code (128 + N if signal N ended it)."""
    began = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    figures = {"seconds": time.perf_counter() - began, "peak_bytes": usage.ru_maxrss * unit}
    with open(report, "w", encoding="utf-8") as file:
        json.dump(figures, file)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
