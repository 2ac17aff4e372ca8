"""Whether a file that carries its final name is whole: each kind is read to its end by other means than ours."""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from plyfile import PlyData

from tests.end_to_end.outputs import read_video

SPLAT_BYTES = 32
TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.unfinished")


def leftovers(folder: Path) -> list[Path]:
    """Temporary files and folders that nobody took away."""
    return [path for path in folder.rglob("*") if TEMPORARY.fullmatch(path.name)]


def check_tree(folder: Path, *, but: tuple[str, ...] = ()) -> int:
    """Read all files below a folder but unfinished ones; how many those were.

    Args:
        but: names of folders whose files are a program's own working state: logs and databases.

    Raises:
        AssertionError: one is not whole, or of a kind that is not known here.
    """
    count = 0
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if not path.is_file() or any(TEMPORARY.fullmatch(part) or part in but for part in parts):
            continue
        try:
            check_file(path)
        except Exception as error:
            raise AssertionError(f"{path} is not whole: {type(error).__name__}: {error}") from error
        count += 1
    return count


def check_file(path: Path) -> None:
    """Raise some exception if the file is not whole."""
    suffix = path.suffix.lower()
    if path.name.startswith("events.out.tfevents"):
        return  # a log to which is added; its last record may be cut off
    if suffix == ".ckpt":
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert any(name.endswith("/data.pkl") for name in archive.namelist())
    elif suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif suffix in (".yml", ".yaml"):
        root = yaml.compose(path.read_text(encoding="utf-8"))
        assert isinstance(root, yaml.MappingNode)
        assert {"method_name", "vis"} <= {key.value for key, _ in root.value}, "its end is missing"
    elif suffix == ".ply":
        for element in PlyData.read(str(path)).elements:
            assert len(element.data) == element.count
    elif suffix == ".splat":
        size = path.stat().st_size
        assert size
        assert size % SPLAT_BYTES == 0
    elif suffix == ".spz":
        assert gzip.decompress(path.read_bytes())[:4] == b"NGSP"
    elif suffix == ".html":
        assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    elif suffix in (".png", ".jpg", ".jpeg"):
        with Image.open(path) as picture:
            picture.load()
    elif suffix == ".mp4":
        assert len(read_video(path))
    elif suffix == ".npy":
        np.load(path, allow_pickle=False)
    elif suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
    else:
        raise AssertionError(f"files of the kind {suffix!r} are not known to this test")
