"""What is done about events: commands, webhooks, MQTT; run here for real, on the loopback."""

import json
import os
import socket
import struct
import sys
import threading
import time

import pytest

from audiotag.live.actions import runner as runner_module
from audiotag.live.actions.command import Command
from audiotag.live.actions.mqtt import Mqtt
from audiotag.live.actions.runner import ActionError, Runner
from audiotag.live.actions.webhook import Webhook
from tests.support.live_server import LiveServer, Stream

RECORD = {
    "event": "begin",
    "source": "rtsp://camera/live",
    "label": "Dog; touch harm $(touch harm)",
    "mid": None,
    "start": "2026-05-01T12:00:00.000+00:00",
    "score": 0.71,
}


def test_a_command_gets_the_event_in_three_ways_and_no_shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = (
        "import json, os, sys; json.dump([sys.argv[1:], os.environ['AUDIOTAG_LABEL'],"
        " os.environ['AUDIOTAG_MID'], json.load(sys.stdin)], open('out.json', 'w'))"
    )
    Command([sys.executable, "-c", code, "{label}", "at {start} ({score})", "$HOME"]).run(RECORD)
    words, label, mid, record = json.loads((tmp_path / "out.json").read_text())
    assert words == [RECORD["label"], f"at {RECORD['start']} (0.71)", "$HOME"]
    assert (label, mid, record) == (RECORD["label"], "", RECORD)
    assert os.listdir(tmp_path) == ["out.json"]


def test_a_command_line_is_split_into_words():
    assert Command.parse("notify-send 'a {label}' now").name == "--exec notify-send"
    with pytest.raises(ValueError, match="No closing quotation"):
        Command.parse("echo 'a")
    with pytest.raises(ValueError, match="is empty"):
        Command.parse("  ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["/no/such/program"], r"cannot be run \(No such file"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "ended with exit code 3"),
        ([sys.executable, "-c", "import time; time.sleep(60)"], "took more than 1 s"),
    ],
)
def test_a_command_that_fails_says_how(words, message, monkeypatch):
    monkeypatch.setattr("audiotag.live.actions.command.LONGEST", 1.0)
    with pytest.raises(ActionError, match=message):
        Command(words).run(RECORD)


def test_a_webhook_posts_json_and_tries_again_what_fails_in_passing(monkeypatch):
    monkeypatch.setattr("audiotag.live.actions.webhook.WAITS", (0.0, 0.0))
    with LiveServer([Stream(status=503), Stream(status=429), Stream(status=204)]) as server:
        url = server.url.replace("//", "//me:pass%20word@") + "/hook?key=1"
        hook = Webhook(url)
        hook.run(RECORD)
    assert [path for path, _, _ in server.requests] == ["/hook?key=1"] * 3
    _, body, headers = server.requests[-1]
    assert json.loads(body) == RECORD
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Basic bWU6cGFzcyB3b3Jk"
    assert "pass" not in hook.name and "key" not in hook.name


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (Stream(status=404), "answers 404"),
        (Stream(b"http://127.0.0.1:1/", status=302), "answers 302"),
        (Stream(status=500), "answers 500"),
    ],
)
def test_a_webhook_that_fails_says_how(stream, message, monkeypatch):
    monkeypatch.setattr("audiotag.live.actions.webhook.WAITS", (0.0, 0.0))
    with LiveServer([stream]) as server, pytest.raises(ActionError, match=message):
        Webhook(server.url).run(RECORD)


def test_a_webhook_that_nobody_answers_says_so(monkeypatch):
    monkeypatch.setattr("audiotag.live.actions.webhook.WAITS", (0.0,))
    with pytest.raises(ActionError, match="cannot be reached"):
        Webhook("http://127.0.0.1:1/").run(RECORD)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/", "http://", "hook"])
def test_a_webhook_is_an_address_of_the_web(url):
    with pytest.raises(ValueError, match="begins with http:// or https://"):
        Webhook(url)


