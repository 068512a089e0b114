"""What `audiotag models` says of cached Hub models, and frees."""

import os
import re
from pathlib import Path

import pytest
from hub_client import run_alone


@pytest.fixture
def away(environment, tmp_path) -> dict[str, str]:
    """Variables of a client with a cache of its own."""
    return environment | {"HF_HOME": str(tmp_path / "hf")}


def listed(away) -> list[str]:
    """The lines of `audiotag models` about downloaded models."""
    ended = run_alone(away, "models")
    assert ended.code == 0, ended.err
    part = ended.out.partition("Downloaded from the Hub:\n")[2].partition("\n\n")[0]
    return part.splitlines()


def taken(away) -> int:
    """Bytes of the files in the caches."""
    files = [x for x in Path(away["HF_HOME"]).rglob("*") if x.is_file() and not x.is_symlink()]
    return sum(x.stat().st_size for x in files if x.suffix != ".lock")


def test_a_model_is_listed_with_size_revision_and_last_use(hub, away, published):
    hub.add("someone/else", {"config.json": b"{}", "model.safetensors": b"x"})
    folder = Path(run_alone(away, "pull", published).out.rstrip("\n"))
    os.utime((folder / "model.safetensors").resolve(), (1_600_000_000, 1_700_000_000))
    size = sum(len(content) for content in hub.files(published).values()) / 1e6
    (line,) = listed(away)
    assert line.startswith(
        f"  {published}  convnext_dcls_audio_atto, 527 classes, {size:.1f} MB, revision main, "
    )
    assert re.search(r"last used 2020-09-1[34] \d\d:\d\d$", line)
    assert listed(away) == [line]  # looking is no use


def test_every_revision_is_listed(hub, away, published):
    run_alone(away, "pull", published)
    repository = hub.repositories[published]
    old = repository.branches["main"]
    repository.commit("main", "second", dict(repository.commits[old]))
    run_alone(away, "pull", published)
    revisions = sorted(re.search(r"revision (\S+),", line)[1] for line in listed(away))
    assert revisions == sorted(["main", old[:8]])
    ended = run_alone(away, "models", "--remove", f"{published}@{old[:8]}")
    # What both revisions hold is still needed.
    assert ended.out == f"{published}@{old[:8]}: removed, 0.0 MB freed\n"
    (line,) = listed(away)
    assert "revision main" in line
    assert run_alone(away | {"HF_HUB_OFFLINE": "1"}, "pull", published).code == 0


def test_a_removed_model_takes_no_room(hub, away, published, foreign):
    hub.add("me/kept", hub.files(published))
    for model in (published, foreign, "me/kept"):
        assert run_alone(away, "pull", model).code == 0
    before = taken(away)
    assert len(listed(away)) == 3
    freed = 0.0
    for model in (published, foreign):
        ended = run_alone(away, "models", "--remove", model)
        assert ended.code == 0, ended.err
        freed += float(re.fullmatch(rf"{model}: removed, (\S+) MB freed\n", ended.out)[1])
        offline = run_alone(away | {"HF_HUB_OFFLINE": "1"}, "pull", model)
        assert "is not in the cache" in offline.error
    (line,) = listed(away)
    assert line.startswith("  me/kept  ")
    assert before - taken(away) == pytest.approx(freed * 1e6, abs=0.2e6) and freed > 0.5


def test_what_is_not_there_is_not_removed(away, published):
    assert run_alone(away, "models", "--remove", published).error == (
        f"Error: {published} is not in the cache; audiotag models lists what is"
    )
    run_alone(away, "pull", published)
    missing = run_alone(away, "models", "--remove", f"{published}@v9")
    assert f"{published}@v9 is not in the cache" in missing.error
    assert len(listed(away)) == 1
