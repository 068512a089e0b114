"""AudioSet's parquet files, written small with the schema of the Hub data set."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.support.made_recordings import noise

RATE = 8000  # Hz
SCHEMA = pa.schema(
    [
        ("video_id", pa.string()),
        ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("labels", pa.list_(pa.string())),
        ("human_labels", pa.list_(pa.string())),
    ]
)
MIDS = (["/m/09x0r"], ["/m/0bt9lr", "/m/04rlf"], ["/m/04rlf"])
NAMES = (("Speech",), ("Dog", "Music"), ("Music",))


def clip(number, mids=None):
    file = io.BytesIO()
    soundfile.write(file, noise(number), RATE, format="FLAC")
    name = f"-{number:09d}_"
    audio = {"bytes": file.getvalue(), "path": f"{name}.flac"}
    mids = MIDS[number % 3] if mids is None else mids
    return {"video_id": name, "audio": audio, "labels": mids, "human_labels": ["x"]}


@pytest.fixture
def folder(tmp_path):
    """40 clips for training in row groups of 12, and 5 for evaluation."""
    for subset, numbers in (("bal_train", range(40)), ("eval", range(40, 45))):
        path = tmp_path / "copy" / "data" / subset / "00.parquet"
        path.parent.mkdir(parents=True)
        table = pa.Table.from_pylist([clip(number) for number in numbers], SCHEMA)
        pq.write_table(table, path, row_group_size=12, compression="none")
    return tmp_path / "copy"
