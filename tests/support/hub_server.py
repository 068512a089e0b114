"""A Hub on the loopback interface, for tests: as much of its HTTP API as push and pull use.

`with LoopbackHub() as hub` serves at `hub.url`. It holds models, and data sets to read, in memory;
it knows users by their tokens, branches, large files, pull requests, and can be made to fail.
"""

import base64
import hashlib
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

OWNER = "me"
WRITE_TOKEN, READ_TOKEN = "hf_" + "w" * 34, "hf_" + "r" * 34
MAIN = "main"
DATE = "2026-01-01T00:00:00.000Z"
# Stored by sha256 and served from elsewhere, as LFS files are.
LARGE_SUFFIXES = (".safetensors", ".onnx", ".parquet")
NAME = r"(?P<name>[^/]+/[^/]+)"
REVISION = r"(?P<revision>[^/]+)"
KIND = "(?:models|datasets)"

DATASET_ID = r"(?:[\w-]+/)?[\w.-]+"  # which the Hub takes
NUMBERS = itertools.count()  # of commits

Headers = dict[str, str]


@dataclass(frozen=True)
class StoredFile:
    """Contents as a commit holds them; a large file has a pointer beside."""

    content: bytes
    large: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def blob_id(self) -> str:
        """Git's hash of the contents, or of the pointer of a large file."""
        data = self.content
        if self.large:
            size = len(self.content)
            text = f"oid sha256:{self.sha256}\nsize {size}\n"
            data = f"version https://git-lfs.github.com/spec/v1\n{text}".encode()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    def stated(self) -> dict[str, Any]:
        """What a repository says of the file where it is asked for its files' metadata."""
        size = len(self.content)
        lfs = {"lfs": {"sha256": self.sha256, "size": size, "pointerSize": 130}}
        return {"blobId": self.blob_id, "size": size, **(lfs if self.large else {})}

    def entry(self, path: str) -> dict[str, Any]:
        """The file in a listing."""
        size = len(self.content)
        entry: dict[str, Any] = {"type": "file", "path": path, "oid": self.blob_id, "size": size}
        if self.large:
            entry["lfs"] = {"oid": self.sha256, "size": size, "pointerSize": 130}
        return entry


Tree = dict[str, StoredFile]


@dataclass
class Repository:
    """A model's commits by hash, and branches and tags by name."""

    private: bool = False
    commits: dict[str, Tree] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pull_requests: int = 0
    titles: list[str] = field(default_factory=list)

    def commit(self, branch: str, title: str, tree: Tree) -> str:
        """Add a commit to a branch; returns its hash."""
        self.titles.append(title)
        commit = hashlib.sha1(f"{next(NUMBERS)} {title}".encode()).hexdigest()
        self.commits[commit] = tree
        self.branches[branch] = commit
        return commit

    def resolve(self, revision: str) -> str:
        """Hash of the commit that a branch, a tag or a hash means."""
        commit = (self.branches | self.tags).get(revision, revision)
        if commit not in self.commits:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit


