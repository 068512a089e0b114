"""Names of splits, as every source of recordings understands them."""

import pytest

from audiotag.data.sources.splits import split_in, split_named


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train.h5", "train"),
        ("data/train-00000-of-00001.parquet", "train"),
        ("unbalanced_train/part07.h5", "train"),
        ("testset.tar", "test"),
        ("TestSet1.parquet", "test"),
        ("val/x.arrow", "valid"),
        ("train/validation-0.parquet", "valid"),  # the nearest name
        ("eval_segments_mp3.hdf", "eval"),
        ("train_val.h5", None),
        ("contest.h5", None),
        ("latest/retrain.h5", None),
    ],
)
def test_words_of_paths_name_splits(path, split):
    assert split_in(path) == split


def test_names_are_splits_as_a_whole():
    names = ("Train", " validation ", "dev", "TESTING", "evaluation", "test tone", "trains", "")
    found = [split_named(name) for name in names]
    assert found == ["train", "valid", "valid", "test", "eval", None, None, None]
