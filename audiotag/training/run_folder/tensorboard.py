"""TensorBoard's event files: records of TensorFlow's format around messages of protobuf.

They are written here, not by a library, because a resumed run continues its single file: rows after
the state that it resumes from are dropped, and new ones appended. The writers of tensorboardX and
torch name files by time and host, start another file at each resume, and can only hide rows that
should be dropped; torch's also needs the package tensorboard.

A record is its length, a checksum of the length, the message, and a checksum of it
(tensorflow/core/lib/io/record_writer.h); the messages are those of tensorflow/core/util/event.proto
and framework/summary.proto.
"""

import struct
import time

POLYNOMIAL = 0x82F63B78  # CRC-32C, bits reversed
MASK_DELTA = 0xA282EAD8
VERSION = b"brain.Event:2"
# Kinds of fields on the wire.
VARINT, DOUBLE, BYTES, FLOAT = 0, 1, 2, 5


def event_file_header() -> bytes:
    """The first record of a file."""
    return _record(_double(1, time.time()) + _bytes(3, VERSION))


def event(seconds: float, step: int, values: dict[str, float]) -> bytes:
    """The record of a step's values.

    Args:
        seconds: Time, in seconds since 1970.
        step: The step, the x axis of the curves.
        values: Values by the names of their curves.
    """
    summary = b"".join(_bytes(1, _bytes(1, k.encode()) + _float(2, v)) for k, v in values.items())
    return _record(_double(1, seconds) + _tag(2, VARINT) + _varint(step) + _bytes(5, summary))


def _record(message: bytes) -> bytes:
    length = struct.pack("<Q", len(message))
    return length + _checksum(length) + message + _checksum(message)


def _checksum(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + MASK_DELTA) & 0xFFFFFFFF)


def _tag(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _double(field: int, value: float) -> bytes:
    return _tag(field, DOUBLE) + struct.pack("<d", value)


def _float(field: int, value: float) -> bytes:
    return _tag(field, FLOAT) + struct.pack("<f", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _tag(field, BYTES) + _varint(len(value)) + value
