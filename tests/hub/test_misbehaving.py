"""A Hub that misbehaves, or a network that answers in its place: one sentence, and nothing wrong
is ever used; with a complete copy in the cache, a model works all the same."""

import gzip
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.hub_client import Ended, run_alone, run_python
from tests.support.hub_server import READ_TOKEN, Reply, json_bytes

ALWAYS = 10_000  # times
HTML = b"<!doctype html><html><body>Please sign in to the wireless network</body></html>"
PORTAL = Reply(HTML, 200, {"Content-Type": "text/html"})
INFO = "/api/models/{name}"
CONFIG, WEIGHTS = "/{name}/resolve/main/config.json", "/large/"
# What is answered, to which requests.
ANSWERS = {
    "portal": (INFO, PORTAL),
    "portal everywhere": ("/", PORTAL),
    "redirect to a portal": ("/", Reply(b"", 302, {"Location": "http://127.0.0.1:9/sign-in"})),
    "redirect loop": ("/api/", Reply(b"", 302, {"Location": "/api/models/me/loop"})),
    "redirect to itself": ("/", Reply(b"", 307, {"Location": ""})),
    "redirect to nowhere": (INFO, Reply(b"", 302, {"Location": "http://[/"})),
    "false gzip": (INFO, Reply(b"no gzip", 200, {"Content-Encoding": "gzip"})),
    "cut gzip": (INFO, Reply(gzip.compress(b"{}" * 99)[:20], 200, {"Content-Encoding": "gzip"})),
    "list": (INFO, Reply(b"[]")),
    "null": (INFO, Reply(b"null")),
    "number": (INFO, Reply(b"7")),
    "text": (INFO, Reply(b'"text"')),
    "nothing": (INFO, Reply(b"")),
    "no id": (INFO, Reply(b"{}")),
    "siblings of numbers": (INFO, Reply(json_bytes({"id": "a/b", "siblings": [1, 2]}))),
    "siblings as text": (INFO, Reply(json_bytes({"id": "a/b", "siblings": "abc"}))),
    "siblings without names": (INFO, Reply(json_bytes({"id": "a/b", "siblings": [{}]}))),
    "hashes of numbers": (
        INFO,
        Reply(json_bytes({"id": "a/b", "siblings": [{"rfilename": "config.json", "lfs": 7}]})),
    ),
    "deep": (INFO, Reply(b"[" * 100_000)),
    "not UTF-8": (INFO, Reply(b"\xff\xfe{")),
    "status 403": ("/", Reply(HTML, 403)),
    "status 404": ("/", Reply(HTML, 404)),
    "status 407": ("/", Reply(HTML, 407)),
    "status 408": ("/", Reply(b"", 408)),
    "status 418": ("/", Reply(b"", 418)),
    "status 429": ("/", Reply(b"", 429)),
    "status 500": ("/", Reply(b"", 500)),
    "status 511": ("/", Reply(HTML, 511)),
    "files as a portal": ("/resolve/", PORTAL),
    "asks for a year": ("/", Reply(b"", 429, {"Retry-After": "31536000"})),
    "files in a year": ("/resolve/", Reply(b"", 503, {"Retry-After": "99999999999999999999999"})),
    "limited for a year": ("/resolve/", Reply(b"", 429, {"RateLimit": '"api";r=0;t=31536000'})),
    "weights in a year": (WEIGHTS, Reply(b"", 429, {"Retry-After": "31536000"})),
    "redirect to a file": ("/", Reply(b"", 302, {"Location": "file:///etc/passwd"})),
    "redirect to data": ("/api/", Reply(b"", 302, {"Location": "data:application/json,{}"})),
}


@pytest.fixture(autouse=True)
def healed(hub):
    yield
    hub.heal()


def answer(hub, name, what):
    path, reply = ANSWERS[what]
    if what == "redirect to itself":
        reply = Reply(b"", 307, {"Location": f"{hub.url}{INFO.format(name=name)}"})
    hub.reply(path.format(name=name), reply, ALWAYS)


@pytest.mark.parametrize("what", ANSWERS)
def test_it_is_said_in_one_sentence_and_the_cached_copy_works(what, hub, run, published):
    answer(hub, published, what)
    ended = run("pull", published)
    assert ended.error.startswith(f"Error: {published} is not in the cache, and "), ended.error
    assert "<" not in ended.error
    hub.heal()
    folder = run("pull", published).out
    assert Path(folder.rstrip("\n"), "model.safetensors").is_file()
    answer(hub, published, what)
    ended = run("pull", published)
    assert (ended.code, ended.out) == (0, folder), ended.err


@pytest.mark.parametrize("what", ["portal", "list", "siblings of numbers", "deep", "false gzip"])
def test_of_a_data_set_it_is_said_too(what, hub, run, name, tmp_path):
    hub.add(name, {"data/bal_train00.tar": b""})
    hub.reply("/api/datasets/", ANSWERS[what][1], ALWAYS)
    error = run("prepare", "audioset", name, tmp_path / "data").error
    assert "does not answer as a Hub does" in error