class Refusal(Exception):
    """An error answer, in the headers that the client reads."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})


class Dropped(Exception):
    """No answer."""


@dataclass(frozen=True)
class Reply:
    """An answer."""

    body: bytes = b""
    status: int = 200
    headers: Headers = field(default_factory=dict)


class LoopbackHub:
    """The server and what it holds.

    Attributes:
        url: For HF_ENDPOINT.
        repositories: By `owner/name`.
        requests: Method and path of each request so far, and the range of a part of a file.
        watch: Called with the path of each request before it is answered.
        more_routes: What else a server of another class answers.
    """

    more_routes: "Iterable[Route]" = ()

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.watch: Callable[[str], None] = lambda path: None
        self.lock = threading.RLock()
        self._faults: list[tuple[str, Reply | None]] = []
        self._cut: int | None = None

    def __enter__(self) -> "LoopbackHub":
        bound = {"hub": self, "routes": (*ROUTES, *self.more_routes)}
        handler = type("BoundHandler", (Handler,), bound)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        # Another host by its name, as the Hub's are: the client sends no token there.
        self.large_url = f"http://localhost:{self._server.server_port}/large"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str, files: dict[str, bytes], private: bool = False) -> Repository:
        """A repository with these files on its main branch."""
        repository = self.repositories[name] = Repository(private)
        tree = {path: StoredFile(data, _is_large(path)) for path, data in files.items()}
        repository.commit(MAIN, "first", tree)
        return repository

    def files(self, name: str, revision: str = MAIN) -> dict[str, bytes]:
        """What a revision of a repository holds."""
        repository = self.repositories[name]
        tree = repository.commits[repository.resolve(revision)]
        return {path: file.content for path, file in tree.items()}

    def fail(self, path: str, status: int, times: int = 1, headers: Headers | None = None) -> None:
        """Answer the next requests whose path contains `path` with an error status."""
        headers = {"X-Error-Message": "fault"} | (headers or {})
        body = json_bytes({"error": "fault"})
        self.reply(path, Reply(body, status, headers), times)

    def reply(self, path: str, reply: Reply, times: int = 1) -> None:
        """Give this answer to the next requests whose path contains `path`."""
        self._faults += [(path, reply)] * times

    def heal(self) -> None:
        """Forget all faults that have not been met."""
        self._faults.clear()

    def drop(self, path: str, times: int = 1) -> None:
        """Close the connection, unanswered, of the next requests whose path contains `path`."""
        self._faults += [(path, None)] * times

    def cut(self, size: int) -> None:
        """Close the connection of the next large file after this many bytes."""
        self._cut = size

    def take_fault(self, path: str) -> Reply | None:
        """The answer to a request that is to fail; None if it is not.

        Raises:
            Dropped: If it has no answer.
        """
        for fault in self._faults:
            if fault[0] in path:
                self._faults.remove(fault)
                if fault[1] is None:
                    raise Dropped
                return fault[1]
        return None

    def take_cut(self) -> int | None:
        """Where to cut the file being served."""
        cut, self._cut = self._cut, None
        return cut


class Handler(BaseHTTPRequestHandler):
    """One connection: finds a request's route, checks who asks, answers."""

    protocol_version = "HTTP/1.1"
    hub: LoopbackHub
    routes: "Iterable[Route]"

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""

    def answer(self) -> None:
        """Answer one request."""
        self.content = self._read_body()
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        part = [self.headers["Range"]] if "Range" in self.headers else []
        self.hub.requests.append(" ".join([self.command, url.path, *part]))
        self.hub.watch(url.path)
        try:
            with self.hub.lock:
                reply = self.hub.take_fault(url.path) or self._route(url.path)
        except Dropped:
            self.close_connection = True
            return
        except Refusal as refusal:
            reply = Reply(json_bytes({"error": str(refusal)}), refusal.status, refusal.headers)
        self._send(reply)

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _route(self, path: str) -> Reply:
        method = "GET" if self.command == "HEAD" else self.command
        for wanted, pattern, route in self.routes:
            if wanted == method and (match := re.fullmatch(pattern, path)):
                return route(self, **{k: unquote(v) for k, v in match.groupdict().items()})
        raise Refusal(404, f"no route for {method} {path}")

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for key, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = self.hub.take_cut() if self.path.startswith("/large/") else None
        self.wfile.write(reply.body[:cut])
        self.close_connection = self.close_connection or cut is not None

    def token(self) -> str | None:
        """The token sent, if any.

        Raises:
            Refusal: If it is unknown.
        """
        header = self.headers.get("Authorization")
        if header is None:
            return None
        token = header.removeprefix("Bearer ")
        if token not in (WRITE_TOKEN, READ_TOKEN):
            raise Refusal(401, "Invalid credentials in Authorization header")
        return token

    def writer(self, name: str) -> None:
        """Refuse whoever may not write to a repository of this name."""
        token = self.token()
        if token is None:
            raise Refusal(401, "Invalid username or password.")
        if token != WRITE_TOKEN or name.split("/")[0] != OWNER:
            raise Refusal(403, "You don't have the rights")

    def readable(self, name: str) -> Repository:
        """The repository, for someone who may see it; as the Hub, hides that it exists."""
        token = self.token()
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and token is None):
            raise Refusal(404 if token else 401, "Repository not found", "RepoNotFound")
        return repository


