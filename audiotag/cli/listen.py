"""`audiotag listen`: events of live sound, as they happen."""

import json
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audiotag.cli.options import with_options
from audiotag.cli.options.device import DEVICE, PRECISION
from audiotag.cli.options.events import BRIDGE, GO_ON, LABEL
from audiotag.cli.options.inputs import (
    CHANNEL,
    ENGINE,
    MODEL,
    SECONDS,
    TRACK,
    Computation,
    usage_errors,
)
from audiotag.cli.options.types import COUNT_OR_NONE, NEW_FOLDER, Number
from audiotag.cli.progress.interrupted import requests_noted
from audiotag.cli.say import say

if TYPE_CHECKING:
    from audiotag.live.actions.runner import Action
    from audiotag.live.recorder import RecordOptions
    from audiotag.live.watch import Doing
    from audiotag.tagging.tag import TagOptions

MEGABYTE = 10**6
HEARING = (
    MODEL,
    LABEL,
    click.option(
        "--threshold",
        type=Number("score", float, 0, 1),
        help="Score at which an event begins, from 0 to 1.  [default: that of its class in the "
        "model, or 0.5]",
    ),
    click.option(
        "--top-k",
        type=COUNT_OR_NONE,
        default=5,
        show_default=True,
        help="At most NUMBER events that begin at once; 0 for all, which is so with --on.",
    ),
    click.option(
        "--window",
        type=SECONDS,
        help="Seconds of sound that are heard at once.  [default: 2]",
    ),
    click.option(
        "--hop",
        type=SECONDS,
        help="From the start of one window to the start of the next.  [default: a quarter of the "
        "window]",
    ),
    BRIDGE,
    GO_ON,
    TRACK,
    CHANNEL,
    click.option(
        "--raw",
        metavar="RATE[:CHANNELS[:FORMAT]]",
        help="Pipes hold samples without a header, such as 48000:2:s16le. FORMAT is u8, s16le "
        "(the default), s16be, s32le, f32le or f32be.",
    ),
    DEVICE,
    ENGINE,
    PRECISION,
)
ACTING = (
    click.option(
        "--on",
        "rules",
        multiple=True,
        metavar="RULE",
        help="Act on these events alone: 'Dog>0.7', or 'Dog' from the score at which it is an "
        "event. Labels below it in AudioSet's ontology count. May be given several times.",
    ),
    click.option(
        "--exec",
        "commands",
        multiple=True,
        metavar="COMMAND",
        help="Run a command, without a shell. {label}, {score}, {start}, {end}, {source} and "
        "{event} in its words are replaced; the event is on its standard input as JSON.",
    ),
    click.option(
        "--webhook", "webhooks", multiple=True, metavar="URL", help="Post the event as JSON."
    ),
    click.option(
        "--when",
        type=click.Choice(["begin", "end", "both"]),
        default="begin",
        show_default=True,
        help="Run commands and post when an event begins, when it ends, or both times.",
    ),
    click.option(
        "--mqtt",
        metavar="URL",
        help="Publish by MQTT, such as at mqtt://user:password@broker/prefix: ON and OFF, and the "
        "event as JSON. Home Assistant finds the sensors by itself.",
    ),
    click.option(
        "--record",
        type=NEW_FOLDER,
        help="Keep the sound of each event as a FLAC file in this folder.",
    ),
    click.option(
        "--before",
        type=Number("seconds", float, 0, 60),
        default=2.0,
        show_default=True,
        help="With --record: seconds before the event.",
    ),
    click.option(
        "--after",
        type=Number("seconds", float, 0, 60),
        default=2.0,
        show_default=True,
        help="With --record: seconds after the event.",
    ),
    click.option(
        "--record-longest",
        type=Number("seconds", float, 1, 3600),
        default=300.0,
        show_default=True,
        help="With --record: a longer event is not recorded to its end.",
    ),
    click.option(
        "--record-most",
        type=Number("megabytes", float, 1),
        default=1000.0,
        show_default=True,
        help="With --record: megabytes of all recordings; beyond them the oldest are removed.",
    ),
    click.option(
        "--at-most-every",
        type=Number("seconds", float, 0),
        default=0.0,
        show_default=True,
        help="Act on a label of a source once in so many seconds.",
    ),
    click.option(
        "--quiet-hours",
        metavar="HH:MM-HH:MM",
        help="Do not act at these hours of the day, such as 22:00-06:30.",
    ),
)
SHOWING = (
    click.option(
        "--format",
        type=click.Choice(["table", "jsonl"]),
        help="[default: table on a terminal, else jsonl]",
    ),
    click.option("--devices", is_flag=True, help="List the microphones, and end."),
)


