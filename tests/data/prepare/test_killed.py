"""A data set in the making: killed at any step, out of room, or divided between processes."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from audiotag.cli.prepare import prepare as command
from audiotag.data.prepare.merge import merge
from audiotag.data.prepare.prepare import prepare
from audiotag.data.prepare.verify import verify
from audiotag.errors import DataError
from audiotag.runtime.shares import Share
from tests.support.made_recordings import (
    RATE,
    ListSource,
    contents,
    failures_of,
    noise,
    recording,
    rows_of,
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of noises: one of several clips, one silent, one missing, the last ones twice.

    So a shard's last clip has its duplicate in the next.
    """
    folder = tmp_path_factory.mktemp("noises")
    lines = ["path,label"]
    for i in range(40):
        seconds = 2.3 if i == 4 else 0.2
        seed = i - 1 if i > 20 and i % 2 else i
        samples = np.zeros(RATE) if i == 7 else noise(seed, seconds)
        if i != 11:
            soundfile.write(folder / f"{i}.wav", samples, RATE, subtype="PCM_16")
        lines.append(f"{i}.wav,{'even' if i % 2 == 0 else 'odd'}")
    (folder / "t.csv").write_text("\n".join(lines))
    return folder / "t.csv"


ARGUMENTS = ["--sample-rate", str(RATE), "--clip-seconds", "0.5", "--shard-size", "20KB"]


@pytest.fixture(scope="module")
def expected(table, tmp_path_factory):
    """What an uninterrupted run makes of the table."""
    out = tmp_path_factory.mktemp("expected") / "data"
    run_command(["csv", str(table), str(out), *ARGUMENTS])
    assert len(rows_of(out)) == 32
    return contents(out)


def run_command(arguments):
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


KILLED = """
import os, signal, sys
from pathlib import Path
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource

sys.frozen = True  # no helpers: to start some in each of hundreds of runs would take minutes
table, root = map(Path, sys.argv[1:])
EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"}


def run(out, kill_at):
    seen = 0

    def hook(event, args):
        nonlocal seen
        if event in EVENTS and str(out) in str(args[0]):
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    if kill_at:
        sys.addaudithook(hook)
    prepare(CsvSource(table), out, 8000, 0.5, 20_000, workers=2)


def in_child(*args):
    pid = os.fork()
    if pid == 0:
        run(*args)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


number = 1
while in_child(root / str(number), number) == signal.SIGKILL:
    if in_child(root / str(number), number + 7) == signal.SIGKILL:  # and the next run too
        assert in_child(root / str(number), 0) == 0
    number += 1
"""


@pytest.mark.slow
def test_killed_at_any_step_it_ends_in_the_same_bytes(table, expected, tmp_path):
    """Killed before each of the operations on the output folder in turn."""
    subprocess.run([sys.executable, "-c", KILLED, str(table), str(tmp_path)], check=True)
    folders = list(tmp_path.iterdir())
    assert len(folders) > 50
    for folder in folders:
        assert contents(folder) == expected, folder.name


@pytest.mark.slow
def test_killed_at_any_time_it_ends_in_the_same_bytes(tmp_path):
    """Killed from outside, three times, while the command makes some hundred shards."""
    for i in range(300):
        soundfile.write(tmp_path / f"{i}.wav", noise(i, 0.5), RATE, subtype="PCM_16")
    names = "\n".join(f"{i}.wav,x" for i in range(300))
    (tmp_path / "t.csv").write_text(f"path,label\n{names}")
    whole, out = tmp_path / "whole", tmp_path / "data"
    run_command(["csv", str(tmp_path / "t.csv"), str(whole), *ARGUMENTS])
    line = [sys.executable, "-m", "audiotag", "prepare", "csv", str(tmp_path / "t.csv"), str(out)]
    for parts in (1, 20, 40):
        process = subprocess.Popen([*line, *ARGUMENTS], stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(out.glob("parts/*.parquet"))) < parts:
            time.sleep(0.001)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    subprocess.run([*line, *ARGUMENTS], check=True, capture_output=True)
    assert contents(out) == contents(whole)


