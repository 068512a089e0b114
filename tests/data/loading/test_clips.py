"""Batches of crops: what is cut, and that it is the same however the clips are held."""

import numpy as np
import pytest
import torch

from audiotag.data.dataset import ClipDataset
from audiotag.data.loading import clips as clips_module
from audiotag.data.loading.clips import Clips, ResidentSamples, StreamedSamples, open_clips
from audiotag.data.loading.crops import Cuts, draw_cuts, fill, play
from audiotag.errors import DataError
from tests.support.prepared_data import RATE, Clip, noise, write_dataset

CPU = torch.device("cpu")
LENGTHS = (1, 700, 3999, 4000, 4001, 8000, 30_000)  # samples at 8 kHz; crops are of 4000


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    clips = [Clip(f"{i}", noise(length, i)) for i, length in enumerate(LENGTHS)]
    return ClipDataset(write_dataset(tmp_path_factory.mktemp("crops") / "data", clips))


@pytest.fixture(scope="module")
def resident(dataset):
    return Clips(ResidentSamples(dataset, CPU))


def full_scale(samples):
    return torch.from_numpy(samples.astype(np.float32) / np.float32(32767))


@pytest.mark.parametrize("limits", [(1.0, 1.0), (0.5, 1.5)])
def test_streamed_and_resident_crops_are_the_same_bits(dataset, resident, limits):
    streamed = Clips(StreamedSamples(dataset, CPU, workers=3))
    assert len(streamed) == len(resident) == len(LENGTHS)
    source = torch.Generator().manual_seed(0)
    for seed in range(20):
        clips = torch.randint(len(LENGTHS), (13,), generator=source)
        speeds = limits[0] + (limits[1] - limits[0]) * torch.rand(13, generator=source)
        speeds[::3] = 1
        one, other = (
            x.crops(clips, 0.5, torch.Generator().manual_seed(seed), speeds)
            for x in (resident, streamed)
        )
        assert one.shape == (13, 4000) and torch.equal(one, other)


def test_streamed_and_resident_heads_are_the_beginnings(dataset, resident):
    clips = torch.arange(len(LENGTHS))
    heads = resident.heads(clips, 0.5)
    assert torch.equal(heads, Clips(StreamedSamples(dataset, CPU)).heads(clips, 0.5))
    for head, clip in zip(heads, clips.tolist(), strict=True):
        assert torch.equal(head, full_scale(np.pad(dataset.read(clip), (0, 4000))[:4000]))


@pytest.mark.parametrize("speed", [0.5, 0.77, 1.0, 1.31, 1.5])
@pytest.mark.parametrize("length", LENGTHS)
def test_cuts_equal_interpolation_in_double_precision(dataset, length, speed):
    samples = dataset.read(LENGTHS.index(length))
    lengths = torch.full((24,), length)
    speeds = torch.full((24,), speed)
    cuts = draw_cuts(lengths, 1000, torch.Generator().manual_seed(length), speeds)
    windows = torch.empty(24, cuts.width, dtype=torch.int16)
    for row in range(24):
        fill(windows[row], torch.from_numpy(samples), cuts, row)
    waveforms = play(windows, cuts)
    for row, waveform in enumerate(waveforms):
        expected = by_interpolation(samples, cuts, row)
        # Positions in single precision are 1/16384 of a sample off, the noise is full scale.
        np.testing.assert_allclose(waveform.numpy(), expected, rtol=0, atol=5e-4)


def by_interpolation(samples, cuts, row):
    """A cut in double precision: the clip laid into silence, then np.interp."""
    offset, reach = int(cuts.offsets[row]), int(cuts.reach[row])
    if len(samples) < reach:
        assert offset <= 0 and -offset + len(samples) <= reach
    else:
        assert 0 <= offset <= len(samples) - reach
    long = np.concatenate([np.zeros(reach), samples, np.zeros(reach + 1)])
    time = reach + offset + np.arange(cuts.size) * float(cuts.speeds[row])
    return np.interp(time, np.arange(len(long)), long) / 32767


