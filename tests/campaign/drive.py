"""A driver as a process of its own: `python -m tests.campaign.drive ADDRESS SPECIMENS OUT SECONDS`."""

import signal
import sys
from pathlib import Path

from macro_splat.campaign.config import CampaignConfig
from macro_splat.campaign.start import start
from macro_splat.compat import one_line_errors
from tests.campaign.fake_stages import FakeStage

STAGES = ("train", "export")


def main() -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it for jobs in the background
    address, specimens, out, seconds = sys.argv[1:]
    one_line_errors.install()
    stages = [FakeStage(name, float(seconds)) for name in STAGES]
    return start(CampaignConfig(Path(specimens), Path(out), address=address, grace=5.0), stages)


if __name__ == "__main__":
    sys.exit(main())
