"""How long after a sound begins does `audiotag listen` say so?

    python recipes/live/latency.py SOUND [--label NAME] [--count 20]

Plays SOUND, a short recording, again and again with silence between, as a web stream on this
machine that is as fast as the sound is; prints, for each time, the seconds from its beginning to
the line of its event, and how far the time in that line is from the beginning.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import soundfile

EVERY = 6.0  # s from one beginning to the next
PIECE = 0.02  # s that are sent at once


def wav_header(rate: int) -> bytes:
    """The header of a WAV file of 16 bits and one channel that has no end."""
    fields = b"".join(
        number.to_bytes(size, "little")
        for number, size in ((1, 2), (1, 2), (rate, 4), (2 * rate, 4), (2, 2), (16, 2))
    )
    endless = b"\xff\xff\xff\xff"
    return b"RIFF" + endless + b"WAVEfmt " + (16).to_bytes(4, "little") + fields + b"data" + endless


def serve(sound: np.ndarray, rate: int, count: int, begun: list[float]) -> HTTPServer:
    """A server that streams the sound `count` times, and notes when each began."""
    period = np.zeros(round(EVERY * rate), np.float32)
    period[round(rate * EVERY / 2) :][: len(sound)] = sound
    raw, step = (period * 32767).astype("<i2").tobytes(), 2 * round(PIECE * rate)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(wav_header(rate))
            due = time.monotonic()
            for _ in range(count):
                # What is sent at `due` sounded until then.
                begun.append(due - PIECE + EVERY / 2)
                for begin in range(0, len(raw), step):
                    self.wfile.write(raw[begin : begin + step])
                    due += PIECE
                    time.sleep(max(0.0, due - time.monotonic()))

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    """Measure, and print each latency and the median."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sound")
    parser.add_argument("--label", default="Cat")
    parser.add_argument("--count", type=int, default=20)
    arguments = parser.parse_args()
    sound, rate = soundfile.read(arguments.sound, dtype="float32", always_2d=True)
    begun: list[float] = []
    server = serve(sound.mean(axis=1), rate, arguments.count, begun)
    command = [sys.executable, "-m", "audiotag", "listen", "--label", arguments.label]
    command.append(f"http://127.0.0.1:{server.server_port}/live.wav")
    latencies: list[float] = []
    errors: list[float] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            now, record = time.monotonic(), json.loads(line)
            if record["event"] == "lost":
                process.terminate()
            if record["event"] != "begin" or record["label"] != arguments.label:
                continue
            real = max(moment for moment in begun if moment <= now)
            told = datetime.fromisoformat(record["start"]).timestamp()
            latencies.append(now - real)
            errors.append(told - (time.time() - (now - real)))
            print(f"said after {latencies[-1]:.2f} s, dated {errors[-1]:+.2f} s")
    print(f"{len(latencies)} of {arguments.count} times; medians: said after ", end="")
    print(f"{np.median(latencies):.2f} s, dated {np.median(errors):+.2f} s")


if __name__ == "__main__":
    main()
