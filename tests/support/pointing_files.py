"""Files that ask a decoder to open something else: a file of the machine, or an address.

`Bait` is what they point to, and notices who takes it.
"""

import ctypes
import os
import socket
import struct
from pathlib import Path

import av
import numpy as np
import soundfile

IN_OPEN = 0x20  # of inotify
TEXTS = {
    "concat": "ffconcat version 1.0\nfile '{file}'\n",
    "concat of a name": "ffconcat version 1.0\nfile {name}\n",
    "concat of an address": "ffconcat version 1.0\nfile '{http}'\n",
    "concat with options": "ffconcat version 1.0\nfile '{file}'\noption format_whitelist wav\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{file}\n#EXT-X-ENDLIST\n",
    "hls of an address": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{http}\n#EXT-X-ENDLIST\n",
    "hls without an end": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{file}\n",
    "hls with a key": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n"
    '#EXT-X-KEY:METHOD=AES-128,URI="{http}"\n#EXTINF:9,\n{file}\n#EXT-X-ENDLIST\n',
    "hls of variants": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{http}\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="audio/mp4"><Representation '
    'id="0" bandwidth="1"><BaseURL>{http}</BaseURL></Representation></AdaptationSet></Period>'
    "</MPD>",
    "imf": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/'
    '2067-3/2013"><Id>{file}</Id></CompositionPlaylist>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP "
    "0\na=rtpmap:0 PCMU/8000\n",
    "rtsp": "rtsp://127.0.0.1:{port}/x",
    "m3u": "{file}\n",
    "pls": "[playlist]\nFile1={file}\nNumberOfEntries=1\nVersion=2\n",
    "asx": '<asx version="3.0"><entry><ref href="{http}"/></entry></asx>',
    "ram": "{http}\n",
    "smil": '<smil><body><audio src="{http}"/></body></smil>',
    "sbg": "-ge\n-i {file}\nx: mix/50\nNOW x\n",
    "vobsub": "# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\n",
    "lavfi": "amovie={file}",
    "cue": 'FILE "{file}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
    "ffmetadata": ";FFMETADATA1\ntitle={file}\n",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{http}"/></svg>',
}


class Bait:
    """A recording and an address of this machine that notice who opens them.

    Attributes:
        file: The recording.
        places: What stands in `TEXTS` for them.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.file = folder / "secret.wav"
        time = np.arange(3 * 32_000) / 32_000
        soundfile.write(self.file, 0.5 * np.sin(2 * np.pi * 1000 * time), 32_000)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._libc = ctypes.CDLL(None)
        self._watch = self._libc.inotify_init1(os.O_NONBLOCK)
        assert self._watch >= 0
        assert self._libc.inotify_add_watch(self._watch, os.fsencode(self.file), IN_OPEN) >= 0
        port = self._listener.getsockname()[1]
        self.places = {
            "file": str(self.file),
            "name": self.file.name,
            "port": str(port),
            "http": f"http://127.0.0.1:{port}/secret.wav",
        }

    def taken(self) -> bool:
        """Whether anyone has opened one of them since the last question."""
        try:
            self._listener.accept()[0].close()
            return True
        except BlockingIOError:
            pass
        try:
            return bool(os.read(self._watch, 2**16))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Watch no longer."""
        self._listener.close()
        os.close(self._watch)


def pointing_files(bait: Bait) -> dict[str, bytes]:
    """Files that ask for the bait, by what they are."""
    files = {name: text.format(**bait.places).encode() for name, text in TEXTS.items()}
    for kind in (b"url ", b"alis"):
        files[f"mov with {kind.decode()}"] = mov_elsewhere(bait, kind)
    return files


def mov_elsewhere(bait: Bait, kind: bytes) -> bytes:
    """A QuickTime file that says that its samples lie in the bait."""
    path = bait.file.parent / "made.mov"
    with av.open(str(path), "w", format="mov") as output:
        stream = output.add_stream("pcm_s16le", rate=32_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), "s16", "mono")
        frame.sample_rate, frame.pts = 32_000, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    data = path.read_bytes()
    path.unlink()
    assert data.index(b"mdat") < data.index(b"moov")  # places of samples stay as they are
    text = bait.places["http" if kind == b"url " else "file"].encode() + b"\0"
    if kind == b"alis":
        text = alias(text[:-1])
    inner = kind + bytes(4) + text
    entry = struct.pack(">I", 4 + len(inner)) + inner
    begin = data.index(b"dref") + 12  # after version, flags and the number of entries
    (size,) = struct.unpack(">I", data[begin : begin + 4])
    changed = bytearray(data[:begin] + entry + data[begin + size :])
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        place = data.index(box) - 4
        (old,) = struct.unpack(">I", data[place : place + 4])
        struct.pack_into(">I", changed, place, old + len(entry) - size)
    return bytes(changed)


def alias(path: bytes) -> bytes:
    """The record of an alias, as FFmpeg reads it: names, levels, and the path."""
    head = bytes(6) + struct.pack(">HH", 150, 2) + bytes(2)
    volume = bytes([4]) + b"disk".ljust(27, b"\0")
    name = bytes([10]) + b"secret.wav".ljust(63, b"\0")
    rest = head[:10] + volume + bytes(12) + name + bytes(16)
    rest += struct.pack(">hh", 0, 0) + bytes(16)
    return (
        rest + struct.pack(">hH", 2, len(path)) + path + b"\0" * (len(path) % 2) + b"\xff\xff\0\0"
    )