@pytest.mark.parametrize("limit", [3_000, 15_000])
def test_a_full_disk_is_named_and_the_run_goes_on_later(table, expected, tmp_path, limit):
    """A limit on the size of files stands for a disk that has no room for a shard, or half."""
    out = tmp_path / "data"
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "from audiotag.cli import main\nmain()"
    )
    line = ["prepare", "csv", str(table), str(out), *ARGUMENTS]
    run = subprocess.run([sys.executable, "-c", code, *line], capture_output=True, text=True)
    assert run.returncode == 1
    (message,) = [text for text in run.stderr.splitlines() if text.startswith("Error")]
    assert str(out) in message and "File too large" in message
    assert "make room" in message and "it resumes where it stopped" in message
    assert "Traceback" not in run.stderr
    run_command(line[1:])
    assert contents(out) == expected


def test_several_processes_make_the_same_data_set(table, expected, tmp_path):
    out = tmp_path / "data"
    arguments = ["csv", str(table), str(out), *ARGUMENTS]
    for rank in (2, 0):
        run_command([*arguments, "--num-shards", "4", "--shard-index", str(rank)])
    with pytest.raises(DataError, match=r"nothing of shares 1, 3 \(of 4\)"):
        merge(out)
    clips = [sum(result.clips for result in verify(out, rank=rank)) for rank in (None, 0, 2)]
    assert clips[0] == clips[1] + clips[2] and min(clips) > 0
    for rank in (3, 1):
        environment = {"RANK": str(rank), "WORLD_SIZE": "4"}
        run = CliRunner().invoke(command, arguments, env=environment, catch_exceptions=False)
        assert "is done; audiotag prepare merge" in run.output
    run_command(["merge", str(out), "--verify"])
    whole = tmp_path / "whole"
    for name, data in expected.items():
        (whole / name).parent.mkdir(parents=True, exist_ok=True)
        (whole / name).write_bytes(data)
    place = ("shard", "offset")
    rows, others = (
        [{k: v for k, v in row.items() if k not in place} for row in rows_of(folder)]
        for folder in (out, whole)
    )
    assert rows == others
    for name in ("failures.jsonl", "labels.json"):
        assert (out / name).read_bytes() == expected[name]
    before = contents(out)
    run_command([*arguments, "--num-shards", "4", "--shard-index", "0"])
    run_command(["merge", str(out)])
    assert contents(out) == before


def test_a_clip_that_two_processes_took_is_in_the_index_once(tmp_path):
    keyed = [recording(2, key="k"), recording(3, key="k")]
    source = ListSource([recording(0), recording(1), recording(0), *keyed])
    for rank in range(5):
        prepare(source, tmp_path / "a", RATE, share=Share(rank, 5))
        prepare(source, tmp_path / "b", RATE, share=Share(rank, 5), keep_duplicates=True)
    shards = [row["shard"] for row in rows_of(merge(tmp_path / "a"))]
    assert shards == [f"000{rank}-000000.tar" for rank in (0, 1, 3)]
    assert [failure["source"] for failure in failures_of(tmp_path / "a")] == ["n/0.wav", "n/3.wav"]
    assert len(rows_of(merge(tmp_path / "b"))) == 4
    assert not [damage for result in verify(tmp_path / "a") for damage in result.damages]


def test_command_reports_and_says_what_goes_together(table, tmp_path):
    arguments = ["csv", str(table), str(tmp_path / "o"), *ARGUMENTS]
    result = run_command([*arguments, "--verify"])
    assert f"{tmp_path / 'o'}: 32 clips, 0.00 hours, 2 labels" in result.output
    assert "left out: 10 conflict, 1 missing, 2 silent" in result.output
    assert "32 clips, all as they were written" in result.output
    assert "40 of 40 recordings, 32 clips" in result.output and "clips/s" in result.output
    assert "is there already" in run_command(arguments).output
    for wrong in (["--shard-index", "1"], ["--shard-size", "1XB"], ["--shard-size", "0"]):
        assert CliRunner().invoke(command, [*arguments, *wrong]).exit_code == 2
