"""YAML that only ever makes plain values, in memory and time that the size of the file bounds."""

from __future__ import annotations

from pathlib import Path

import yaml

from macro_splat.errors import MacroSplatError

MAX_BYTES = 4 << 20
"""Rig files and configs have a few thousand; PyYAML takes about ten seconds for so many."""


class PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader without merge keys, which copy: thirty lines of them can stand for 10^9 entries.

    Aliases stay: they are one value in several places, however often they are named.
    """

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, "merge keys (<<) are not read", key.start_mark)
        super().flatten_mapping(node)


def read_yaml_bytes(path: Path) -> bytes:
    """Return the content of a file that is small enough to be YAML for us.

    Raises:
        OSError: it cannot be read.
        MacroSplatError: it is too large.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise MacroSplatError(f"{path} has {size:,} bytes, more than the {MAX_BYTES:,} that are read; is it this file?")
    return path.read_bytes()
