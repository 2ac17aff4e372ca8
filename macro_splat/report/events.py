"""The numbers that nerfstudio logged for TensorBoard, read without TensorBoard's own machinery.

A file of events is a row of records: length (8 bytes, little endian), its checksum (4), that many bytes of an `Event`
message, their checksum (4) (TensorFlow's TFRecord format).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

HEADER_BYTES, FOOTER_BYTES = 12, 4


class Scalar(NamedTuple):
    """One number of a curve."""

    step: int
    value: float
    time: float
    """Seconds since 1970."""


def read_scalars(folder: Path) -> dict[str, list[Scalar]]:
    """Return all numbers by tag, in the order in which they were written; a record that was cut off ends its file."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    scalars: dict[str, list[Scalar]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content, place = path.read_bytes(), 0
        while place + HEADER_BYTES <= len(content):
            (length,) = struct.unpack_from("<Q", content, place)
            start = place + HEADER_BYTES
            place = start + length + FOOTER_BYTES
            if place > len(content):
                break
            try:
                event = Event.FromString(content[start : start + length])
            except DecodeError:
                break
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    scalars.setdefault(value.tag, []).append(Scalar(event.step, value.simple_value, event.wall_time))
    return scalars
