"""Sounds that a data set has twice, with different labels.

Of clips with the same samples the first is kept. If clips may have any number of labels, it gets
the labels of the others too. If each clip has exactly one label, both cannot be right, and the
others are listed as conflicts.
"""

from collections import defaultdict
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from audiotag.data.prepare.duplicates import DUPLICATE

CONFLICT = "conflict"  # the kind of failure


class SharedLabels:
    """The labels of duplicates, by the hash of the samples that they share with the kept clips.

    Args:
        tables: All rows of the data set, clips and failures, in `parts.PART_SCHEMA`.
    """

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self._labels: dict[str, list[str]] = defaultdict(list)  # of duplicates, by sha256
        self._kept: dict[str, dict] = {}  # the rows of the kept clips
        self._is_single = True
        for rows in tables:
            clips = rows.filter(pc.is_valid(rows["key"]))
            counts = pc.list_value_length(clips["labels"])
            self._is_single &= pc.all(pc.equal(counts, 1), min_count=0).as_py()
            for row in rows.filter(pc.equal(rows["kind"], DUPLICATE)).to_pylist():
                if row["sha256"] is not None:
                    self._labels[row["sha256"]] += row["labels"]

    def settle(self, rows: pa.Table) -> pa.Table:
        """The rows of one part, with the labels of duplicates added, or conflicts as failures.

        Call it for the parts in order, so that a clip comes before its duplicates.
        """
        doubled = pc.is_in(rows["sha256"], pa.array(self._labels, pa.string()))
        if not self._labels or not pc.any(doubled).as_py():
            return rows
        settled = [self._settled(row) if row["sha256"] else row for row in rows.to_pylist()]
        return pa.Table.from_pylist(settled, rows.schema)

    def _settled(self, row: dict) -> dict:
        others = self._labels.get(row["sha256"])
        if others is None:
            return row
        if row["key"] is not None:
            self._kept[row["sha256"]] = row
            labels = row["labels"] if self._is_single else [*row["labels"], *others]
            return row | {"labels": list(dict.fromkeys(labels))}
        kept = self._kept.get(row["sha256"])  # none if only the key is a duplicate
        if kept is None or not self._is_single or row["labels"] == kept["labels"]:
            return row
        reason = (
            f"has the same samples as the clip {kept['key']}, which is labelled "
            f"{', '.join(kept['labels'])}, not {', '.join(row['labels']) or 'with nothing'}"
        )
        return row | {"kind": CONFLICT, "reason": reason}