def test_crops_of_a_long_clip_are_pieces_of_it_from_everywhere(dataset, resident):
    clip = LENGTHS.index(30_000)
    crops = resident.crops(torch.full((400,), clip), 0.5, torch.Generator().manual_seed(0))
    pieces = full_scale(dataset.read(clip)).unfold(0, 4000, 1)
    starts = [int((pieces[:, :3] == crop[:3]).all(1).nonzero()[0]) for crop in crops]
    assert all(torch.equal(pieces[s], crop) for s, crop in zip(starts, crops, strict=True))
    shares = np.histogram(starts, bins=4, range=(0, 26_000))[0] / 400
    np.testing.assert_allclose(shares, 0.25, atol=0.07)  # three standard deviations


def test_short_clips_lie_in_silence_anywhere(dataset, resident):
    clip = LENGTHS.index(700)
    samples = full_scale(dataset.read(clip))
    crops = resident.crops(torch.full((200,), clip), 0.5, torch.Generator().manual_seed(0))
    leads = []
    for crop in crops:
        lead = int(crop.nonzero()[0])
        leads.append(lead)
        assert torch.equal(crop[lead : lead + 700], samples) and crop[lead + 700 :].eq(0).all()
    assert min(leads) < 300 and max(leads) > 3000


def test_the_same_generator_gives_the_same_crops(resident):
    clips = torch.arange(len(LENGTHS))
    one, again, other = (
        resident.crops(clips, 0.5, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_speed_moves_the_pitch(tmp_path):
    tone = np.round(20_000 * np.sin(2 * np.pi * 500 * np.arange(4 * RATE) / RATE))
    folder = write_dataset(tmp_path / "tone", [Clip("tone", tone.astype(np.int16))], shards=1)
    clips = Clips(StreamedSamples(ClipDataset(folder), CPU))
    speeds = torch.tensor([0.5, 1.0, 1.5])
    crops = clips.crops(torch.zeros(3, dtype=torch.long), 1.0, torch.Generator(), speeds)
    peaks = torch.fft.rfft(crops).abs().argmax(1).float()
    torch.testing.assert_close(peaks, 500 * speeds, rtol=0, atol=1)


def test_what_does_not_fit_in_half_of_the_free_memory_is_streamed(dataset, monkeypatch):
    size = 2 * sum(LENGTHS)
    monkeypatch.setattr(clips_module, "free_bytes", lambda device: 2 * size)
    assert isinstance(open_clips(dataset, CPU).samples, ResidentSamples)
    monkeypatch.setattr(clips_module, "free_bytes", lambda device: 2 * size - 1)
    assert isinstance(open_clips(dataset, CPU, workers=1).samples, StreamedSamples)


@pytest.mark.parametrize("kind", [ResidentSamples, StreamedSamples])
def test_damage_is_named(tmp_path, kind):
    clips = [Clip(f"{i}", noise(99, i)) for i in range(4)]
    folder = write_dataset(tmp_path / "data", clips, shards=1)
    shard = folder / "shards" / "000000.tar"
    shard.write_bytes(shard.read_bytes()[:700])
    dataset = ClipDataset(folder)
    with pytest.raises(DataError, match=r"000000\.tar: clip [0-3] is missing or damaged"):
        Clips(kind(dataset, CPU)).heads(torch.arange(4), 0.01)


def test_clips_that_no_memory_holds_are_named(dataset, tmp_path):
    huge = ClipDataset(dataset.folder)
    huge.lengths = huge.lengths + 2**58
    with pytest.raises(DataError, match="more than the memory there is"):
        ResidentSamples(huge, CPU)


def test_cuts_reach_as_far_as_is_played():
    speeds = torch.tensor([0.5, 1.0, 1.5])
    cuts = draw_cuts(torch.tensor([10_000] * 3), 1001, torch.Generator(), speeds)
    assert isinstance(cuts, Cuts) and cuts.reach.tolist() == [501, 1001, 1502]
    assert cuts.width == 1503


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_gives_the_crops_of_the_cpu(dataset, resident):
    device = torch.device("cuda")
    clips = torch.arange(len(LENGTHS)).repeat(20)
    speeds = torch.linspace(0.5, 1.5, len(clips))
    on_cpu, held, streamed = (
        x.crops(clips, 0.5, torch.Generator().manual_seed(0), speeds)
        for x in (
            resident,
            Clips(ResidentSamples(dataset, device)),
            Clips(StreamedSamples(dataset, device)),
        )
    )
    assert held.is_cuda and torch.equal(held, streamed)
    torch.testing.assert_close(held.cpu(), on_cpu, rtol=0, atol=1e-6)
