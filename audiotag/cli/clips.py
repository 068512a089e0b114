"""`audiotag clips`: the sounds that were found, cut out of their recordings."""

import sys
from pathlib import Path

import click

from audiotag.cli.options.inputs import CHANNEL, TRACK, usage_errors
from audiotag.cli.options.types import COUNT, FILE, NEW_FOLDER, Number


@click.command()
@click.argument("results", type=FILE, metavar="RESULTS")
@click.option("--out", "--output", "-o", type=NEW_FOLDER, required=True, help="Where clips go.")
@click.option(
    "--label",
    multiple=True,
    metavar="NAME",
    help="Only this label and those below it in AudioSet's ontology. May be given several times.",
)
@click.option(
    "--min-score",
    type=Number("score", float, 0, 1),
    default=0.0,
    show_default=True,
    help="Only sounds with at least this score.",
)
@click.option(
    "--padding",
    type=Number("seconds", float, 0, 60),
    default=0.0,
    show_default=True,
    help="Seconds of sound before and after.",
)
@click.option("--most", type=COUNT, help="Clips of a label at most: those with the highest scores.")
@click.option(
    "--format",
    type=click.Choice(["flac", "wav"]),
    default="flac",
    show_default=True,
    help="wav keeps samples in floating point as they are.",
)
@TRACK
@CHANNEL
def clips(
    results: Path,
    out: Path,
    label: tuple[str, ...],
    min_score: float,
    padding: float,
    most: int | None,
    format: str,
    track: int | None,
    channel: int | None,
) -> None:
    """Cut the sounds in RESULTS out of their recordings, into a folder for each label.

    RESULTS is what audiotag tag --events or --timeline wrote as jsonl, json or csv, or decisions
    that its page exported, as csv or json. A clip that is there already is left as it is. The
    folders are those that prepare folder takes: from recordings to a data set in three commands.

    \b
    Example: audiotag tag recordings --events --output events.jsonl
             audiotag clips events.jsonl --label Dog --min-score 0.5 --out clips
             audiotag prepare folder clips data/clips
    """
    from audiotag.audio.sources import Listening
    from audiotag.cli.say import say
    from audiotag.label_set import Labels
    from audiotag.tagging.clips import ClipOptions, cut_clips

    known = Labels.audioset()
    names: set[str] = set()
    for name in label:
        with usage_errors():
            below = known.within((name,)) if name in known.names else ()
        names |= {name, *(known[i].name for i in below)}
    listening = Listening(track, channel)
    options = ClipOptions(frozenset(names), min_score, padding, most, format, listening)
    done = failed = 0
    for clip in cut_clips(results, out, options):
        done += clip.error is None
        failed += clip.error is not None
        if clip.error is not None:
            say(clip.error)
    say(f"{done} clip{'' if done == 1 else 's'}{f', {failed} failed' if failed else ''}: {out}")
    sys.exit(1 if failed or not done else 0)