def create(request: Handler) -> Reply:
    """Make a repository."""
    values = json.loads(request.content)
    name = f"{values['organization']}/{values['name']}"
    request.writer(name)
    url = f"{request.hub.url}/{name}"
    if name in request.hub.repositories:
        return Reply(json_bytes({"error": "You already created this model", "url": url}), 409)
    request.hub.add(name, {".gitattributes": b""}, values.get("visibility") == "private")
    return Reply(json_bytes({"url": url}))


def validate_card(request: Handler) -> Reply:
    """Accept a card's metadata if there is some between two lines of dashes, whose ids of data sets
    are such."""
    head = re.match(r"---\n(.+?)\n---\n", json.loads(request.content)["content"], re.DOTALL)
    problems = ["empty or missing yaml metadata"] if head is None else list(bad_ids(head[1]))
    reply = {"errors": [{"message": x} for x in problems], "warnings": []}
    return Reply(json_bytes(reply), 400 if problems else 200)


def bad_ids(head: str) -> Iterator[str]:
    """What is wrong with the ids of data sets in a card's metadata."""
    values = yaml.safe_load(head)
    ids = list(values.get("datasets") or [])
    for model in values.get("model-index") or []:
        ids += [result["dataset"]["type"] for result in model["results"]]
        if not all(result["dataset"]["name"] for result in model["results"]):
            yield '"model-index[0].results[0].dataset.name" is not allowed to be empty'
    for value in ids:
        if not isinstance(value, str) or not re.fullmatch(DATASET_ID, value, re.ASCII):
            yield f'"{value}" fails to match the required pattern: /^{DATASET_ID}$/'


def info(request: Handler, name: str, revision: str = MAIN) -> Reply:
    """A repository at a revision."""
    repository = request.readable(name)
    commit = repository.resolve(revision)
    files = [
        {"rfilename": path, **(file.stated() if "blobs" in request.query else {})}
        for path, file in repository.commits[commit].items()
    ]
    values = {"id": name, "sha": commit, "private": repository.private, "siblings": files}
    return Reply(json_bytes(values | {"tags": [], "downloads": 0, "lastModified": DATE}))


def tree(request: Handler, name: str, revision: str) -> Reply:
    """List the files of a revision."""
    repository = request.readable(name)
    files = repository.commits[repository.resolve(revision)]
    return Reply(json_bytes([file.entry(path) for path, file in files.items()]))


def branch(request: Handler, name: str, revision: str) -> Reply:
    """Start a branch at main."""
    repository = request.readable(name)
    request.writer(name)
    if revision in repository.branches:
        raise Refusal(409, "Reference already exists")
    repository.branches[revision] = repository.branches[MAIN]
    return Reply(json_bytes({}))


def tag(request: Handler, name: str, revision: str) -> Reply:
    """Give a commit a name."""
    repository = request.readable(name)
    request.writer(name)
    wanted = json.loads(request.content)["tag"]
    if wanted in repository.tags:
        raise Refusal(409, "Reference already exists")
    repository.tags[wanted] = repository.resolve(revision)
    return Reply(json_bytes({}))


def refs(request: Handler, name: str) -> Reply:
    """List branches and tags."""
    repository = request.readable(name)
    kinds = {"branches": repository.branches, "tags": repository.tags}
    answer: dict[str, Any] = {
        kind: [{"name": k, "ref": f"refs/{kind}/{k}", "targetCommit": v} for k, v in found.items()]
        for kind, found in kinds.items()
    }
    return Reply(json_bytes(answer | {"converts": []}))


def preupload(request: Handler, name: str, revision: str) -> Reply:
    """Say which files are large, and the hashes of those that are there already."""
    repository = request.readable(name)
    _allow_commit(request, name)
    files = repository.commits[repository.resolve(revision)]
    answers = []
    for path in (file["path"] for file in json.loads(request.content)["files"]):
        old = files.get(path)
        oid = old and (old.sha256 if old.large else old.blob_id)
        mode = "lfs" if _is_large(path) else "regular"
        answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return Reply(json_bytes({"files": answers}))


def batch(request: Handler, name: str) -> Reply:
    """Say where to upload large files that are not there yet."""
    request.readable(name)
    objects = []
    for wanted in json.loads(request.content)["objects"]:
        answer = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in request.hub.uploads:
            answer["actions"] = {"upload": {"href": f"{request.hub.url}/upload/{wanted['oid']}"}}
        objects.append(answer)
    return Reply(json_bytes({"transfer": "basic", "objects": objects}))


