"""AudioSet by its Hub id: the real client against a Hub on the loopback interface."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi

from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.audioset.hub_download import download_audioset
from audiotag.data.sources.audioset.open import open_audioset
from audiotag.errors import HubError
from tests.support.hub_server import OWNER, LoopbackHub
from tests.support.made_recordings import rows_of

NAME = f"{OWNER}/AudioSet"
RATE = 8000


@pytest.fixture
def hub(folder):
    """A Hub that holds the copy: 40 clips for training and 5 for evaluation."""
    files = {str(x.relative_to(folder)): x.read_bytes() for x in folder.rglob("*.parquet")}
    with LoopbackHub() as server:
        server.add(NAME, files | {"README.md": b"---\n---\n"})
        server.add(f"{OWNER}/other", {"README.md": b"---\n---\n"})
        server.add(f"{OWNER}/tars", {"20k/train/00.tar": b""})
        yield server


def run_prepare(hub, home, source, out, *words):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGG"))}
    words = ("prepare", "audioset", source, out, "--sample-rate", RATE, *words)
    return subprocess.run(
        [sys.executable, "-m", "audiotag", *map(str, words)],
        env=kept | {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"},
        capture_output=True,
        text=True,
    )


def test_hub_id_gives_what_its_folder_gives(hub, folder, tmp_path):
    done = run_prepare(hub, tmp_path / "hf", NAME, tmp_path / "data")
    assert done.returncode == 0, done.stderr
    local = prepare(open_audioset(folder), tmp_path / "local", RATE)
    assert rows_of(tmp_path / "data") == rows_of(local) and len(rows_of(local)) == 45
    for shard in local.glob("*.tar"):
        assert (tmp_path / "data" / shard.name).read_bytes() == shard.read_bytes()


def test_only_the_subsets_asked_for_are_downloaded_and_only_once(hub, tmp_path):
    words = (NAME, tmp_path / "data", "--subset", "eval")
    hub.fail("/resolve/", 503)  # once: the client tries again
    done = run_prepare(hub, tmp_path / "hf", *words)
    assert done.returncode == 0, done.stderr
    assert len(rows_of(tmp_path / "data")) == 5
    asked = [x for x in hub.requests if x.endswith(".parquet")]
    assert asked and all("/eval/" in x for x in asked)
    assert sum("/large/" in x for x in hub.requests) == 1
    hub.requests.clear()
    again = run_prepare(hub, tmp_path / "hf", *words)
    assert again.returncode == 0, again.stderr
    assert hub.requests and not any("/large/" in x for x in hub.requests)


@pytest.mark.parametrize(
    "source, words, message",
    [
        (f"{OWNER}/other", (), "has no parquet files of AudioSet; they lie in folders named bal_"),
        (f"{OWNER}/tars", (), "hf download me/tars --repo-type dataset --include"),
        (NAME, ("--subset", "unbalanced"), "has no parquet files of unbalanced"),
        (f"{OWNER}/none", (), "there is no datasets/me/none, or it is private"),
        (f"{NAME}@v9", (), "has no revision v9"),
        ("nowhere", (), "nowhere is neither a folder, a file nor a Hub id"),
        ("./nowhere/at", (), "./nowhere/at is neither a folder, a file nor a Hub id"),
    ],
)
def test_what_is_not_there_is_named(hub, tmp_path, source, words, message):
    done = run_prepare(hub, tmp_path / "hf", source, tmp_path / "data", *words)
    assert done.returncode in (1, 2) and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_hub_that_is_not_there_is_named(hub, tmp_path):
    hub.url = "http://127.0.0.1:9"
    done = run_prepare(hub, tmp_path / "hf", NAME, tmp_path / "data")
    assert done.returncode == 1 and "http://127.0.0.1:9 cannot be reached" in done.stderr


def test_a_disk_that_fills_up_while_xet_downloads_is_named(monkeypatch):
    file = SimpleNamespace(rfilename="data/eval/00.parquet", blob_id=None, lfs=None)
    files = SimpleNamespace(sha="0" * 40, siblings=[file])
    monkeypatch.setattr(HfApi, "dataset_info", lambda *_, **__: files)

    def fail(*_, **__):
        raise RuntimeError("Task error: IO Error: No space left on device (os error 28)")

    monkeypatch.setattr(HfApi, "snapshot_download", fail)
    with pytest.raises(HubError, match="No space left on device; make room, or set HF_HOME"):
        download_audioset(NAME)
