"""A server on the loopback interface that plays the Hub, Zenodo and GitHub's releases at once."""

import hashlib

from tests.support.hub_server import Handler, LoopbackHub, Refusal, Reply, json_bytes

NAME = r"(?P<name>[^/]+/[^/]+)"


class LoopbackMirror(LoopbackHub):
    """The server and what it holds.

    Attributes:
        records: Files of Zenodo's records, by number and name.
        releases: Files of GitHub's releases, by `owner/name` and tag, and name.
        altered: Names of files of which something else is served than was published.
    """

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, dict[str, bytes]] = {}
        self.releases: dict[tuple[str, str], dict[str, bytes]] = {}
        self.altered: dict[str, bytes] = {}

    def content(self, files: dict[str, bytes], file: str) -> bytes:
        """What is served of a file.

        Raises:
            Refusal: If there is none.
        """
        if file not in files:
            raise Refusal(404, f"no {file}")
        return self.altered.get(file, files[file])


def record(request: Handler, number: str) -> Reply:
    """What Zenodo says of a record's files."""
    mirror = _mirror(request)
    if number not in mirror.records:
        raise Refusal(404, "The persistent identifier does not exist.")
    files = [
        {
            "key": name,
            "size": len(content),
            "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
            "links": {"self": f"{mirror.url}/api/records/{number}/files/{name}/content"},
        }
        for name, content in mirror.records[number].items()
    ]
    return Reply(json_bytes({"id": int(number), "files": files}))


def record_file(request: Handler, number: str, file: str) -> Reply:
    """A record's file; as Zenodo, from another address."""
    mirror = _mirror(request)
    mirror.content(mirror.records.get(number, {}), file)
    where = f"{mirror.url}/api/records/{number}/files/{file}/content"
    return Reply(b"", 302, {"Location": where})


def record_content(request: Handler, number: str, file: str) -> Reply:
    """The file's content."""
    mirror = _mirror(request)
    content = mirror.content(mirror.records[number], file)
    return Reply(content, headers={"Content-Type": "application/octet-stream"})


def release_file(request: Handler, name: str, tag: str, file: str) -> Reply:
    """A release's file; as GitHub, from another host."""
    mirror = _mirror(request)
    content = mirror.content(mirror.releases.get((name, tag), {}), file)
    sha256 = hashlib.sha256(content).hexdigest()
    mirror.uploads[sha256] = content
    return Reply(b"", 302, {"Location": f"{mirror.large_url}/{sha256}"})


def _mirror(request: Handler) -> LoopbackMirror:
    assert isinstance(request.hub, LoopbackMirror)
    return request.hub


LoopbackMirror.more_routes = (
    ("GET", "/api/records/(?P<number>[0-9]+)", record),
    ("GET", "/records/(?P<number>[0-9]+)/files/(?P<file>[^/]+)", record_file),
    ("GET", "/api/records/(?P<number>[0-9]+)/files/(?P<file>[^/]+)/content", record_content),
    ("GET", f"/{NAME}/releases/download/(?P<tag>[^/]+)/(?P<file>[^/]+)", release_file),
)
