"""Two hundred damaged files of every format through `audiotag tag`."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from audiotag.cli import cli
from tests.support.damage import DAMAGE_CASES


@pytest.mark.slow
def test_every_damaged_file_is_tagged_or_reported(tmp_path, tiny_tagger, intact):
    tiny_tagger.save(tmp_path / "model")
    folder = tmp_path / "damaged"
    folder.mkdir()
    for number, (suffix, damage, seed) in enumerate(DAMAGE_CASES):
        data = damage(intact[suffix], np.random.default_rng(seed))
        (folder / f"{number:03d}{suffix}").write_bytes(data)
    count = len(DAMAGE_CASES)
    assert count >= 200

    options = ["--model", str(tmp_path / "model"), "--format", "jsonl", "--device", "cpu"]
    result = CliRunner().invoke(cli, ["tag", str(folder), *options])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert len({row["path"] for row in rows}) == len(rows) == count
    failed = [row for row in rows if "error" in row]
    assert 0 < len(failed) < count
    assert all(row["path"] in result.stderr for row in failed)
    assert all(0 <= tag["score"] <= 1 for row in rows for tag in row.get("tags", ()))
    assert "Traceback" not in result.output
