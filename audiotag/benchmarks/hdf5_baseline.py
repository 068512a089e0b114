"""Clips in HDF5 files, in two layouts of published copies of AudioSet.

Rows of 16-bit samples: PANNs (arXiv 1912.10211) and the code of arXiv 2309.13972. Rows of mp3
bytes: PaSST (arXiv 2110.05069).
"""

import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torchaudio.transforms import AmplitudeToDB, MelScale, Spectrogram

from audiotag.data.dataset import ClipDataset
from audiotag.errors import DataError
from audiotag.features.log_mel import LogMel

MP3_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # Hz; every encoder has them


def write_samples(dataset: ClipDataset, chosen: Tensor, size: int, path: Path) -> Path:
    """Write `chosen` clips (N,) as rows (N, size) of 16-bit samples, padded with silence.

    Raises:
        DataError: If h5py is not installed.
    """
    with _h5py().File(path, "w") as file:
        rows = file.create_dataset("waveform", (len(chosen), size), np.int16)
        for place, clip in enumerate(chosen.tolist()):
            samples = dataset.read(clip)
            rows[place, : len(samples)] = samples
    return path


def write_mp3(dataset: ClipDataset, chosen: Tensor, path: Path) -> Path:
    """Write `chosen` clips (N,) as rows of mp3 bytes.

    Raises:
        DataError: If h5py is not installed.
    """
    h5py = _h5py()
    with h5py.File(path, "w") as file:
        rows = file.create_dataset("mp3", (len(chosen),), h5py.vlen_dtype(np.uint8))
        for place, clip in enumerate(chosen.tolist()):
            data = io.BytesIO()
            soundfile.write(data, dataset.read(clip), dataset.sample_rate, format="MP3")
            rows[place] = np.frombuffer(data.getvalue(), np.uint8)
    return path


def read_samples(path: Path) -> Callable[[Tensor], Tensor]:
    """A function from row numbers (B,) to waveforms (B, size), for rows of 16-bit samples.

    As in the code of arXiv 2309.13972, the file is opened once, and rows are read one at a time
    and scaled in float64.
    """
    rows = _h5py().File(path)["waveform"]

    def read(places: Tensor) -> Tensor:
        return torch.stack([torch.tensor(rows[i] / 2**15).float() for i in places.tolist()])

    return read


def read_mp3(path: Path, size: int) -> Callable[[Tensor], Tensor]:
    """A function from row numbers (B,) to waveforms (B, size), for rows of mp3 bytes."""
    rows = _h5py().File(path)["mp3"]

    def decode(data: bytes) -> Tensor:
        with av.open(io.BytesIO(data), "r", format="mp3") as container:
            blocks = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
        samples = np.concatenate(blocks)[:size]
        return torch.from_numpy(np.pad(samples, (0, size - len(samples))))

    def read(places: Tensor) -> Tensor:
        return torch.stack([decode(rows[place].tobytes()) for place in places.tolist()])

    return read


def clip_maps(features: LogMel) -> Callable[[Tensor], Tensor]:
    """A function that computes the maps of `features` clip by clip, with torchaudio's transforms.

    The data loader's workers of arXiv 2309.13972's code compute them in this way.
    """
    bins, bands = features.bands.shape
    scale = MelScale(bands, features.sample_rate, n_stft=bins)
    scale.fb.copy_(features.bands)
    spectrum = Spectrogram(features.n_fft, hop_length=features.hop_length)
    steps = nn.Sequential(spectrum, scale, AmplitudeToDB())

    def maps(waveforms: Tensor) -> Tensor:
        levels = [steps(waveform[None]) for waveform in waveforms]
        return torch.stack([(x - features.mean) / features.std for x in levels])

    return maps


def _h5py():
    try:
        import h5py
    except ImportError as error:
        raise DataError("h5py is not installed; pip install h5py to measure against it") from error
    return h5py
