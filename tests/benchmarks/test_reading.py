"""Reading speeds: every way reads the same sound, and the figures are of what was read."""

import sys

import h5py
import numpy as np
import pytest
import torch
import torchaudio
from click.testing import CliRunner

from audiotag.benchmarks import hdf5_baseline, reading
from audiotag.cli import cli
from audiotag.data.dataset import ClipDataset
from audiotag.data.loading.streamed import StreamedSamples
from audiotag.errors import DataError
from audiotag.runtime.timing import WARM_UPS
from tests.support.prepared_data import Clip, noise, write_dataset

CHOSEN = torch.tensor([3, 0, 4])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Five clips of up to a second at 32 kHz: rising tones, which mp3 keeps."""
    monkeypatch.setattr("tests.support.prepared_data.RATE", 32_000)
    time = np.arange(32_000) / 32_000
    tones = [20_000 * np.sin(2 * np.pi * (300 + 100 * i + 900 * time) * time) for i in range(5)]
    clips = [Clip(f"{i}", x[: 32_000 - 4000 * i].astype(np.int16)) for i, x in enumerate(tones)]
    return write_dataset(tmp_path / "data", clips)


def test_every_way_reads_the_same_sound(folder, tmp_path):
    dataset = ClipDataset(folder)
    readers = list(reading._readers(dataset, CHOSEN, 1.0, tmp_path))
    names = {reader.name for reader in readers}
    assert names == {"shards", "memory", "hdf5 samples", "hdf5 mp3"}
    places = torch.tensor([2, 1])
    power = torchaudio.transforms.MelSpectrogram(
        32_000, 1024, hop_length=320, f_min=50, f_max=14_000, n_mels=128
    )
    for reader in readers:
        batch = reader.read(places)
        maps = (10 * power(batch).clamp(min=1e-10).log10() + 18.2696) / 30.5735
        # Single precision keeps some 70 dB below a tone.
        floor = maps.amax((1, 2), keepdim=True) - 70 / 30.5735
        found = reader.maps(batch)[:, 0].maximum(floor)
        torch.testing.assert_close(found, maps.maximum(floor), atol=1e-3, rtol=0)
        assert batch.shape == (2, 32_000) and batch.dtype == torch.float32
        for waveform, clip in zip(batch, (4, 0), strict=True):
            expected = dataset.read(clip) / 32_767
            found = waveform[: len(expected)].numpy()
            if reader.name == "hdf5 mp3":  # some 30 ms late, as mp3 is
                delay = np.argmax(np.correlate(found, expected[:8000], "valid"))
                assert delay < 2000
                found, expected = found[delay : delay + 8000], expected[:8000]
            np.testing.assert_allclose(found, expected, atol=0.05 if "mp3" in reader.name else 4e-5)


def test_samples_lie_as_the_peers_have_them(folder, tmp_path):
    dataset = ClipDataset(folder)
    with h5py.File(hdf5_baseline.write_samples(dataset, CHOSEN, 32_000, tmp_path / "s.h5")) as file:
        rows = file["waveform"]
        assert rows.shape == (3, 32_000) and rows.dtype == np.int16
        np.testing.assert_array_equal(rows[0, :20_000], dataset.read(3))
        assert (rows[0, 20_000:] == 0).all()


def test_figures_are_of_the_clips_that_were_read(folder, monkeypatch):
    read = []
    windows = StreamedSamples.windows

    def counted(self, clips, cuts):
        read.append(len(clips))
        return windows(self, clips, cuts)

    monkeypatch.setattr(StreamedSamples, "windows", counted)
    messages = []
    speed = reading.measure(folder, clips=4, runs=2, report=messages.append)
    assert speed.clips == 4 and speed.seconds <= 1 and len(messages) == 2
    assert [len(x.warm) for x in speed.readings] == [2] * len(speed.readings)
    shards = [x for x in speed.readings if x.name == "shards"]
    assert sum(read) / 4 == len(shards) * 2 * (2 + WARM_UPS + 2)
    for row in speed.readings:
        figures = row.warm, row.cold, row.maps_warm, row.maps_cold
        assert {len(runs) for runs in figures} == {2} and min(map(min, figures)) > 0
    samples = next(x for x in speed.readings if x.name == "hdf5 samples")
    assert samples.clip_bytes == pytest.approx(2 * 32_000 * speed.seconds, rel=0.05)
    assert shards[0].clip_bytes < samples.clip_bytes


def test_ratios_are_of_runs_side_by_side():
    one = reading.ReadingSpeed("shards", 1, 1.0, (10.0, 40.0, 30.0), (1.0, 1.0, 1.0), (), ())
    two = reading.ReadingSpeed("hdf5 mp3", 1, 1.0, (5.0, 10.0, 10.0), (4.0, 2.0, 2.0), (), ())
    assert reading.ratio(one, two) == 3 and reading.ratio(one, two, cold=True) == 0.5


def test_without_h5py_the_remedy_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match="pip install h5py"):
        reading.measure(folder, clips=2, runs=1)


def test_rates_without_mp3_leave_it_out(tmp_path):
    folder = write_dataset(tmp_path / "data", [Clip("a", noise(800, 0))])
    speed = reading.measure(folder, runs=1)
    assert "hdf5 mp3" not in {x.name for x in speed.readings}


def test_command_prints_a_row_for_each_way(folder):
    result = CliRunner().invoke(cli, ["bench", "data", str(folder), "--runs", "1"])
    assert result.exit_code == 0, result.output
    for said in (
        "5 clips of up to 1 s",
        "shards",
        "memory",
        "hdf5 samples",
        "hdf5 mp3",
        "cold",
        "maps/s",
    ):
        assert said in result.stdout
    result = CliRunner().invoke(cli, ["bench", "--data", str(folder), "--train"])
    assert result.exit_code == 2 and "give one" in result.output
