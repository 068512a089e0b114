"""The parts of the cross-validation, by what the source says of its recordings."""

import numpy as np
import soundfile

from audiotag.data.dataset import ClipDataset
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.training.probe.probe import parts_of
from tests.support.prepared_data import RATE, Clip, noise, write_dataset


def test_clips_of_a_group_are_in_the_same_part(tmp_path):
    kits = [f"kit {i % 7}" for i in range(28)]
    for i in range(28):
        soundfile.write(tmp_path / f"{i}.wav", noise(RATE, i), RATE)
    rows = "".join(f"{i}.wav,{'ab'[i % 2]},train,{kits[i]}\n" for i in range(28))
    (tmp_path / "table.csv").write_text("path,label,split,group\n" + rows)
    dataset = _prepared(tmp_path)
    assert dataset.groups() == kits
    parts = parts_of(dataset, np.eye(2, dtype=bool)[np.arange(28) % 2])
    assert len(set(parts)) == 5
    assert len({(kit, part) for kit, part in zip(kits, parts, strict=True)}) == 7


def test_cuts_of_a_recording_are_in_the_same_part(tmp_path):
    for name in ("x.wav", "y.wav", "z.wav"):
        soundfile.write(tmp_path / name, noise(4 * RATE, ord(name[0])), RATE)
    rows = "".join(f"{n}.wav,{'ab'[i % 2]},train,{i},{i + 1}\n" for n in "xyz" for i in range(4))
    (tmp_path / "table.csv").write_text("path,label,split,start,end\n" + rows)
    dataset = _prepared(tmp_path)
    parts = parts_of(dataset, np.eye(2, dtype=bool)[np.arange(12) % 2])
    assert [len(set(parts[i : i + 4])) for i in (0, 4, 8)] == [1, 1, 1]
    assert len(set(parts)) == 3


def test_without_groups_each_recording_is_its_own(tmp_path):
    clips = [Clip(f"{i // 2:08d}_{i % 2:04d}_x", noise(800, i), ("a",)) for i in range(6)]
    dataset = ClipDataset(write_dataset(tmp_path / "data", clips))  # its index has no groups
    assert len(set(dataset.groups())) == 3
    assert parts_of(dataset, np.ones((6, 1), bool)).tolist() == [0, 0, 1, 1, 2, 2]


def _prepared(folder):
    prepare(CsvSource(folder / "table.csv"), folder / "data", sample_rate=RATE)
    return ClipDataset(folder / "data")
