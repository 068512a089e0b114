"""Which engine runs a model, and what is never imported for it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import audiotag
from audiotag.errors import ModelError
from audiotag.models.model import Model
from audiotag.models.onnx.model import OnnxModel
from audiotag.runtime import devices
from audiotag.tagging import tag
from audiotag.tagging.locate import model_folder
from audiotag.tagging.open import open_engine

SAMPLES = Path(audiotag.__file__).parent / "assets" / "samples"
# Packages that take long to import and that tagging with onnxruntime has no use for.
UNUSED = {"torch", "torchvision", "torchaudio", "timm", "DCLS", "pyarrow", "huggingface_hub"}
TAG = """
import sys
sys.argv = ["audiotag", "tag", sys.argv[1], "--device", "cpu", "--format", "jsonl"]
from audiotag.cli import main
try:
    main()
finally:
    print("IMPORTED", sorted({unused} & set(sys.modules)))
"""


@pytest.fixture
def folder(tiny_tagger, tmp_path):
    """A model folder without an ONNX file."""
    tiny_tagger.save(tmp_path / "model")
    return tmp_path / "model"


def test_default_is_tagged_without_importing_torch():
    run = subprocess.run(
        [sys.executable, "-c", TAG.format(unused=UNUSED), str(SAMPLES / "guitar.mp3")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"label": "Music"' in run.stdout
    assert run.stdout.endswith("IMPORTED []\n")


def test_auto_takes_onnx_on_a_cpu_where_there_is_a_file(folder, monkeypatch):
    assert isinstance(open_engine(device="cpu"), OnnxModel)
    assert isinstance(open_engine(device="cpu", engine="torch"), Model)
    assert isinstance(open_engine(folder, "cpu"), Model)
    monkeypatch.setattr(devices, "_has_cuda", lambda: False)
    assert isinstance(open_engine(), OnnxModel)
    assert open_engine().name == "default"


def test_a_model_has_the_name_that_it_is_given(folder, tmp_path):
    for engine in ("torch", "onnx"):
        assert open_engine(device="cpu", engine=engine).name == "default"
        assert open_engine(device="cpu", engine=engine, name="mine").name == "mine"
    assert open_engine(folder, "cpu").name == "model"
    assert open_engine(folder, "cpu", name="mine").name == "mine"
    file = tmp_path / "file.onnx"
    file.symlink_to(model_folder(None) / "model.onnx")
    assert open_engine(file).name == "file"
    assert open_engine(file, name="mine").name == "mine"


def test_scores_are_in_double_precision_where_they_are_asked_for():
    waveforms = 0.1 * np.random.default_rng(0).standard_normal((2, 96_000)).astype(np.float32)
    for engine in ("torch", "onnx"):
        model = open_engine(device="cpu", engine=engine)
        single, double = model.score_windows(waveforms), model.score_windows(waveforms, double=True)
        assert (single.dtype, double.dtype) == (np.float32, np.float64)
        np.testing.assert_allclose(double, single, rtol=5e-6)  # calibrated from single ones


def test_engines_score_alike():
    scores, options = [], tag.TagOptions(top_k=0, threshold=0.0)
    for name in ("torch", "onnx"):
        tagger = open_engine(device="cpu", engine=name)
        result = tag.tag_file(tagger, SAMPLES / "rooster.wav", options)
        scores.append({tag.label: tag.score for tag in result.tags})
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)  # as far as single precision goes


def test_bfloat16_scores_nearly_alike():
    options = tag.TagOptions(top_k=0, threshold=0.0)
    results = []
    for precision in ("fp32", "bf16"):
        tagger = open_engine(device="cpu", engine="torch", precision=precision)
        result = tag.tag_file(tagger, SAMPLES / "rooster.wav", options)
        results.append({tag.label: tag.score for tag in result.tags})
    assert results[0] != results[1]
    assert results[0] == pytest.approx(results[1], abs=0.1)
    assert isinstance(open_engine(device="cpu", precision="bf16"), Model)  # not onnxruntime


def test_what_does_not_go_together_is_refused(folder):
    for arguments in ({"engine": "onnx"}, {"model": "model.onnx"}):
        with pytest.raises(ModelError, match="fp32; leave out --precision bf16"):
            open_engine(**arguments, precision="bf16")
    with pytest.raises(ModelError, match="unknown precision 'fp8'; choose one of fp32, bf16"):
        open_engine(folder, precision="fp8")
    with pytest.raises(ModelError, match=r"audiotag export .*model .*model\.onnx --waveform"):
        open_engine(folder, engine="onnx")
    with pytest.raises(ModelError, match="runs on the CPU only"):
        open_engine(device="cuda", engine="onnx")
    with pytest.raises(ModelError, match="leave out --engine torch"):
        open_engine("model.onnx", engine="torch")
    with pytest.raises(ModelError, match="there is no missing.onnx"):
        open_engine("missing.onnx")
    with pytest.raises(ModelError, match="unknown engine 'abacus'"):
        open_engine(engine="abacus")


def test_saving_other_weights_removes_the_onnx_file_of_the_old_ones(tiny_tagger, folder):
    (folder / "model.onnx").write_bytes(b"of other weights")
    tiny_tagger.save(folder)
    assert not (folder / "model.onnx").exists()
