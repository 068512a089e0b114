"""Collections written small as they are published, and ESC-10 itself."""

import collections
import os
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest

from audiotag.data.dataset import read_labels
from audiotag.data.prepare.prepare import prepare
from audiotag.data.recordings import Failure, FileAudio, Recording
from audiotag.data.sources.collections import ListedSource
from audiotag.data.sources.esc50 import open_esc50
from audiotag.data.sources.fsd50k import open_fsd50k
from audiotag.data.sources.urbansound8k import open_urbansound8k
from audiotag.errors import DataError
from tests.support.made_recordings import failures_of, rows_of

RATE = 8000  # Hz


def about(out):
    """What the index says of each clip, by its labels."""
    rows = rows_of(out)
    return {tuple(x["labels"]): (x["split"], x["fold"], round(x["duration"], 2)) for x in rows}


@pytest.mark.parametrize(
    ("table", "audio"),
    [
        ("meta/esc50.csv", "audio"),
        ("ESC-50-master/meta/esc50.csv", "ESC-50-master/audio"),
        ("esc50/meta/esc50.csv", "esc50/audio"),  # in soundata's home
        ("esc50.csv", "audio/audio"),
    ],
)
def test_esc50(tmp_path, make_wav, table, audio):
    names = ["1-100032-A-0.wav", "5-251971-A-36.wav"]
    for number, name in enumerate(names):
        make_wav(tmp_path / "esc" / audio / name, 5.0, 44_100, frequency=300 + 100 * number)
    (tmp_path / "esc" / table).parent.mkdir(exist_ok=True)
    (tmp_path / "esc" / table).write_text(
        "filename,fold,target,category,esc10,src_file,take\n"
        f"{names[0]},1,0,dog,True,100032,A\n"
        f"{names[1]},5,36,vacuum_cleaner,False,251971,A\n"
        "5-9032-A-0.wav,5,0,dog,True,9032,A\n"
    )
    out = prepare(open_esc50(tmp_path / "esc"), tmp_path / "data", RATE)
    assert about(out) == {
        ("dog",): ("valid", 1, 5.0),
        ("vacuum_cleaner",): ("train", 5, 5.0),
    }
    (failure,) = failures_of(out)
    assert (failure["source"], failure["kind"]) == (f"{audio}/5-9032-A-0.wav", "missing")


@pytest.mark.parametrize(
    ("table", "audio"),
    [
        ("metadata/UrbanSound8K.csv", "audio"),
        ("UrbanSound8K/metadata/UrbanSound8K.csv", "UrbanSound8K/audio"),
        ("UrbanSound8K.csv", "."),
    ],
)
def test_urbansound8k(tmp_path, make_wav, table, audio):
    folder = tmp_path / "us" / audio
    make_wav(folder / "fold1" / "101415-3-0-2.wav", 4.0, 48_000, 2)
    make_wav(folder / "fold10" / "100648-1-0-0.wav", 0.5, frequency=900)
    (tmp_path / "us" / table).parent.mkdir(exist_ok=True)
    (tmp_path / "us" / table).write_text(
        "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
        "101415-3-0-2.wav,101415,1.0,5.0,1,1,3,dog_bark\n"
        "100648-1-0-0.wav,100648,4.823402,5.471927,2,10,1,car_horn\n"
    )
    source = open_urbansound8k(tmp_path / "us")
    assert [x.group for x in source.recordings(0, 2)] == ["101415", "100648"]
    out = prepare(source, tmp_path / "data", RATE)
    assert about(out) == {("dog_bark",): ("valid", 1, 4.0), ("car_horn",): ("train", 10, 0.5)}


def test_fsd50k(tmp_path, make_wav):
    folder = tmp_path / "fsd"
    for path, pitch in (("dev_audio/64760", 3), ("dev_audio/16399", 5), ("eval_audio/37199", 7)):
        make_wav(folder / f"FSD50K.{path}.wav", 1.0, 44_100, frequency=100 * pitch)
    truth = folder / "FSD50K.ground_truth"
    truth.mkdir()
    (truth / "vocabulary.csv").write_text(
        "0,Accelerating_and_revving_and_vroom,/m/07q2z82\n1,Guitar,/m/0342h\n2,Music,/m/04rlf\n"
    )
    (truth / "dev.csv").write_text(
        'fname,labels,mids,split\n64760,"Guitar,Music","/m/0342h,/m/04rlf",train\n'
        "16399,Music,/m/04rlf,val\n"
    )
    (truth / "eval.csv").write_text(
        "fname,labels,mids\n37199,Accelerating_and_revving_and_vroom,/m/07q2z82\n"
    )
    out = prepare(open_fsd50k(folder), tmp_path / "data", RATE)
    assert about(out) == {
        ("Guitar", "Music"): ("train", None, 1.0),
        ("Music",): ("valid", None, 1.0),
        ("Accelerating_and_revving_and_vroom",): ("eval", None, 1.0),
    }
    assert read_labels(out).names == ("Accelerating_and_revving_and_vroom", "Guitar", "Music")


