"""The commands tag, embed and models, run as a user runs them."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from audiotag.audio.streams import stream
from audiotag.cli import cli
from audiotag.errors import DataError, ModelError

SAMPLES = Path(__file__).parents[2] / "audiotag/assets/samples"
COMMAND = (sys.executable, "-m", "audiotag")
PATIENCE = 300  # seconds for a process to come up and work on a busy machine


@pytest.fixture
def model(tiny_tagger, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny_tagger.save(folder)
    return str(folder)


@pytest.fixture
def here(tmp_path, monkeypatch, make_wav) -> Path:
    """A current folder with a tree of recordings named as people name them, and a bad one."""
    monkeypatch.chdir(tmp_path)
    make_wav("songs/a.wav", 1.0)
    make_wav("songs/my bird – 音.wav", 12.0, 44_100, 2)
    make_wav("songs/deep/a.wav", 3.0, frequency=1000)
    Path("songs/broken.mp3").write_text("this is no mp3\n")
    Path("songs/notes.txt").write_text("nor a recording\n")
    return tmp_path


GOOD = ["songs/a.wav", "songs/deep/a.wav", "songs/my bird – 音.wav"]
NAMES = ["songs/a.wav", "songs/broken.mp3", "songs/deep/a.wav", "songs/my bird – 音.wav"]


def run(*args: str, model: str | None = None, stdin: str | bytes | None = None) -> Result:
    options = ("--model", model) if model else ()
    result = CliRunner().invoke(cli, [*args, *options], input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def records(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_folder_gives_results_in_order_and_reports_the_bad_file(here, model):
    result = run("tag", "songs", "--format", "jsonl", model=model)
    got = records(result.stdout)
    assert [record["path"] for record in got] == NAMES
    assert set(got[1]) == {"path", "error"}
    for record in (got[0], *got[2:]):
        assert list(record) == ["path", "duration", "tags"] and len(record["tags"]) == 5
        scores = [tag["score"] for tag in record["tags"]]
        assert scores == sorted(scores, reverse=True) and all(0 <= x <= 1 for x in scores)
    assert [record.get("duration") for record in got] == [1.0, None, 3.0, 12.0]
    assert result.stderr.startswith("songs/broken.mp3: ") and result.stderr.count("\n") == 1
    assert result.exit_code == 1


def test_all_done_is_exit_code_0(here, model):
    result = run("tag", *GOOD, model=model)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line for line in result.stdout.splitlines() if line[0] != " "] == [
        "songs/a.wav  (0:01.0)",
        "songs/deep/a.wav  (0:03.0)",
        "songs/my bird – 音.wav  (0:12.0)",
    ]


def test_options_reach_the_tagger(here, model):
    args = ("tag", GOOD[2], "--format", "json", "--window", "5", "--hop", "4", "--timeline")
    record = json.loads(run(*args, "--top-k", "2", "--pool", "mean", model=model).stdout)
    spans = [(part["start"], part["end"]) for part in record["segments"]]
    assert spans == [(0.0, 5.0), (4.0, 9.0), (7.0, 12.0)]
    assert len(record["tags"]) == 2 and all(len(part["tags"]) == 2 for part in record["segments"])
    record = json.loads(run(*args, "--threshold", "1", model=model).stdout)
    assert [tag["guess"] for tag in record["tags"]] == [True]
    record = json.loads(run(*args, "--top-k", "0", model=model).stdout)
    assert len(record["tags"]) == 527


def test_command_and_python_agree(here, model):
    from audiotag import load_tagger

    record = json.loads(run("tag", GOOD[2], "--format", "json", model=model).stdout)
    result = load_tagger(model).tag(GOOD[2], top_k=5)
    got = [(tag.label, tag.mid, pytest.approx(tag.score, abs=1e-5)) for tag in result.tags]
    assert [(tag["label"], tag["mid"], tag["score"]) for tag in record["tags"]] == got


def test_paths_on_standard_input(here, model):
    listing = f"{GOOD[2]}\n\nsongs/deep\nmissing.wav\n"
    result = run("tag", "-", "--format", "csv", model=model, stdin=listing)
    rows = csv.DictReader(io.StringIO(result.stdout, newline=""))
    paths = list(dict.fromkeys(row["path"] for row in rows))
    assert paths == [GOOD[2], "songs/deep/a.wav", "missing.wav"]
    assert result.exit_code == 1 and "missing.wav: " in result.stderr


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
def test_lists_of_every_kind(here, model, separator):
    listing = "\ufeff" + separator.join([GOOD[2], "songs/deep"]) + separator
    result = run("tag", "-", "--format", "jsonl", model=model, stdin=listing.encode())
    assert [record["path"] for record in records(result.stdout)] == [GOOD[2], GOOD[1]]
    assert (result.exit_code, result.stderr) == (0, "")


def test_audio_on_standard_input(here, model):
    sound = Path(GOOD[2]).read_bytes()
    expected = records(run("tag", *GOOD, "--format", "jsonl", model=model).stdout)
    args = ("tag", GOOD[0], "-", GOOD[1], "--format", "jsonl")
    result = run(*args, model=model, stdin=sound)
    got = records(result.stdout)
    assert [record["path"] for record in got] == [GOOD[0], "-", GOOD[1]]
    assert got[1] | {"path": GOOD[2]} == expected[2]
    assert "Standard input is audio" in result.stderr and result.exit_code == 0
    run("embed", "-", "--output", "x.npz", model=model, stdin=sound)
    with np.load("x.npz") as arrays:
        assert arrays["paths"].tolist() == ["-"] and len(arrays["windows"]) == 2


@pytest.mark.parametrize("format", ["audacity", "json", "raven", "table", "csv"])
def test_a_recording_on_standard_input_is_one(here, model, format):
    args = ("--format", format, "--top-k", "1")
    piped = run("tag", "-", *args, model=model, stdin=Path(GOOD[2]).read_bytes())
    named = run("tag", GOOD[2], *args, model=model)
    assert piped.exit_code == named.exit_code == 0
    expected = named.stdout.replace(GOOD[2], "-").replace(GOOD[2].split("/")[1], "-")
    assert piped.stdout.split() == expected.split()
    listed = run("tag", "-", *args, model=model, stdin=GOOD[2])
    assert listed.exit_code == (2 if format == "audacity" else 0)
    assert (listed.stdout == named.stdout) == (format not in ("audacity", "json"))


def test_audio_that_cannot_be_decoded_is_named(here, model):
    result = run("tag", "-", "--format", "jsonl", model=model, stdin=bytes(1000))
    assert list(records(result.stdout)[0]) == ["path", "error"]
    assert "\n-: " in result.stderr and result.exit_code == 1


def test_other_audio_on_standard_input_is_no_earlier_run(here, model):
    args = ("tag", "-", "--output", "tags.jsonl", "--resume")
    for name in GOOD[:2]:
        result = run(*args, model=model, stdin=Path(name).read_bytes())
        assert "1 file done: tags.jsonl" in result.stderr
    got = records(Path("tags.jsonl").read_text())
    assert [record["duration"] for record in got] == [1.0, 3.0]


def test_a_list_in_utf_16_is_wrong_usage(here, model):
    result = run("tag", "-", model=model, stdin=GOOD[0].encode("utf-16"))
    assert result.exit_code == 2 and "write it in UTF-8" in result.stderr


def test_an_empty_standard_input_is_wrong_usage(here, model):
    result = run("tag", "-", model=model, stdin="")
    assert result.exit_code == 2 and "standard input names no audio files" in result.stderr


def test_urls_are_named_and_the_rest_is_tagged(here, model):
    urls = ["https://example.org/a.wav", "s3://bucket/a.wav"]
    result = run("tag", *urls, "file:///a.wav", GOOD[0], "no.wav", model=model)
    lines = result.stderr.splitlines()
    assert ["is a URL" in line for line in lines] == [True, True, True, False]
    assert all("download it first" in line for line in lines[:2])
    assert "give its path alone" in lines[2] and result.exit_code == 1
    assert [line.split(": ")[0] for line in lines[:3]] == [*urls, "file:///a.wav"]
    listed = run("tag", "-", "--format", "jsonl", model=model, stdin="\n".join(urls))
    assert [record["path"] for record in records(listed.stdout)] == urls


def test_labels_of_one_recording_and_of_many(here, model):
    result = run("tag", GOOD[2], "--format", "audacity", "--top-k", "1", model=model)
    starts = [float(line.split("\t")[0]) for line in result.stdout.splitlines()]
    assert starts == [0.0, 2.0]
    refused = run("tag", "songs", "--format", "audacity", model=model)
    assert refused.exit_code == 2 and "--output FOLDER" in refused.stderr
    result = run("tag", "songs", "--format", "audacity", "--output", "tracks", model=model)
    assert result.exit_code == 1
    tree = {path.relative_to("tracks").as_posix() for path in Path("tracks").rglob("*.*")}
    assert tree == {
        "_audiotag.json",
        "a.wav.labels.txt",
        "broken.mp3.error.json",
        "deep/a.wav.labels.txt",
        "my bird – 音.wav.labels.txt",
    }


def test_output_says_what_was_done_and_resume_retries_failures(here, model, make_wav):
    result = run("tag", "songs", "--output", "tags.jsonl", model=model)
    assert result.stdout == "" and "3 files done, 1 failed: tags.jsonl" in result.stderr
    refused = run("tag", "songs", "--output", "tags.jsonl", model=model)
    assert refused.exit_code == 2 and "--resume" in refused.stderr
    Path("songs/broken.mp3").unlink()
    make_wav("songs/broken.wav", 1.0)
    Path("songs/broken.wav").rename("songs/broken.mp3")
    result = run("tag", "songs", "--output", "tags.jsonl", "--resume", model=model)
    assert result.exit_code == 0 and "1 file done, 3 done before" in result.stderr
    got = records(Path("tags.jsonl").read_text())
    assert sorted(record["path"] for record in got) == NAMES
    assert not any("error" in record for record in got)


def test_a_hop_beyond_the_window_is_said_once(here, model):
    result = run("tag", *GOOD, "--window", "2", "--hop", "5", model=model)
    assert result.stderr == "--hop 5 is longer than --window 2: of every 5 s, 3 s are not heard\n"
    assert result.exit_code == 0


def test_a_dash_is_standard_output(here, model):
    result = run("tag", GOOD[0], "--output", "-", "--format", "jsonl", model=model)
    assert records(result.stdout)[0]["path"] == GOOD[0] and result.stderr == ""
    assert not Path("-").exists()


def test_the_summary_says_what_was_passed_over(here, model):
    Path("songs/gone.wav").symlink_to("nowhere")
    result = run("tag", "songs", "--output", "tags.csv", model=model)
    assert "songs/gone.wav: cannot be opened (No such file or directory)\n" in result.stderr
    assert "\nPassed over: not audio by name: 1 (.txt 1)\n" in result.stderr
    assert result.exit_code == 1


def test_other_options_and_models_do_not_go_on_with_an_output(here, model):
    run("tag", "songs", "--output", "tags.csv", model=model)
    before = Path("tags.csv").read_bytes()
    with pytest.raises(DataError, match=r"window 10\.0, now 5\.0"):
        run("tag", "songs", "--output", "tags.csv", "--resume", "--window", "5", model=model)
    with pytest.raises(DataError, match="other weights"):
        run("tag", "songs", "--output", "tags.csv", "--resume")
    assert Path("tags.csv").read_bytes() == before
    result = run("tag", str(here / "songs"), "--output", "tags.csv", "--resume", model=model)
    assert "2 done before" in result.stderr and Path("tags.csv").read_bytes() == before


def on_a_terminal(*args: str, model: str, encoding: str) -> str:
    """What the command writes on a terminal in an encoding."""
    ours, theirs = os.openpty()
    command = [*COMMAND, *args, "--model", model, "--device", "cpu"]
    environment = os.environ | {"PYTHONIOENCODING": encoding, "TERM": "xterm"}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    with suppress(OSError):  # the end of a terminal
        while piece := os.read(ours, 4096):
            written += piece
    os.close(ours)
    assert process.wait(PATIENCE) == 0, written
    return written.decode(encoding)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "ascii", "cp1252"])
def test_a_terminal_in_any_encoding_shows_names_of_any_bytes(here, model, encoding):
    folder = Path("odd")
    folder.mkdir()
    for name in (b"caf\xe9.wav", b"esc\x1b[41m.wav", "音\u202e.wav".encode()):
        Path(GOOD[0]).rename(os.fsdecode(b"odd/" + name))
        soundfile.write(GOOD[0], np.zeros(1000), 8000)
    for options in ((), ("--format", "csv"), ("--format", "jsonl")):
        text = on_a_terminal("tag", "odd", *options, model=model, encoding=encoding)
        assert "caf" in text and "\x1b[41m" not in text and "\u202e" not in text
        assert r"esc\x1b[41m.wav" in text or r"esc\u001b[41m.wav" in text


def test_equal_names_do_not_collide_in_a_folder(here, model):
    run("tag", "songs/a.wav", "songs/deep", "--output", "out/", model=model)
    for name in ("a.wav", "deep/a.wav"):
        assert json.loads(Path("out", f"{name}.jsonl").read_text())["path"] == f"songs/{name}"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["songs", "--top-k", "-1"], "--top-k"),
        (["songs", "--threshold", "2"], "--threshold"),
        (["songs", "--window", "0.00001"], "--window"),
        (["songs", "--hop", "0"], "--hop"),
        (["songs", "--window", "nan"], "--window"),
        (["songs", "--window", "inf"], "--window"),
        (["songs", "--window", "1e308"], "--window"),
        (["songs", "--hop", "inf"], "--hop"),
        (["songs", "--threshold", "nan"], "--threshold"),
        (["songs", "--output", "x.json", "--csv-bom"], "--csv-bom"),
        (["songs", "--format", "xls"], "--format"),
        (["songs", "--output", "x.xls"], "--format"),
        (["songs", "--resume"], "--output"),
        (["songs", "--exclude", "*"], "no audio files in songs"),
        ([], "PATH"),
    ],
)
def test_wrong_usage_is_exit_code_2_before_a_model_is_loaded(here, args, message):
    result = run("tag", *args, model="no/such/model")
    assert result.exit_code == 2 and message in result.stderr


def test_unknown_model_is_an_error_of_ours(here):
    with pytest.raises(ModelError, match="no/such/model"):
        run("tag", "songs", model="no/such/model")


@pytest.mark.parametrize("name", ["x.npz", "x.parquet"])
def test_embed(here, model, name):
    result = run("embed", "songs", "--output", name, model=model)
    assert result.exit_code == 1 and "songs/broken.mp3: " in result.stderr
    if name == "x.npz":
        with np.load(name) as arrays:
            assert arrays["paths"].tolist() == GOOD
            assert arrays["clips"].shape == (3, 32)
            assert arrays["window_files"].tolist() == [0, 1, 2, 2]
    refused = run("embed", "songs", "--output", name, model=model)
    assert refused.exit_code == 2 and "exists" in refused.stderr
    assert run("embed", "songs", "--output", "x.csv", model=model).exit_code == 2


def test_models_lists_downloaded_ones_and_architectures(model, tmp_path, monkeypatch):
    from huggingface_hub import constants

    snapshot = tmp_path / "models--me--birds" / "snapshots" / "0123abc"
    snapshot.parent.mkdir(parents=True)
    Path(model).rename(snapshot)
    other = tmp_path / "models--me--text" / "snapshots" / "0123abc"
    other.mkdir(parents=True)
    (other / "config.json").write_text('{"architectures": ["BertModel"]}')
    for repo in (snapshot, other):
        (repo.parents[1] / "refs").mkdir()
        (repo.parents[1] / "refs" / "main").write_text(repo.name)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    text = run("models").stdout
    assert "me/birds  convnext_dcls_audio_atto, 527 classes" in text
    assert "me/text" not in text and "\n  convnext_dcls_audio_tiny\n" in text


def start(*args: str, model: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, *args, "--model", model, "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait_for_lines(path: Path, count: int, process: subprocess.Popen) -> None:
    """Wait until a file has so many lines, or the process that writes it has ended."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.001)


