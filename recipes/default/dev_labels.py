"""Label the development clips whose paths say what they are: a zero-shot test of short sounds.

    python recipes/default/dev_labels.py OUT/corpus.csv OUT/dev_labels.csv

`dev_labels.tsv`, beside this script, gives regular expressions and the AudioSet classes of the
paths they are found in; the first that is found counts. A clip's labels are these classes and
those above them in AudioSet's ontology, joined by `;`; above a class with several parents, such as
Growling (of dogs, cats, lions), nothing is known. Only the first piece of a long sound is taken,
and at most `--per-group` clips of a class from one package or repository. The table written has
the columns path (relative to it), label, group, start and end (empty for a whole file).
"""

import argparse
import csv
import os
import re
from collections import Counter
from pathlib import Path

from audiotag.label_set import Label, Labels, parents

PER_GROUP = 8  # clips: a folder of a hundred prompts should not outweigh everything else


def read_rules(path: Path) -> list[tuple[re.Pattern[str], tuple[str, ...]]]:
    """Return the patterns of a dev_labels.tsv with their classes, in its order."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [(re.compile(row["pattern"]), tuple(row["label"].split(";"))) for row in rows]


def with_ancestors(names: tuple[str, ...], audioset: Labels) -> list[str]:
    """Return these classes and those certainly above them in the ontology, in AudioSet's order.

    Raises:
        KeyError: If a name is none of AudioSet's 527.
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
    """Return the development clips of a corpus.csv that a rule names, with the classes it gives."""
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


def main() -> None:
    """Read the command line and write the table."""
    parser = argparse.ArgumentParser(description="Label the clips whose paths say what they are.")
    parser.add_argument("corpus", type=Path, help="a corpus.csv")
    parser.add_argument("out", type=Path, help="the table to write")
    parser.add_argument(
        "--per-group", type=int, default=PER_GROUP, help="clips per class and group"
    )
    arguments = parser.parse_args()
    with arguments.corpus.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    rules = read_rules(Path(__file__).with_name("dev_labels.tsv"))
    audioset = Labels.audioset()
    partial = arguments.out.with_name(f".{arguments.out.name}.part")
    classes: set[str] = set()
    clips = labelled(rows, rules, arguments.per_group)
    with partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "group", "start", "end"])
        for row, names in clips:
            path = os.path.relpath(arguments.corpus.parent / row["path"], arguments.out.parent)
            labels = with_ancestors(names, audioset)
            classes.update(labels)
            writer.writerow([path, ";".join(labels), row["group"], row["start"], row["end"]])
    os.replace(partial, arguments.out)
    print(f"{len(clips)} clips, {len(classes)} classes")


if __name__ == "__main__":
    main()