class Broker:
    """Speaks as much MQTT 3.1.1 as a client that publishes needs (OASIS standard, section 3)."""

    def __init__(self) -> None:
        self.published: list[tuple[str, str, bool]] = []
        self.connect = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection, connection.makefile("rb") as file:
            while head := file.read(1):
                size = shift = 0
                while True:
                    byte = file.read(1)[0]
                    size |= (byte & 127) << shift
                    shift += 7
                    if not byte & 128:
                        break
                body, kind = file.read(size), head[0] >> 4
                if kind == 1:
                    self.connect = body
                    connection.sendall(b"\x20\x02\x00\x00")
                elif kind == 3:
                    length = struct.unpack(">H", body[:2])[0]
                    topic, number = body[2 : 2 + length], body[2 + length : 4 + length]
                    content = body[4 + length :]
                    self.published.append((topic.decode(), content.decode(), bool(head[0] & 1)))
                    connection.sendall(b"\x40\x02" + number)


def test_events_are_published_by_mqtt_with_a_sensor_for_each_label():
    broker = Broker()
    mqtt = Mqtt(f"mqtt://me:pass@127.0.0.1:{broker.port}/home/audio")
    deadline = time.monotonic() + 30
    while not broker.published and time.monotonic() < deadline:
        time.sleep(0.05)
    mqtt.run(RECORD | {"label": "Dog"})
    mqtt.run(RECORD | {"label": "Dog", "event": "end"})
    mqtt.close()
    topics = [(topic, retain) for topic, _, retain in broker.published]
    place = "home/audio/rtsp_camera_live/Dog"
    number = place.replace("/", "_")
    assert topics == [
        ("home/audio/status", True),
        (f"homeassistant/binary_sensor/{number}/config", True),
        (place, True),
        (f"{place}/event", False),
        (place, True),
        (f"{place}/event", False),
        ("home/audio/status", True),
    ]
    contents = [content for _, content, _ in broker.published]
    assert [contents[i] for i in (0, 2, 4, 6)] == ["online", "ON", "OFF", "offline"]
    sensor = json.loads(contents[1])
    assert sensor["state_topic"] == place and sensor["availability_topic"] == "home/audio/status"
    assert json.loads(contents[3])["label"] == "Dog"
    assert b"me" in broker.connect and b"offline" in broker.connect  # the will
    assert "pass" not in mqtt.name


def test_a_broker_that_nobody_is_at_is_said(monkeypatch):
    monkeypatch.setattr("audiotag.live.actions.mqtt.CONNECTING", 0.2)
    mqtt = Mqtt("mqtt://127.0.0.1:1")
    with pytest.raises(ActionError, match="cannot be reached|does not answer"):
        mqtt.run(RECORD)
    mqtt.close()
    with pytest.raises(ValueError, match="begins with mqtt://"):
        Mqtt("http://127.0.0.1:1")


class Slow:
    """An action that waits until it may go on."""

    name = "slow"

    def __init__(self) -> None:
        self.may_go_on, self.done, self.is_closed = threading.Event(), [], False

    def run(self, record) -> None:
        assert self.may_go_on.wait(30)
        self.done.append(record["number"])
        if record["number"] == 1:
            raise ActionError("failed")

    def close(self) -> None:
        self.is_closed = True


def test_listening_does_not_wait_for_an_action_and_what_is_left_out_is_said(monkeypatch):
    monkeypatch.setattr(runner_module, "WAITING", 5)
    reports: list[str] = []
    action = Slow()
    runner = Runner(action, reports.append)
    for number in range(20):
        runner.put({"number": number})
    assert reports == ["slow: is too slow: 5 events wait, and further ones are left out"]
    action.may_go_on.set()
    runner.close()
    assert action.is_closed and action.done[:5] == [0, 1, 2, 3, 4]
    assert len(reports) == 1  # within a minute, once


def test_a_failure_is_said_and_the_next_event_is_acted_on():
    reports: list[str] = []
    action = Slow()
    action.may_go_on.set()
    runner = Runner(action, reports.append)
    runner.put({"number": 1})
    runner.put({"number": 2})
    runner.close()
    assert action.done == [1, 2] and reports == ["slow: failed"]