@pytest.fixture
def many(tmp_path, monkeypatch) -> list[str]:
    """Names of several hundred short recordings of different lengths, in two folders."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    names = [f"many/{i % 2}/{i // 2:03}.wav" for i in range(400)]
    for i, name in enumerate(names):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(name, 0.1 * random.standard_normal(8000 + 10 * i), 8000)
    return names


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_ctrl_c_and_its_like_keep_what_is_done(many, model, number, code):
    process = start("tag", "-", "--output", "x.jsonl", model=model, stdin=subprocess.PIPE)
    process.stdin.write("\n".join(many[:20]) + "\n")
    process.stdin.flush()  # and left open: results come although more paths may follow
    wait_for_lines(Path("x.jsonl"), 20, process)
    process.send_signal(number)
    process.wait(PATIENCE)  # before communicate closes the list, which would end it as well
    _, errors = process.communicate()
    remedy = "the same command with --resume resumes"
    assert errors == f"Stopped: 20 files done, kept in x.jsonl; {remedy}\n"
    assert process.returncode == code
    assert [record["path"] for record in records(Path("x.jsonl").read_text())] == many[:20]


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed_loses_and_doubles_nothing(many, model):
    args = ("tag", "many", "--output", "x.jsonl", "--resume")
    for lines in (1, 150):
        process = start(*args, model=model)
        wait_for_lines(Path("x.jsonl"), lines, process)
        process.kill()
        process.communicate()
    before = Path("x.jsonl").read_bytes().count(b"\n")
    process = start(*args, model=model)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert f"{len(many) - before} files done, {before} done before: x.jsonl\n" in errors
    got = records(Path("x.jsonl").read_text())
    assert sorted(record["path"] for record in got) == sorted(many)
    assert all(len(record["tags"]) == 5 for record in got)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_killed_and_resumed_ends_in_the_same_bytes(many, model, name):
    Path("many/0/005.wav").write_text("no recording")
    args = ("tag", "many", "--output")
    start(*args, f"whole-{name}", model=model).communicate(timeout=PATIENCE)
    for lines in (1, 300):
        process = start(*args, name, "--resume", model=model)
        wait_for_lines(Path(name), lines, process)
        process.kill()
        process.communicate()
    assert Path(f".{name}.lock").exists()  # of the killed one
    process = start(*args, name, "--resume", model=model)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert Path(name).read_bytes() == Path(f"whole-{name}").read_bytes()
    assert not list(Path().glob(".*"))


@pytest.mark.slow
def test_a_folder_killed_and_resumed_holds_whole_files_only(many, model):
    process = start("tag", "many", "--output", "out", model=model)
    deadline = time.monotonic() + PATIENCE
    while len(list(Path("out").rglob("*.jsonl"))) < 50 and time.monotonic() < deadline:
        time.sleep(0.001)
    process.kill()
    process.communicate()
    done = {path: path.read_text() for path in Path("out").rglob("*.jsonl")}
    assert 50 <= len(done) and all(len(records(text)) == 1 for text in done.values())
    stamps = {path: path.stat().st_mtime_ns for path in done}
    process = start("tag", "many", "--output", "out", "--resume", model=model)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in done} == stamps
    got = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*.jsonl"))
    assert got == sorted(f"{name.removeprefix('many/')}.jsonl" for name in many)


@pytest.mark.slow
def test_a_reader_that_has_had_enough_is_no_error(many, model):
    process = start("tag", "many", "--format", "jsonl", model=model)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(timeout=PATIENCE)


@pytest.mark.slow
def test_help_imports_no_torch():
    code = (
        "import sys; from click.testing import CliRunner; from audiotag.cli import cli\n"
        "for name in ('tag', 'embed', 'models'):\n"
        "    result = CliRunner().invoke(cli, [name, '--help'])\n"
        "    assert result.exit_code == 0 and 'Example' in result.output, result.output\n"
        "sys.exit(sum(name in sys.modules for name in ('torch', 'timm', 'pyarrow', 'av')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=PATIENCE).returncode == 0


def test_events_of_a_sound_between_silence(tmp_path):
    waveform = np.concatenate(list(stream(SAMPLES / "cat.mp3", 32_000)))
    scene = np.zeros(32_000 * 12, np.float32)
    scene[32_000 * 5 :][: len(waveform)] = waveform
    soundfile.write(tmp_path / "scene.wav", scene, 32_000)
    args = ("tag", str(tmp_path / "scene.wav"), "--events", "--label", "Cat", "--format", "jsonl")
    (record,) = records(run(*args).stdout)
    event = next(x for x in record["events"] if x["label"] == "Meow")
    assert abs(event["start"] - 5.0) < 0.5  # a hop
    assert abs(event["end"] - 5.0 - len(waveform) / 32_000) < 0.5
    assert record["duration"] == 12.0


def test_events_need_windows_that_overlap(here, model):
    result = run("tag", GOOD[0], "--events", "--window", "2", "--hop", "3", model=model)
    assert result.exit_code == 2 and "hop" in result.stderr
