"""A specimen: where its photographs are, and where everything of it is written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from macro_splat.errors import MacroSplatError

TRANSFORMS = "transforms.json"
INDEX, TABLE, OPTIONS, LOCK = "index.html", "campaign.csv", "campaign.json", ".lock"
"""What a campaign writes beside the specimens' folders; the lock is in each of these, too."""


@dataclass(frozen=True)
class Specimen:
    """Paths are absolute, and mean the same on every machine of a cluster."""

    name: str
    source: Path
    """Folder of its photographs, or of a capture; only ever read."""
    folder: Path
    """Everything of it is written here."""

    @property
    def is_capture(self) -> bool:
        """It trains as it is; other photographs are processed first."""
        return (self.source / TRANSFORMS).is_file()

    @property
    def capture(self) -> Path:
        """What is trained on."""
        return self.source if self.is_capture else self.folder / "capture"

    @property
    def run(self) -> Path:
        """The training's folder; nerfstudio makes it of three names."""
        return self.folder / "run" / "macro-splat" / "training"

    @property
    def splats(self) -> Path:
        """Folder of the export."""
        return self.folder / "splats"

    @property
    def lock(self) -> Path:
        """Held by the one attempt that works on it, and by its processes."""
        return self.folder / LOCK

    def log(self, stage: str, number: int) -> Path:
        """Return the file for what an attempt's command prints."""
        return self.folder / f"{stage}-{number}.log"

    def attempts(self, stage: str) -> int:
        """Return the number of the last attempt at a stage that was ever begun, 0 if none was."""
        numbers = (path.stem.removeprefix(f"{stage}-") for path in self.folder.glob(f"{stage}-*.log"))
        return max((int(number) for number in numbers if number.isdecimal()), default=0)


def find_specimens(folder: Path, out: Path) -> list[Specimen]:
    """Every folder in a folder, by name; hidden ones and the campaign's own are left out.

    Raises:
        MacroSplatError: there is none, or the folder is itself a capture, or a name is needed for something else.
    """
    folder, out = Path(os.path.abspath(folder)), Path(os.path.abspath(out))
    if not folder.is_dir():
        raise MacroSplatError(f"{folder}: no such folder; give the folder that holds a folder for each specimen")
    if (folder / TRANSFORMS).is_file():
        raise MacroSplatError(f"{folder} is one capture; give the folder above, which holds one for each specimen")
    sources = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".") and path != out]
    if not sources:
        raise MacroSplatError(f"{folder}: no folder in it; each specimen's photographs need a folder of their own")
    for path in sources:
        if path.name in (INDEX, TABLE, OPTIONS):
            raise MacroSplatError(f"{path}: the campaign writes a file of this name; rename the specimen's folder")
    return [Specimen(path.name, path, out / path.name) for path in sorted(sources)]
