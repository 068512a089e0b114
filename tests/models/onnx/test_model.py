"""Tagging from an ONNX file: without torch, and refusing what is not one of ours."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from audiotag.audio import extensions, streams, windows
from audiotag.errors import ModelError
from audiotag.models.folder import ONNX_FILE
from audiotag.models.model import Model
from audiotag.models.onnx.model import OnnxModel
from audiotag.tagging.locate import model_folder

onnx = pytest.importorskip("onnx", reason="the export's packages: pip install -e '.[export]'")

EMBEDDED = model_folder(None) / ONNX_FILE
HEAVY = ("torch", "timm", "torchvision", "torchaudio", "onnx")
WITHOUT_TORCH = f"""
import sys
import numpy as np
from audiotag.models.onnx.model import OnnxModel
tagger = OnnxModel.load(sys.argv[1])
scores = tagger.score_windows(np.zeros((1, 64_000), np.float32))
assert scores.shape == (1, len(tagger.labels)), scores.shape
print([name for name in {HEAVY!r} if name in sys.modules])
"""


TOO_MUCH = f"""
import resource
import numpy as np
from audiotag.errors import ModelError
from audiotag.models.onnx.model import OnnxModel
tagger = OnnxModel.load({str(EMBEDDED)!r}, threads=1)
windows = np.zeros((4, 24_000_000), np.float32)
resource.setrlimit(resource.RLIMIT_AS, (3 << 28, 3 << 28))
try:
    tagger.score_windows(windows)
except ModelError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def engine() -> OnnxModel:
    return OnnxModel.load(EMBEDDED)


def test_a_file_without_window_and_bands_has_them_built(engine, tmp_path):
    """As audiotag wrote files before they carried them; the embedded one's are from NumPy."""
    props = {entry.key: entry.value for entry in onnx.load(EMBEDDED).metadata_props}
    assert props.keys() == {"audiotag", "audiotag.mel_bank"}
    old = write_with_metadata(tmp_path / "old.onnx", audiotag=props["audiotag"])
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 96_000)).astype(np.float32)
    expected = engine.score_windows(noise)
    assert expected.std() > 0.01
    np.testing.assert_allclose(OnnxModel.load(old).score_windows(noise), expected, atol=2e-5)


@pytest.mark.parametrize("bank", ["", "{}", '{"window": 3, "bins": 2, "bands": [[0, [1, 1, 1]]]}'])
def test_damaged_bands_are_named(bank, tmp_path):
    props = {entry.key: entry.value for entry in onnx.load(EMBEDDED).metadata_props}
    path = write_with_metadata(tmp_path / "x.onnx", **{**props, "audiotag.mel_bank": bank})
    with pytest.raises(ModelError, match="its audiotag metadata cannot be read"):
        OnnxModel.load(path)


def write_with_metadata(path, **metadata):
    """The embedded default's graph with other metadata."""
    model = onnx.load(EMBEDDED)
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return path


@pytest.mark.slow
def test_the_embedded_file_scores_as_the_embedded_weights_do(engine):
    tagger = Model.load(model_folder(None)).fold()
    assert engine.labels == tagger.labels
    samples = model_folder(None).parent / "samples"
    for path in sorted(x for x in samples.iterdir() if x.suffix in extensions.AUDIO_EXTENSIONS):
        stream = streams.stream(path, engine.sample_rate)
        for window in windows.windows(stream, engine.sample_rate, minimum=engine.min_duration):
            heard = window.samples[None]
            difference = engine.score_windows(heard) - tagger.score_windows(heard)
            assert np.abs(difference).max() < 1e-3, path.name


def test_a_batch_scores_as_its_clips_do(engine):
    heard = np.random.default_rng(0).standard_normal((3, 70_000)).astype(np.float32) * 0.1
    together = engine.score_windows(heard)
    alone = np.concatenate([engine.score_windows(clip[None]) for clip in heard])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert len(engine.embed_windows(heard)) == 3
    assert not engine.is_gpu


@pytest.mark.slow
@pytest.mark.parametrize("waveform", [True, False])
def test_torch_is_not_imported(waveform, tiny_tagger, tmp_path):
    from audiotag.models.onnx.export import export

    out = export(tiny_tagger, tmp_path / "tiny.onnx", waveform=waveform).path
    command = [sys.executable, "-c", WITHOUT_TORCH, str(out)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_windows_that_do_not_fit_into_memory_are_said_to():
    result = subprocess.run([sys.executable, "-c", TOO_MUCH], capture_output=True, text=True)
    assert result.stdout.startswith("4 windows of this length do not fit"), result.stderr
    assert "--batch-size" in result.stdout
    assert result.stderr == ""


def test_as_many_windows_are_computed_at_once_as_the_environment_says(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    tagger = OnnxModel.load(EMBEDDED)
    meeting = threading.Barrier(3)

    class Session:
        def run(self, outputs, inputs, options):
            meeting.wait(timeout=30)
            return [inputs["log_mel"]]

    monkeypatch.setattr(tagger, "_session", Session())
    monkeypatch.setattr(tagger, "_features", lambda waveforms: waveforms)
    heard = np.arange(6, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(tagger.embed_windows(heard), heard)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x08\x12\x07pytorch" * 50])
def test_what_is_not_onnx_is_refused(content, tmp_path):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="bad.onnx: not an ONNX file .* audiotag export"):
        OnnxModel.load(path)


@pytest.mark.parametrize("part", [0.2, 0.6, 0.999])
def test_a_file_that_ends_early_is_refused(part, tmp_path):
    content = EMBEDDED.read_bytes()
    path = tmp_path / "bad.onnx"
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ModelError, match="a damaged one; copy it again"):
        OnnxModel.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match="none.onnx cannot be read: No such file"):
        OnnxModel.load(tmp_path / "none.onnx")


def test_an_onnx_file_of_others_is_refused(tmp_path):
    path = write_with_metadata(tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="without audiotag's labels .* audiotag export MODEL"):
        OnnxModel.load(path)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format_version": 99}'])
def test_damaged_metadata_are_refused(text, tmp_path):
    path = write_with_metadata(tmp_path / "odd.onnx", audiotag=text)
    with pytest.raises(ModelError, match="odd.onnx: its audiotag metadata cannot be read"):
        OnnxModel.load(path)