def upload(request: Handler, sha256: str) -> Reply:
    """Take a large file."""
    if hashlib.sha256(request.content).hexdigest() != sha256:
        raise Refusal(400, "sha256 mismatch")
    request.hub.uploads[sha256] = request.content
    return Reply()


def commit(request: Handler, name: str, revision: str) -> Reply:
    """Add files to a branch, or to a pull request against it."""
    repository = request.readable(name)
    _allow_commit(request, name)
    head, *changes = map(json.loads, request.content.splitlines())
    files = dict(repository.commits[repository.resolve(revision)])
    for change in changes:
        value = change["value"]
        large = change["key"] == "lfsFile"
        content = request.hub.uploads[value["oid"]] if large else base64.b64decode(value["content"])
        files[value["path"]] = StoredFile(content, large)
    answer: dict[str, Any] = {"success": True}
    if _is_pull_request(request):
        repository.pull_requests += 1
        revision = f"refs/pr/{repository.pull_requests}"
        page = f"{request.hub.url}/{name}/discussions/{repository.pull_requests}"
        answer["pullRequestUrl"] = page
    oid = repository.commit(revision, head["value"]["summary"], files)
    url = f"{request.hub.url}/{name}/commit/{oid}"
    return Reply(json_bytes(answer | {"commitOid": oid, "commitUrl": url}))


def resolve(request: Handler, name: str, revision: str, path: str) -> Reply:
    """Serve a file; a large one by the address where it lies."""
    repository = request.readable(name)
    commit = repository.resolve(revision)
    file = repository.commits[commit].get(path)
    if file is None:
        raise Refusal(404, "Entry not found", "EntryNotFound")
    headers = {"X-Repo-Commit": commit, "ETag": f'"{file.blob_id}"'}
    if not file.large:
        return Reply(file.content, headers=headers)
    request.hub.uploads[file.sha256] = file.content
    headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(len(file.content))}
    return Reply(b"", 302, headers | {"Location": f"{request.hub.large_url}/{file.sha256}"})


def large(request: Handler, sha256: str) -> Reply:
    """Serve a large file, or the bytes asked for."""
    content = request.hub.uploads[sha256]
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if wanted is None:
        return Reply(content)
    start = int(wanted[1])
    part = content[start : int(wanted[2]) + 1 if wanted[2] else None]
    span = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
    return Reply(part, 206, {"Content-Range": span})


def json_bytes(values: Any) -> bytes:
    """Values as the body of an answer."""
    return json.dumps(values).encode()


def _allow_commit(request: Handler, name: str) -> None:
    """Anyone with a write token may open a pull request; a commit needs the owner."""
    request.writer(f"{OWNER}/" if _is_pull_request(request) else name)


def _is_pull_request(request: Handler) -> bool:
    return "create_pr" in request.query


def _is_large(path: str) -> bool:
    return path.endswith(LARGE_SUFFIXES)


Route = tuple[str, str, Callable[..., Reply]]  # method, pattern of a path, what answers
ROUTES: Iterable[Route] = (
    ("POST", "/api/repos/create", create),
    ("POST", "/api/validate-yaml", validate_card),
    ("GET", f"/api/{KIND}/{NAME}", info),
    ("GET", f"/api/{KIND}/{NAME}/revision/{REVISION}", info),
    ("GET", f"/api/{KIND}/{NAME}/tree/{REVISION}", tree),
    ("POST", f"/api/models/{NAME}/branch/{REVISION}", branch),
    ("POST", f"/api/models/{NAME}/tag/{REVISION}", tag),
    ("GET", f"/api/models/{NAME}/refs", refs),
    ("POST", f"/api/models/{NAME}/preupload/{REVISION}", preupload),
    ("POST", f"/api/models/{NAME}/commit/{REVISION}", commit),
    ("POST", rf"/{NAME}\.git/info/lfs/objects/batch", batch),
    ("PUT", "/upload/(?P<sha256>[0-9a-f]+)", upload),
    ("GET", f"/(?:datasets/)?{NAME}/resolve/{REVISION}/(?P<path>.+)", resolve),
    ("GET", "/large/(?P<sha256>[0-9a-f]+)", large),
)
