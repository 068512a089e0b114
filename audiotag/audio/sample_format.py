"""How samples are stored, and headers that say so: those of WAV and AU files."""

import struct
from dataclasses import dataclass

from audiotag.audio.chunks import WRAP

PCM, FLOAT, ALAW, MULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
LINEAR = (PCM, FLOAT, ALAW, MULAW)
AU_CODES = {(MULAW, 1): 1, (PCM, 1): 2, (PCM, 2): 3, (PCM, 3): 4, (PCM, 4): 5, (FLOAT, 4): 6}
AU_CODES |= {(FLOAT, 8): 7, (ALAW, 1): 27}
AU_WIDTHS = {code: width for (_, width), code in AU_CODES.items()}
AU_UNKNOWN = 0xFFFFFFFF  # size of data that goes on to the end of the file


@dataclass(frozen=True)
class SampleFormat:
    """How samples are stored.

    Attributes:
        code: As in WAV files.
        channels: Their number.
        rate: Hz.
        width: Bytes of a sample; 0 where samples have no size of their own.
        is_big: Whether the byte that counts most comes first.
        is_signed: Whether samples of one byte have a sign, which they have not in WAV files.
        rest: What a WAV header says besides, where samples have no size of their own.
    """

    code: int
    channels: int
    rate: int
    width: int
    is_big: bool = False
    is_signed: bool = False
    rest: bytes = b""

    @property
    def second(self) -> int:
        """Bytes of a second."""
        if self.width:
            return self.width * self.channels * self.rate
        return struct.unpack_from(">I" if self.is_big else "<I", self.rest)[0]

    def wav(self, size: int) -> bytes:
        """Header of a WAV file with `size` bytes of samples."""
        end = ">" if self.is_big else "<"
        fields = struct.pack(f"{end}HHI", self.code, self.channels, self.rate)
        if self.width:
            block = self.width * self.channels
            fields += struct.pack(f"{end}IHH", block * self.rate, block, 8 * self.width)
        fields += self.rest
        layout = b"fmt " + struct.pack(f"{end}I", len(fields)) + fields
        total = 4 + len(layout) + 8 + size
        if total < WRAP:
            mark = b"RIFX" if self.is_big else b"RIFF"
            head = mark + struct.pack(f"{end}I", total) + b"WAVE"
            return head + layout + b"data" + struct.pack(f"{end}I", size)
        sizes = b"ds64" + struct.pack("<IQQQI", 28, total + 36, size, 0, 0)
        head = b"RF64\xff\xff\xff\xffWAVE" + sizes + layout
        return head + b"data\xff\xff\xff\xff"

    def au(self) -> bytes:
        """Header of an AU file that goes on to its end."""
        fields = (24, AU_UNKNOWN, AU_CODES[self.code, self.width], self.rate, self.channels)
        return b".snd" + struct.pack(">5I", *fields)

    @property
    def is_au(self) -> bool:
        """Whether an AU file holds such samples; WAV files have other bytes, and longs in RF64."""
        is_unsigned = (self.code, self.width) == (PCM, 1) and not self.is_signed
        is_known = (self.code, self.width) in AU_CODES
        return is_known and not is_unsigned and (self.is_big or self.is_signed)