@pytest.mark.parametrize("after", ["1", "date"])
def test_a_hub_that_asks_to_wait_is_asked_again_then(after, hub, run, published):
    if after == "date":
        after = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3))
    hub.fail(INFO.format(name=published), 429, headers={"Retry-After": after})
    begin = time.monotonic()
    ended = run("pull", published)
    assert ended.code == 0 and time.monotonic() - begin >= 1
    assert "The Hub failed (status 429); trying again in" in ended.err


def test_a_hub_that_asks_for_an_hour_is_not_waited_for(hub, run, published):
    hub.fail(INFO.format(name=published), 429, ALWAYS, {"Retry-After": "3600"})
    assert "answers no more requests for now" in run("pull", published).error


# Runs a command, and prints the most memory that this process has had, in kB.
PEAK = """
import re, sys
from audiotag.cli import main
sys.argv[1:] = ["pull", sys.argv[1]]
try:
    main()
except SystemExit as ended:
    print(ended.code, re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux' /proc")
def test_what_is_compressed_unasked_is_not_unpacked(hub, run, published, environment):
    bomb = gzip.compress(b"[" + 10_000_000 * b"1," + b"1]")
    hub.reply(INFO.format(name=published), Reply(bomb, 200, {"Content-Encoding": "gzip"}), ALWAYS)
    assert "does not answer as a Hub does" in run("pull", published).error
    code, peak = map(int, run_python(environment, PEAK, published).out.split())
    assert code == 1 and peak < 1_000_000  # unpacked it would be 1.3 GB


class Elsewhere:
    """A server that is not the Hub, and the headers that it is sent."""

    def __init__(self):
        self.seen = seen = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                seen.append(dict(self.headers))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}"[: 2 * (self.command == "GET")])

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/x"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def elsewhere():
    found = Elsewhere()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["/api/models/", "/resolve/", WEIGHTS])
def test_the_token_goes_to_no_other_server(place, status, hub, run, published, elsewhere):
    hub.reply(place, Reply(b"", status, {"Location": elsewhere.url}), ALWAYS)
    run("pull", published, token=READ_TOKEN)
    assert elsewhere.seen or place == "/resolve/"  # whose first answer is read, not followed
    assert all(READ_TOKEN not in str(headers) for headers in elsewhere.seen)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["/api/", "/large/", "/resolve/"])
@pytest.mark.parametrize("status", [500, 503])
def test_a_hub_that_fails_for_good_is_given_up(place, status, hub, environment, published):
    hub.fail(place, status, ALWAYS)
    ended = run_alone(environment, "pull", published)
    assert ended.code == 1 and "fails (status" in ended.err


def altered(content):
    """As long, and another file."""
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_file_of_another_content_is_never_used(file, hub, run, folder, published, tmp_path):
    content = (folder / file).read_bytes()
    path = WEIGHTS if file == "model.safetensors" else f"/{published}/resolve/"
    good = hub.repositories[published]
    stored = next(iter(good.commits.values()))[file]
    headers = {"X-Repo-Commit": next(iter(good.commits)), "ETag": f'"{stored.blob_id}"'}
    hub.reply(path, Reply(altered(content), 200, headers), ALWAYS)
    error = run("pull", published).error
    assert f"{file} differed from the Hub's hash, and was removed" in error
    local = run("pull", published, "--local-dir", tmp_path / "here").error
    assert "differed from the Hub's hash" in local and not (tmp_path / "here" / file).exists()
    hub.heal()
    pulled = Path(run("pull", published).out.rstrip("\n"))
    assert (pulled / file).read_bytes() == content


def test_a_file_that_came_altered_once_is_downloaded_again(hub, run, folder, published):
    content = (folder / "model.safetensors").read_bytes()
    hub.reply(WEIGHTS, Reply(altered(content)))
    ended = run("pull", published)
    assert ended.code == 0 and "differs from the hash" in ended.err
    assert Path(ended.out.rstrip("\n"), "model.safetensors").read_bytes() == content


def test_a_file_that_changed_in_the_cache_is_not_used_offline(hub, run, folder, published):
    pulled = Path(run("pull", published).out.rstrip("\n"), "model.safetensors")
    content = pulled.read_bytes()
    pulled.resolve().write_bytes(altered(content))
    hub.fail("/", 503, ALWAYS)
    ended = run("pull", published)
    assert ended.code == 1 and "differed from the Hub's hash" in ended.err
    assert not pulled.exists()
    hub.heal()
    assert run("pull", published).out and pulled.read_bytes() == content


def test_what_the_hub_says_of_files_that_are_no_models_is_left_alone(hub, run, name):
    hub.add(name, {"config.json": json.dumps({"a": 1}).encode(), "model.safetensors": b"x"})
    assert isinstance(run("pull", name), Ended)
