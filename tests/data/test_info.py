"""`dataset.json`: its bytes as they have always been, and what is said where they are damaged."""

import json
import re

import pytest

from audiotag.data.dataset import ClipDataset
from audiotag.data.info import NAMES, DatasetInfo, SplitInfo, read_info
from audiotag.data.prepare.prepare import prepare
from audiotag.data.prepare.verify import verify
from audiotag.data.summary import summarise
from audiotag.errors import DataError
from tests.support.made_recordings import RATE, ListSource, recording

INFO = DatasetInfo(
    clips=3,
    hours=0.5,
    labels=2,
    sample_rate=8000,
    splits={"train": SplitInfo(2, "0123456789abcdef"), "valid": SplitInfo(1, "fedcba9876543210")},
    failures={"silent": 1},
    settings={"sample_rate": 8000, "limit": None, "source": "ListSource"},
    versions={"audiotag": "0.1.0"},
)
TEXT = """{
 "clips": 3,
 "hours": 0.5,
 "labels": 2,
 "sample_rate": 8000,
 "splits": {
  "train": {
   "clips": 2,
   "keys": "0123456789abcdef"
  },
  "valid": {
   "clips": 1,
   "keys": "fedcba9876543210"
  }
 },
 "failures": {
  "silent": 1
 },
 "settings": {
  "sample_rate": 8000,
  "limit": null,
  "source": "ListSource"
 },
 "versions": {
  "audiotag": "0.1.0"
 }
}
"""


def test_it_is_written_and_read(tmp_path):
    INFO.write(tmp_path)
    assert (tmp_path / "dataset.json").read_text() == TEXT
    assert read_info(tmp_path) == INFO
    assert set(NAMES) == json.loads(TEXT).keys()


def test_only_the_sample_rate_must_be_there(tmp_path):
    (tmp_path / "dataset.json").write_text('{"sample_rate": 8000, "of a later version": 1}')
    assert read_info(tmp_path) == DatasetInfo(sample_rate=8000)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TEXT[:50], "Unterminated string"),
        (b"\xff", "can't decode"),
        ("[1]", "it names no sample_rate"),
        ("{}", "it names no sample_rate"),
        ('{"sample_rate": "8000"}', "sample_rate is '8000'"),
        ('{"sample_rate": 8000, "settings": [1]}', "settings is "),
        ('{"sample_rate": 8000, "splits": {"train": 3}}', "splits: "),
        ('{"sample_rate": 8000, "splits": {"train": {"clips": 3}}}', "splits: .*keys"),
    ],
)
def test_a_damaged_file_is_named_wherever_it_is_read(tmp_path, text, reason):
    source = ListSource([recording(0)])
    folder = prepare(source, tmp_path / "data", RATE)
    path = folder / "dataset.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    message = f"{path} is damaged \\(.*{reason}.*\\); remove {folder} and prepare it again"
    for read in (read_info, ClipDataset, summarise, lambda x: prepare(source, x, RATE)):
        with pytest.raises(DataError, match=message):
            read(folder)
    (damage,) = next(verify(folder)).damages
    assert damage.file == "dataset.json" and re.search(reason, damage.reason)


def test_a_folder_without_it_is_no_data_set(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match=f"{folder} is not a prepared data set .*prepare"):
            read_info(folder)