def _options(command: Callable) -> Callable:
    return with_options((*HEARING, *ACTING, *SHOWING), command)


@click.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@_options
def listen(sources: tuple[str, ...], devices: bool, **options: Any) -> None:
    """Say what can be heard now, as it begins and as it ends.

    SOURCE is mic (the default) or mic:NAME, an address (rtsp:// of a camera, http:// or https:// of
    a radio, rtmp://, srt://, udp://), a named pipe, or - for standard input. Several are heard at
    once. A source that breaks off is asked for again, until the command is stopped.

    \b
    Example: audiotag listen
             audiotag listen rtsp://user:password@camera/stream --label Dog
             audiotag listen mic --on 'Smoke detector>0.5' --exec 'notify-send {label}'
             audiotag listen mic --on Bird --record birds --quiet-hours 22:00-05:00
             arecord -t raw -f S16_LE -r 48000 | audiotag listen - --raw 48000 > events.jsonl
    """
    if devices:
        return _list_devices()
    hearing = {name: options.pop(name) for name in ("model", "device", "engine", "precision")}
    _listen(sources or ("mic",), Computation(**hearing), options)


def _list_devices() -> None:
    from audiotag.live.sources import microphones

    for number, name in microphones():
        click.echo(f"mic:{number}  {name}")


def _listen(names: tuple[str, ...], computation: Computation, options: dict[str, Any]) -> None:
    from audiotag.audio.sources import Listening
    from audiotag.live.sources import RawFormat, parse_source
    from audiotag.live.watch import watch

    with usage_errors():
        raw = None if options["raw"] is None else RawFormat.parse(options["raw"])
        listening = Listening(options["track"], options["channel"])
        sources = [parse_source(name, raw, listening) for name in dict.fromkeys(names)]
        how, doing = _how(options), _doing(options)
    engine = computation.open()
    with usage_errors():
        engine.labels.within(how.label)
        stopping = threading.Event()
        news = watch(engine, sources, how, doing, say, stopping)
        with requests_noted(stopping.set):
            _show(news, options["format"], [source.name for source in sources])


def _show(news: Generator[Any, None, None], form: str | None, names: list[str]) -> None:
    from audiotag.live.listen import Heard

    if form == "table" or (form is None and sys.stdout.isatty()):
        from audiotag.cli.tables.live import LiveTable

        with closing(news), LiveTable(names) as table:
            for item in news:
                table.note(item)
        return
    with closing(news):
        for item in news:
            if not isinstance(item, Heard):
                click.echo(json.dumps(item.to_dict(), ensure_ascii=False))
                sys.stdout.flush()


def _how(options: dict[str, Any]) -> "TagOptions":
    from audiotag.tagging.tag import TagOptions

    return TagOptions(
        top_k=0 if options["rules"] else options["top_k"],
        threshold=options["threshold"],
        label=options["label"],
        window=options["window"],
        hop=options["hop"],
        events=True,
        go_on=options["go_on"],
        bridged=options["bridged"],
    )


def _doing(options: dict[str, Any]) -> "Doing":
    from audiotag.live.actions.command import Command
    from audiotag.live.actions.webhook import Webhook
    from audiotag.live.limits import Limits, QuietHours
    from audiotag.live.rules import Rule
    from audiotag.live.watch import Doing

    quiet = options["quiet_hours"]
    always: list[Action] = []
    if options["mqtt"] is not None:
        from audiotag.live.actions.mqtt import Mqtt

        always.append(Mqtt(options["mqtt"]))
    return Doing(
        rules=[Rule.parse(text) for text in options["rules"]],
        actions=[
            *map(Command.parse, options["commands"]),
            *map(Webhook, options["webhooks"]),
        ],
        when=options["when"],
        always=always,
        limits=Limits(options["at_most_every"], quiet and QuietHours.parse(quiet)),
        record=_record(options),
    )


def _record(options: dict[str, Any]) -> "RecordOptions | None":
    from audiotag.live.recorder import RecordOptions

    if options["record"] is None:
        return None
    return RecordOptions(
        Path(options["record"]),
        options["before"],
        options["after"],
        options["record_longest"],
        round(options["record_most"] * MEGABYTE),
    )
