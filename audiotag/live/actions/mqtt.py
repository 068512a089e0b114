"""An action: publish events by MQTT, and tell Home Assistant that they exist.

    PREFIX/SOURCE/LABEL        ON while the sound is heard, else OFF
    PREFIX/SOURCE/LABEL/event  the event as JSON
    PREFIX/status              online, or offline once this has ended, however it ended

Home Assistant's discovery: a binary sensor for each source and label, as
https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery describes.
"""

import json
import re
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from audiotag.live.actions.runner import ActionError
from audiotag.live.news import BEGIN

PORTS = {"mqtt": 1883, "mqtts": 8883}
PREFIX, DISCOVERY = "audiotag", "homeassistant"
NOT_IN_TOPICS = re.compile(r"[^a-zA-Z0-9]+")
CONNECTING = 10.0  # s


class Mqtt:
    """Publishes each event at a broker.

    Args:
        url: Such as mqtt://user:password@broker:1883/prefix.

    Raises:
        ValueError: It is no address of a broker.
        ModuleNotFoundError: paho-mqtt is not installed.
    """

    def __init__(self, url: str) -> None:
        import paho.mqtt.client as paho

        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError("a broker's address begins with mqtt:// or mqtts://")
        self.name = f"--mqtt {parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._prefix = parts.path.strip("/") or PREFIX
        self._announced: set[str] = set()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        if parts.scheme == "mqtts":
            self._client.tls_set()
        if parts.username is not None:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        self._client.will_set(f"{self._prefix}/status", "offline", qos=1, retain=True)
        self._client.on_connect = self._connected
        self._client.connect_async(parts.hostname, parts.port or PORTS[parts.scheme])
        self._client.loop_start()

    def run(self, record: dict[str, Any]) -> None:
        """As of `Action`."""
        label, source = _topic(record["label"]), _topic(record["source"])
        topic = f"{self._prefix}/{source}/{label}"
        if topic not in self._announced:
            self._announce(topic, record)
        self._publish(topic, "ON" if record["event"] == BEGIN else "OFF", retain=True)
        self._publish(f"{topic}/event", json.dumps(record))

    def close(self) -> None:
        """Say goodbye to the broker."""
        with suppress(ActionError):
            self._publish(f"{self._prefix}/status", "offline", retain=True)
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: Any, *_: Any) -> None:
        client.publish(f"{self._prefix}/status", "online", qos=1, retain=True)

    def _announce(self, topic: str, record: dict[str, Any]) -> None:
        number = NOT_IN_TOPICS.sub("_", topic)
        about = {
            "name": record["label"],
            "unique_id": number,
            "state_topic": topic,
            "json_attributes_topic": f"{topic}/event",
            "availability_topic": f"{self._prefix}/status",
            "device_class": "sound",
            "device": {"identifiers": [_topic(record["source"])], "name": record["source"]},
        }
        self._publish(f"{DISCOVERY}/binary_sensor/{number}/config", json.dumps(about), retain=True)
        self._announced.add(topic)

    def _publish(self, topic: str, content: str, retain: bool = False) -> None:
        message = self._client.publish(topic, content, qos=1, retain=retain)
        try:
            message.wait_for_publish(CONNECTING)
        except (RuntimeError, ValueError) as error:  # not connected, or too many wait
            raise ActionError(f"cannot be reached ({error})") from error
        if not message.is_published():
            raise ActionError("the broker does not answer")


def _topic(name: str) -> str:
    return NOT_IN_TOPICS.sub("_", name).strip("_") or "_"
