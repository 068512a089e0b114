"""`audiotag listen` as a process: pipes, signals, and what it prints."""

import json
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from audiotag.cli import cli
from tests.live.conftest import RATE, cats, encoded  # noqa: F401
from tests.support.live_server import LiveServer, Stream

AUDIOTAG = [sys.executable, "-m", "audiotag", "listen"]


def records(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_raw_samples_and_audio_on_standard_input_say_the_same(cats, encoded):  # noqa: F811
    raw = (cats * 2**15).astype("<i2").tobytes()
    how = {"capture_output": True, "timeout": 120}
    one = subprocess.run([*AUDIOTAG, "-", "--raw", str(RATE), "--label", "Cat"], input=raw, **how)
    other = subprocess.run([*AUDIOTAG, "-", "--label", "Cat"], input=encoded("wav"), **how)
    assert one.returncode == other.returncode == 0, one.stderr
    found = [
        [(x["event"], x.get("label"), x.get("score")) for x in records(run.stdout.decode())]
        for run in (one, other)
    ]
    assert [row[:2] for row in found[0]] == [row[:2] for row in found[1]]
    scores = [[score for *_, score in rows if score is not None] for rows in found]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)  # the file has rounded samples
    assert found[0][0] == ("connected", None, None)
    assert [label for kind, label, _ in found[0] if kind == "end"].count("Meow") == 2


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_request_to_end_ends_the_events_that_go_on(encoded, name, code):  # noqa: F811
    stream = Stream(encoded("wav"), "audio/wav", rate=64_000.0)  # twice as fast as it sounds
    with LiveServer([stream]) as server:
        words = [*AUDIOTAG, server.url, "--label", "Cat"]
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(words, **how) as process:
            lines = [process.stdout.readline()]
            while '"begin"' not in lines[-1]:
                lines.append(process.stdout.readline())
            process.send_signal(getattr(signal, name))
            rest, errors = process.stdout.read(), process.stderr.read()
    assert process.returncode == code, errors
    found = records("".join(lines) + rest)
    begun = [x["label"] for x in found if x["event"] == "begin"]
    assert sorted(begun) == sorted(x["label"] for x in found if x["event"] == "end")
    assert errors == "Stopped; the same command listens again\n"


@pytest.mark.slow
def test_the_table_shows_sources_labels_and_events(encoded):  # noqa: F811
    words = [*AUDIOTAG, "-", "--label", "Cat", "--format", "table"]
    run = subprocess.run(words, input=encoded("wav"), capture_output=True, timeout=120)
    text = run.stdout.decode()
    assert run.returncode == 0, run.stderr
    assert "Meow begins (0.9" in text and "Meow ends after 1." in text
    assert "dB" in text or "ended" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is no nowhere; listen to mic, to an address"),
        (["-", "--raw", "x"], "'x' is not RATE[:CHANNELS[:FORMAT]]"),
        (["-", "--raw", "8000", "--on", "Dog>2"], "'Dog>2' is no rule"),
        (["-", "--raw", "8000", "--on", "Dgo"], "the model has no label 'Dgo'"),
        (["-", "--raw", "8000", "--label", "Dgo"], "the model has no label 'Dgo'"),
        (["-", "--raw", "8000", "--quiet-hours", "10"], "'10' is not of the form 22:00-06:30"),
        (["-", "--raw", "8000", "--webhook", "file:///x"], "begins with http:// or https://"),
        (["-", "--raw", "8000", "--mqtt", "http://x"], "begins with mqtt:// or mqtts://"),
        (["-", "--raw", "8000", "--exec", "'"], "is no command: No closing quotation"),
        (["-", "--raw", "8000", "--hop", "3"], "hop is 3.0; to find events it must be 2.0"),
    ],
)
def test_wrong_usage_is_said_in_a_sentence(words, message):
    result = CliRunner().invoke(cli, ["listen", *words])
    assert result.exit_code == 2
    assert message in result.output
