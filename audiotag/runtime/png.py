"""Small pictures of few colours as PNG files, without a library for pictures."""

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BITS = 4  # of a pixel
MOST_COLOURS = 2**BITS
PALETTE_COLOUR = 3  # PNG's colour type: pixels are places in a palette
FASTEST = 1  # of zlib's levels; with runs alone, it takes a third of the time for 5 % more bytes


def to_png(pixels: np.ndarray, palette: np.ndarray) -> bytes:
    """A picture as a PNG file.

    Args:
        pixels: Places in the palette (height, width) uint8, the highest row first.
        palette: Red, green and blue (colours, 3) uint8, at most `MOST_COLOURS`.
    """
    height, width = pixels.shape
    even = np.pad(pixels, ((0, 0), (0, 1))) if width % 2 else pixels
    rows = np.zeros((height, 1 + even.shape[1] // 2), np.uint8)  # a filter's number first: none
    rows[:, 1:] = even[:, ::2] << BITS | even[:, 1::2]
    header = struct.pack(">IIBBBBB", width, height, BITS, PALETTE_COLOUR, 0, 0, 0)
    packer = zlib.compressobj(FASTEST, strategy=zlib.Z_RLE)
    parts = (
        (b"IHDR", header),
        (b"PLTE", palette.astype(np.uint8).tobytes()),
        (b"IDAT", packer.compress(rows.tobytes()) + packer.flush()),
        (b"IEND", b""),
    )
    return SIGNATURE + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
