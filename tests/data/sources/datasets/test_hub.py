"""`prepare hub`: the real client against a Hub on the loopback interface."""

import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.sources.datasets.test_tables import CLASS_LABEL, table
from tests.support.hub_server import OWNER, LoopbackHub
from tests.support.made_recordings import rows_of

NAME = f"{OWNER}/sounds"
CARD = b"---\nlicense: mit\n---\n"


def parquet(values):
    file = pa.BufferOutputStream()
    pq.write_table(table({"label": values}, {"label": pa.int64()}, {"label": CLASS_LABEL}), file)
    return file.getvalue().to_pybytes()


@pytest.fixture
def hub():
    with LoopbackHub() as server:
        files = {
            "data/train-00000-of-00001.parquet": parquet([0, 1, 2, 1]),
            "data/test-00000-of-00001.parquet": parquet([2, 0, 0, 0, 1]),
        }
        server.add(NAME, files | {"README.md": CARD, "sounds.py": b"raise SystemExit", "x.pt": b""})
        server.add(f"{OWNER}/script", {"README.md": CARD, "script.py": b"raise SystemExit"})
        server.add(f"{OWNER}/zipped", {"README.md": CARD, "audio.zip": b""})
        yield server


def run_prepare(hub, tmp_path, source, *words):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGG"))}
    words = ("prepare", "hub", source, tmp_path / "data", "--sample-rate", 8000, *words)
    return subprocess.run(
        [sys.executable, "-m", "audiotag", *map(str, words)],
        env=kept
        | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"},
        capture_output=True,
        text=True,
    )


def test_a_data_set_is_downloaded_and_prepared(hub, tmp_path):
    hub.fail("/resolve/", 503)  # once: the client tries again
    done = run_prepare(hub, tmp_path, NAME, "--keep-duplicates")
    assert done.returncode == 0, done.stderr
    assert [(x["split"], x["labels"]) for x in rows_of(tmp_path / "data")] == [
        *(("test", [label]) for label in ("sea waves", "dog", "dog", "dog", "rain")),
        *(("train", [label]) for label in ("dog", "rain", "sea waves", "rain")),
    ]
    assert "split test: data/test-00000-of-00001.parquet" in done.stderr
    assert "column label, as numbers of 3 named classes" in done.stderr
    fetched = [x for x in hub.requests if "/resolve/" in x]
    assert not any(x.endswith((".py", ".pt")) for x in fetched)


@pytest.mark.slow
def test_a_file_that_is_altered_on_the_way_is_never_used(hub, tmp_path):
    done = run_prepare(hub, tmp_path, NAME)
    assert done.returncode == 0, done.stderr
    (cached,) = (tmp_path / "hf").rglob("train-00000-of-00001.parquet")
    cached.resolve().write_bytes(parquet([2, 2, 2, 2]))
    again = run_prepare(hub, tmp_path, NAME)
    assert "differs from the hash" in again.stderr
    assert again.returncode == 1 and "was written again" in again.stderr, again.stderr
    checked = run_prepare(hub, tmp_path, NAME, "--check")
    assert checked.returncode == 0 and "all clips are those" in checked.stdout, checked.stderr
    assert run_prepare(hub, tmp_path, NAME).returncode == 0


@pytest.mark.parametrize(
    ("source", "words", "message"),
    [
        (f"{OWNER}/script", (), "is made by a program (script.py), which is never run"),
        (f"{OWNER}/zipped", (), "has its recordings in archives (audio.zip)"),
        (f"{OWNER}/none", (), "there is no datasets/me/none, or it is private"),
        (f"{NAME}@v9", (), "has no revision v9"),
        (NAME, ("--config", "x"), "me/sounds has no configuration x; its card names none"),
        (NAME, ("--label", "x"), "has no column x; it has audio, label"),
        ("nowhere", (), "nowhere is neither a folder nor a Hub id"),
    ],
)
def test_what_is_not_there_is_named(hub, tmp_path, source, words, message):
    done = run_prepare(hub, tmp_path, source, *words)
    assert done.returncode in (1, 2) and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "data").exists()
