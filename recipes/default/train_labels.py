"""Label the training clips of a corpus by the words in their paths, for `distill.least_score`.

    python recipes/default/train_labels.py OUT/corpus.csv

`train_words.tsv`, beside this script, lists regular expressions for words, and the AudioSet classes
that recordings with such a name may hold. A clip's labels are the classes of all words in the name
of its file and of the two folders above it. Such labels are often wrong: a `bow` shoots, plays or
greets. They are for training that asks a teacher whether it hears them too. The column label of the
table is filled in place; that of development clips and of
sequences is empty.
"""

import argparse
import csv
import os
import re
from pathlib import Path, PurePosixPath

UNNAMED = "audio/sequences/"  # sounds of sequences.py, whose names are numbers
FOLDERS = 2  # above the file, whose names count
OWN_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")  # between the words of camelCase


def read_words(path: Path) -> list[tuple[re.Pattern[str], tuple[str, ...]]]:
    """Return the patterns of a train_words.tsv with their classes."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [(re.compile(rf"\b(?:{row['word']})\b"), tuple(row["label"].split(";"))) for row in rows]


def words_of(path: str) -> str:
    """Return the words of a path below its source's folder, in lower case, without digits."""
    parts = PurePosixPath(path).parts[2:]
    text = OWN_WORDS.sub(" ", " / ".join(parts[-1 - FOLDERS :]).rpartition(".")[0])
    return re.sub(r"[^a-z/]+", " ", text.lower())


def labels_of(path: str, words: list[tuple[re.Pattern[str], tuple[str, ...]]]) -> list[str]:
    """Return the classes that the words of a path may mean, each once."""
    text = words_of(path)
    found = (names for pattern, names in words if pattern.search(text))
    return list(dict.fromkeys(name for names in found for name in names))


def main() -> None:
    """Read the command line and fill the column."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path, help="a corpus.csv")
    table = parser.parse_args().corpus
    words = read_words(Path(__file__).with_name("train_words.tsv"))
    with table.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        reader = csv.DictReader(file)
        header, rows = list(reader.fieldnames or ()), list(reader)
    for row in rows:
        is_named = row["split"] == "train" and not row["path"].startswith(UNNAMED)
        labels = labels_of(row["path"], words) if is_named else []
        row["label"] = ";".join(labels)
    partial = table.with_name(f".{table.name}.part")
    with partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, table)
    print(f"{sum(bool(row['label']) for row in rows)} of {len(rows)} clips have labels")


if __name__ == "__main__":
    main()
