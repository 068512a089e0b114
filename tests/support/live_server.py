"""A server of live sound on the loopback: each connection gets the next of a list of streams."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Stream:
    """What one connection gets.

    Attributes:
        content: Its bytes.
        kind: Content type.
        rate: Bytes a second; None for all at once.
        status: Of the answer.
        holds: Whether the connection stays open at the end, silent.
    """

    content: bytes = b""
    kind: str = "audio/mpeg"
    rate: float | None = None
    status: int = 200
    holds: bool = False


class LiveServer:
    """Serves streams, one a connection; later ones get the last.

    Attributes:
        requests: Path and body of each request.
    """

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = list(streams)
        self._lock = threading.Lock()
        self.requests: list[tuple[str, bytes, dict[str, str]]] = []
        self._closed = threading.Event()
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served._serve(self)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "LiveServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        size = int(handler.headers.get("Content-Length") or 0)
        with self._lock:
            body = handler.rfile.read(size)
            self.requests.append((handler.path, body, dict(handler.headers)))
            stream = self._streams.pop(0) if len(self._streams) > 1 else self._streams[0]
        handler.send_response(stream.status)
        handler.send_header("Content-Type", stream.kind)
        if stream.status in (301, 302, 307):
            handler.send_header("Location", stream.content.decode())
        handler.end_headers()
        try:
            self._send(handler, stream)
        except OSError:  # the listener has gone
            pass

    def _send(self, handler: BaseHTTPRequestHandler, stream: Stream) -> None:
        step = len(stream.content) or 1 if stream.rate is None else max(1, int(stream.rate / 10))
        due = time.monotonic()
        for begin in range(0, len(stream.content), step):
            handler.wfile.write(stream.content[begin : begin + step])
            due += 0.1
            if stream.rate is not None:
                self._closed.wait(max(0.0, due - time.monotonic()))
        if stream.holds:
            self._closed.wait()
