"""The vertices of a PLY file (G. Turk, The PLY Polygon File Format, 1994), and nothing else of it.

What a header promises is compared with the size of the file before anything is allocated; lists, of faces say, whose
rows take a hundred times more memory than bytes in the file, are not read at all.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

MAX_HEADER_LINES, MAX_LINE = 1000, 4096
BYTE_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
# fmt: off
TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}
# fmt: on


@dataclass
class _Element:
    name: str
    count: int
    properties: list[tuple[str, str]] = field(default_factory=list)
    """Name and numpy's type."""
    has_lists: bool = False


def read_vertices(path: Path) -> NDArray[np.void]:
    """Read the element `vertex` as a structured array [N], its properties in the types of the file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no PLY file, holds no vertices, or fewer bytes than its header promises.
    """
    with path.open("rb") as file:
        form, elements = _read_header(file)
        before = list(itertools.takewhile(lambda element: element.name != "vertex", elements))
        if len(before) == len(elements):
            raise ValueError("it has no element `vertex`")
        vertex = elements[len(before)]
        if vertex.has_lists or not vertex.properties:
            raise ValueError("its vertices have lists, or nothing at all")
        left = os.fstat(file.fileno()).st_size - file.tell()
        if form == "ascii":
            return _read_text(file, left, sum(element.count for element in before), vertex)
        if any(element.has_lists for element in before):
            raise ValueError("elements of varying size stand before its vertices")
        order = BYTE_ORDERS[form]
        file.seek(sum(element.count * _record(element, order).itemsize for element in before), os.SEEK_CUR)
        left = os.fstat(file.fileno()).st_size - file.tell()
        record = _record(vertex, order)
        if vertex.count * record.itemsize > left:
            raise ValueError(
                f"{vertex.count} vertices of {record.itemsize} bytes are promised, {max(left, 0)} are left"
            )
        return np.frombuffer(file.read(vertex.count * record.itemsize), record)


def _read_text(file: IO[bytes], left: int, skip: int, vertex: _Element) -> NDArray[np.void]:
    width = len(vertex.properties)
    if skip + vertex.count * 2 * width > left + 1:  # a digit and a space or line end for every number
        raise ValueError(f"{vertex.count} vertices of {width} numbers are promised in {left} bytes")
    result = np.zeros(vertex.count, _record(vertex, "="))
    if vertex.count == 0:
        return result
    lines = itertools.islice(file, skip, skip + vertex.count)
    numbers = np.loadtxt(lines, dtype=np.float64, comments=None, ndmin=2, encoding="latin-1")
    if numbers.shape != (vertex.count, width):
        raise ValueError(f"{vertex.count} vertices of {width} numbers are promised, {numbers.shape} are there")
    for i, (name, kind) in enumerate(vertex.properties):
        with np.errstate(invalid="ignore", over="ignore"):
            result[name] = numbers[:, i].astype(kind)
    return result


def _record(element: _Element, order: str) -> np.dtype:
    return np.dtype([(name, order + kind) for name, kind in element.properties])


def _read_header(file: IO[bytes]) -> tuple[str, list[_Element]]:
    """Read the format and the elements; the file stands at its data afterwards."""
    if file.readline(MAX_LINE).rstrip() != b"ply":
        raise ValueError("it does not begin with the word `ply`")
    form, elements = "", list[_Element]()
    for _ in range(MAX_HEADER_LINES):
        line = file.readline(MAX_LINE)
        words = line.decode("latin-1").split()
        match words:
            case ["end_header"]:
                if not form:
                    raise ValueError("its format is not told")
                return form, elements
            case ["format", str(name), "1.0"] if name in BYTE_ORDERS:
                form = name
            case ["element", str(name), str(count)] if count.isascii() and count.isdigit() and len(count) < 19:
                elements.append(_Element(name, int(count)))
            case ["property", "list", _, _, _] if elements:
                elements[-1].has_lists = True
            case ["property", str(kind), str(name)] if elements and kind in TYPES:
                elements[-1].properties.append((name, TYPES[kind]))
            case ["comment" | "obj_info", *_]:
                pass
            case _:
                raise ValueError(f"a line of its header is {line[:60]!r}")
    raise ValueError("its header does not end")
