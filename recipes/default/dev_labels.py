"""Label the development clips whose paths say what they are: a zero-shot test of short sounds.

    python recipes/default/dev_labels.py OUT/corpus.csv OUT/dev_labels.csv

`dev_labels.tsv`, beside this script, lists regular expressions and the AudioSet classes of paths
that match them; the first match counts. A clip's labels are these classes and those above them in
AudioSet's ontology, joined by `;`; classes above one with several parents, such as Growling (of
dogs, cats, lions), are left out. Only the first piece of a long sound is taken, and at most
`--per-group` clips of a class from one package or repository.

The table that is written has the columns path (relative to it), label, group, start and end (empty
for a whole file). With `--model` it also has the column agreed: whether one of the rule's classes
is among that model's first eight tags of the clip's first 10 s, with a score of 0.03 or more.
`dev_clips.tsv`, beside this script, lists the clips of the recipe's corpus, with mn04 as the model.
"""

import argparse
import csv
import os
import re
from collections import Counter
from pathlib import Path

import torch

from audiotag import load_tagger
from audiotag.audio.streams import read
from audiotag.label_set import Label, Labels, parents
from audiotag.tagging.tagger import Tagger

PER_GROUP = 60  # clips: a folder of hundreds of prompts should not outweigh everything else
HEARD = 10.0  # s of a clip that the model of `--model` hears
FIRST, LOWEST = 8, 0.03  # number and lowest score of the tags that are compared


def read_rules(path: Path) -> list[tuple[re.Pattern[str], tuple[str, ...]]]:
    """Return the patterns of a dev_labels.tsv with their classes, in its order."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [(re.compile(row["pattern"]), tuple(row["label"].split(";"))) for row in rows]


def with_ancestors(names: tuple[str, ...], audioset: Labels) -> list[str]:
    """Return these classes and those certainly above them in the ontology, in AudioSet's order.

    Raises:
        KeyError: If a name is not one of AudioSet's 527.
    """
    found: set[Label] = set()
    waiting = [audioset[audioset.index(name)] for name in names]
    while waiting:
        label = waiting.pop()
        found.add(label)
        assert label.mid is not None
        above = parents(label.mid)
        waiting += above if len(above) == 1 else ()
    return [label.name for label in audioset if label in found]


def labelled(
    rows: list[dict[str, str]], rules: list[tuple[re.Pattern[str], tuple[str, ...]]], limit: int
) -> list[tuple[dict[str, str], tuple[str, ...]]]:
    """Return the development clips of a corpus.csv that match a rule, with the rule's classes."""
    taken: Counter[tuple[str, tuple[str, ...]]] = Counter()
    kept = []
    for row in rows:
        if row["split"] != "dev" or row["start"] not in ("", "0.0"):
            continue
        names = next((names for pattern, names in rules if pattern.search(row["path"])), None)
        if names is not None and taken[row["group"], names] < limit:
            taken[row["group"], names] += 1
            kept.append((row, names))
    return kept


def agrees(tagger: Tagger, path: Path, names: tuple[str, ...]) -> bool:
    """Tell whether a model hears one of these classes in the beginning of a recording."""
    samples = torch.from_numpy(read(path, tagger.sample_rate, duration=HEARD))
    missing = round(tagger.min_duration * tagger.sample_rate) - len(samples)
    waveform = torch.nn.functional.pad(samples, (0, max(0, missing)))[None]
    with torch.inference_mode():
        scores, classes = tagger(waveform).sigmoid()[0].topk(FIRST)
    heard = {
        tagger.labels[int(i)].name
        for i, score in zip(classes, scores, strict=True)
        if score >= LOWEST
    }
    return not heard.isdisjoint(names)


def main() -> None:
    """Read the command line and write the table."""
    parser = argparse.ArgumentParser(description="Label the clips whose paths say what they are.")
    parser.add_argument("corpus", type=Path, help="a corpus.csv")
    parser.add_argument("out", type=Path, help="the table to write")
    parser.add_argument(
        "--per-group", type=int, default=PER_GROUP, help="clips per class and group"
    )
    parser.add_argument("--model", help="model to compare the labels with")
    arguments = parser.parse_args()
    with arguments.corpus.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    rules = read_rules(Path(__file__).with_name("dev_labels.tsv"))
    audioset = Labels.audioset()
    partial = arguments.out.with_name(f".{arguments.out.name}.part")
    classes: set[str] = set()
    clips = labelled(rows, rules, arguments.per_group)
    tagger = load_tagger(arguments.model).eval() if arguments.model else None
    header = ["path", "label", "group", "start", "end"] + ["agreed"] * (tagger is not None)
    with partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row, names in clips:
            recording = arguments.corpus.parent / row["path"]
            path = os.path.relpath(recording, arguments.out.parent)
            labels = with_ancestors(names, audioset)
            classes.update(labels)
            cells = [path, ";".join(labels), row["group"], row["start"], row["end"]]
            if tagger is not None:
                cells.append("yes" if agrees(tagger, recording, names) else "no")
            writer.writerow(cells)
    os.replace(partial, arguments.out)
    print(f"{len(clips)} clips, {len(classes)} classes")


if __name__ == "__main__":
    main()
