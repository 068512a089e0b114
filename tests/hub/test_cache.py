"""What `audiotag models` says of cached Hub models, and frees."""

import os
import re
from pathlib import Path

import pytest

from tests.support.hub_client import run_alone


def listed(run, *names: str) -> list[str]:
    """The lines of `audiotag models` about downloaded models of these names."""
    ended = run("models")
    assert ended.code == 0, ended.err
    part = ended.out.partition("Downloaded:\n")[2].partition("\n\n")[0]
    return [line for line in part.splitlines() if line.split()[0] in names]


def taken(environment) -> int:
    """Bytes of the files in the caches."""
    files = [x for x in Path(environment["HF_HOME"]).rglob("*") if x.is_file()]
    return sum(x.stat().st_size for x in files if not x.is_symlink() and x.suffix != ".lock")


def test_a_model_is_listed_with_size_revision_and_last_use(hub, run, published):
    folder = Path(run("pull", published).out.rstrip("\n"))
    os.utime((folder / "model.safetensors").resolve(), (1_600_000_000, 1_700_000_000))
    size = sum(len(content) for content in hub.files(published).values()) / 1e6
    (line,) = listed(run, published)
    assert line.startswith(
        f"  {published}  convnext_dcls_audio_atto, 527 classes, {size:.1f} MB, revision main, "
    )
    assert re.search(r"last used 2020-09-1[34] \d\d:\d\d$", line)
    assert listed(run, published) == [line]  # looking is no use


def test_another_librarys_model_is_not_listed(hub, environment, run, published):
    hub.add("someone/else", {"config.json": b"{}", "model.safetensors": b"x"})
    code = "from huggingface_hub import snapshot_download; snapshot_download('someone/else')"
    assert run("-c", code).code == 0
    assert listed(run, "someone/else") == []
    assert "is not in the cache" in run("models", "--remove", "someone/else").error


def test_every_revision_is_listed(hub, environment, run, published):
    run("pull", published)
    repository = hub.repositories[published]
    old = repository.branches["main"]
    repository.commit("main", "second", dict(repository.commits[old]))
    run("pull", published)
    revisions = sorted(re.search(r"revision (\S+),", line)[1] for line in listed(run, published))
    assert revisions == sorted(["main", old[:8]])
    ended = run("models", "--remove", f"{published}@{old[:8]}")
    # What both revisions hold is still needed.
    assert ended.out == f"{published}@{old[:8]}: removed, 0.0 MB freed\n"
    (line,) = listed(run, published)
    assert "revision main" in line
    assert run_alone(environment | {"HF_HUB_OFFLINE": "1"}, "pull", published).code == 0


@pytest.mark.slow
def test_a_removed_model_takes_no_room(environment, run, published, foreign):
    before, freed = taken(environment), 0.0
    for model in (published, foreign):
        assert run("pull", model).code == 0
    full = taken(environment)
    assert len(listed(run, published, foreign)) == 2
    for model in (published, foreign):
        ended = run("models", "--remove", model)
        assert ended.code == 0, ended.err
        freed += float(re.fullmatch(rf"{model}: removed, (\S+) MB freed\n", ended.out)[1])
        offline = run_alone(environment | {"HF_HUB_OFFLINE": "1"}, "pull", model)
        assert "is not in the cache" in offline.error
    assert listed(run, published, foreign) == []
    assert full - taken(environment) == pytest.approx(freed * 1e6, abs=0.2e6) and freed > 0.5
    assert taken(environment) == pytest.approx(before, abs=1000)


def test_what_is_not_there_is_not_removed(run, published):
    assert run("models", "--remove", published).error == (
        f"Error: {published} is not in the cache; audiotag models lists what is"
    )
    run("pull", published)
    missing = run("models", "--remove", f"{published}@v9")
    assert f"{published}@v9 is not in the cache" in missing.error
    assert len(listed(run, published)) == 1
