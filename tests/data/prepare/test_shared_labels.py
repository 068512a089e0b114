"""One sound under several labels: they are joined, or named where clips have one label each."""

from dataclasses import replace

import pytest

from audiotag.data.dataset import read_labels
from audiotag.data.prepare.merge import merge
from audiotag.data.prepare.prepare import prepare
from audiotag.data.prepare.verify import verify
from audiotag.runtime.shares import WHOLE, Share
from tests.support.made_recordings import RATE, ListSource, failures_of, recording, rows_of


def source(*clips):
    """Recordings of (sound, labels...)."""
    made = [replace(recording(seed), labels=tuple(labels)) for seed, *labels in clips]
    return ListSource([replace(one, name=f"{i}.wav") for i, one in enumerate(made)])


def prepared(given, folder, shares):
    for rank in range(shares):
        share = WHOLE if shares == 1 else Share(rank, shares)
        prepare(given, folder, RATE, share=share, shard_bytes=40_000)
    return merge(folder)


@pytest.mark.parametrize("shares", [1, 3])
def test_labels_of_duplicates_are_joined(tmp_path, shares):
    given = source((0, "dog"), (1, "cat", "meow"), (0, "bark", "dog"), (2,), (0,), (2, "hum"))
    out = prepared(given, tmp_path / "data", shares)
    assert [row["labels"] for row in rows_of(out)] == [["dog", "bark"], ["cat", "meow"], ["hum"]]
    assert [label.name for label in read_labels(out)] == ["bark", "cat", "dog", "hum", "meow"]
    assert [row["kind"] for row in failures_of(out)] == ["duplicate"] * 3
    assert not any(checked.damages for checked in verify(out))


@pytest.mark.parametrize("shares", [1, 3])
def test_where_clips_have_one_label_two_conflict(tmp_path, shares):
    given = source((0, "dog"), (1, "cat"), (0, "dog"), (1, "dog"), (2, "cat"))
    out = prepared(given, tmp_path / "data", shares)
    assert [row["labels"] for row in rows_of(out)] == [["dog"], ["cat"], ["cat"]]
    same, conflict = failures_of(out)
    assert (same["source"], same["kind"]) == ("2.wav", "duplicate")
    assert (conflict["source"], conflict["kind"]) == ("3.wav", "conflict")
    assert conflict["reason"].endswith("which is labelled cat, not dog")
    assert rows_of(out)[1]["key"] in conflict["reason"]
