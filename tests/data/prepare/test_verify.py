"""Verifying names what is damaged."""

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from audiotag.cli.prepare import prepare as command
from audiotag.data.prepare.prepare import prepare
from audiotag.data.prepare.verify import verify
from audiotag.errors import DataError
from tests.support.made_recordings import RATE, ListSource, recording, rows_of


def damages_of(folder):
    return [(x.file, x.key, x.reason) for result in verify(folder) for x in result.damages]


@pytest.fixture
def three(tmp_path):
    out = prepare(ListSource([recording(i) for i in range(3)]), tmp_path / "data", RATE)
    return out, out / "shards" / "0000-000000.tar", rows_of(out)


def write_at(path, place, data):
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


def test_verify_names_each_damaged_clip(three):
    out, shard, rows = three
    assert damages_of(out) == []
    write_at(shard, rows[0]["offset"] + 100, b"\xff\0\xff")
    write_at(shard, rows[1]["offset"] - 512, b"other")
    about = shard.read_bytes().index(b'{"key": "%s"' % rows[2]["key"].encode())
    write_at(shard, about, b'{"kez"')
    (name,) = {file for file, _, _ in damages_of(out)}
    assert name == "0000-000000.tar"
    keys_and_reasons = [(key, reason) for _, key, reason in damages_of(out)]
    assert keys_and_reasons == [
        (rows[0]["key"], "its bytes are not those that were written (sha256)"),
        (rows[1]["key"], "its place in the tar file is damaged"),
        (rows[2]["key"], "its json is damaged"),
    ]
    result = CliRunner().invoke(command, ["verify", str(out)])
    assert result.exit_code == 1
    assert all(f"{shard.name}, clip {row['key']}: " in result.output for row in rows)


def test_verify_sees_shards_cut_off_and_gone(three):
    out, shard, rows = three
    data = shard.read_bytes()
    shard.write_bytes(data[:-512])
    assert damages_of(out) == [
        (shard.name, None, "does not end as a tar file does: it was cut off or written over")
    ]
    shard.write_bytes(data[: rows[2]["offset"] + 10])
    assert [key for _, key, _ in damages_of(out)] == [rows[2]["key"], None]
    shard.unlink()
    assert damages_of(out) == [(shard.name, None, "cannot be read (No such file or directory)")]


def test_verify_sees_an_index_of_other_clips(three):
    out, _, rows = three
    table = pq.read_table(out / "index.parquet")
    pq.write_table(table.slice(0, 2), out / "index.parquet")
    assert {file for file, _, _ in damages_of(out)} == {"index.parquet"}
    (out / "index.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(DataError, match="index.parquet is damaged"):
        damages_of(out)