@pytest.mark.parametrize("open_", [open_esc50, open_urbansound8k, open_fsd50k])
def test_what_is_missing_is_named_with_where_to_get_it(tmp_path, open_):
    with pytest.raises(DataError, match="csv.*https://"):
        open_(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename,fold\na.wav,1\n", "lacks category and src_file"),
        ("", "lacks filename"),
        ("filename,fold,category,src_file\na.wav,1,dog,1\nb.wav,x,dog,1\n", "row 3: fold 'x'"),
        ("filename,fold,category,src_file\na.wav,1,,1\n", "row 2: category is empty"),
    ],
)
def test_tables_of_another_kind_are_refused(tmp_path, text, message):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        open_esc50(tmp_path)


def test_another_table_is_another_source(tmp_path):
    (tmp_path / "esc10.csv").write_text("path,fold,label\na.ogg,1,dog\n")
    first = open_esc50(tmp_path).fingerprint
    (tmp_path / "esc10.csv").write_text("path,fold,label\na.ogg,2,dog\n")
    assert open_esc50(tmp_path).fingerprint != first


@pytest.mark.slow
@pytest.mark.skipif("AUDIOTAG_TEST_DATA" not in os.environ, reason="needs ESC-10")
def test_esc10_itself(tmp_path):
    folder = Path(os.environ["AUDIOTAG_TEST_DATA"]) / "esc10"
    rows = rows_of(prepare(open_esc50(folder), tmp_path / "data", keep_duplicates=True))
    assert len(rows) == 400
    assert set(collections.Counter(row["fold"] for row in rows).values()) == {80}
    assert set(collections.Counter(row["labels"][0] for row in rows).values()) == {40}


def test_a_listing_gives_back_what_it_was_given_and_holds_little(tmp_path):
    labels = [f"label {number}" for number in range(500)]
    given = [
        Recording(
            name := f"some/{i % 100}/-{i:010d}_{i % 7}.wav",
            FileAudio(tmp_path / name),
            (labels[i % 500], labels[i % 499]),
            ("train", None)[i % 2],
            (3, None)[i % 2],
            (f"group {i}", None)[i % 2],
            (None, f"-{i:010d}")[i % 2],
            float(i % 2),
        )
        for i in range(20_000)
    ]
    given[7] = Failure("none", "no file is named by this id", "missing")
    given[-1] = Recording("ab\udcff.wav", FileAudio(tmp_path / "ab\udcff.wav"))
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    source = ListedSource(tmp_path, iter(given))
    held = tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes() - before
    tracemalloc.stop()
    assert held / len(given) < 200  # bytes
    assert list(source.recordings(0, len(source))) == given
    assert list(source.recordings(4090, 4100)) == given[4090:4100]
    assert not list(source.recordings(20_000, 20_000))
    given[5] = Recording("other.wav", given[5].audio)
    assert ListedSource(tmp_path, given).fingerprint != source.fingerprint


def test_folds_that_pandas_wrote_as_fractions_are_whole_numbers(tmp_path, make_wav):
    for name in "ab":
        make_wav(tmp_path / f"{name}.wav", 0.5, frequency=100 * ord(name))
    rows = "path,fold,label\na.wav,1.0,dog\nb.wav,2.,cat\n"
    (tmp_path / "esc10.csv").write_text(rows)
    found = about(prepare(open_esc50(tmp_path), tmp_path / "data", RATE))
    assert found == {("dog",): ("valid", 1, 0.5), ("cat",): ("train", 2, 0.5)}
    (tmp_path / "esc10.csv").write_text(rows.replace("2.", "2.5"))
    with pytest.raises(DataError, match="row 3: fold '2.5' is not a whole number"):
        open_esc50(tmp_path)
