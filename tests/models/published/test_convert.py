"""Import of checkpoints: scores of the real weights, and refusal of everything else."""

import argparse
import json
import os
import pickle
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import timm
import torch
from click.testing import CliRunner
from DCLS.construct.modules import Dcls2d
from safetensors.torch import save_file
from torchaudio.compliance.kaldi import get_mel_banks

from audiotag.cli import cli
from audiotag.errors import ModelError
from audiotag.label_set import Labels
from audiotag.models.model import Model
from audiotag.models.onnx.export import export
from audiotag.models.onnx.model import OnnxModel
from audiotag.models.published.convert import READERS, convert, import_checkpoint
from audiotag.models.published.efficientat import MelFrames
from audiotag.models.published.layouts import CONVNEXT
from tests.support import reference_models
from tests.support.published_models import convnext, efficientat
from tests.support.tiny_models import TEST_DATA, TINY

CLIPS = ("R9_ZSCveAHg_7s.wav", "f62-S-v2swA_200_210.wav", "jfk.flac", "typing.wav")
TOLERANCE = 0.002  # of a score
REFERENCE = (
    "convnext_audio_tiny",
    "convnext_dcls_audio_tiny",
    "convformer_audio_s18",
    "convformer_dcls_audio_s18",
    "fastvit_audio_sa24",
    "fastvit_dcls_audio_sa24",
)
FAST = "convnext_dcls_audio_tiny"  # the others are slow


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    """A small EfficientAT checkpoint with random weights."""
    torch.manual_seed(0)
    return efficientat(timm.create_model("mn01_as"))


def save(state, path):
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def teacher(test_data, tmp_path_factory) -> Model:
    """The real mn04, converted and loaded."""
    out = tmp_path_factory.mktemp("convert") / "mn04"
    return Model.load(convert(test_data / "teachers" / "mn04_as_mAP_432.pt", out))


@pytest.mark.parametrize("clip", CLIPS)
@torch.inference_mode()
def test_real_weights_reproduce_the_published_scores(teacher, test_data, clip):
    expected = json.loads((test_data / "teachers" / "mn04_expected.json").read_text())[clip]
    samples, rate = soundfile.read(test_data / "clips" / clip, dtype="float32", always_2d=True)
    samples = soxr.resample(samples.mean(axis=1), rate, teacher.sample_rate, quality="HQ")
    scores = teacher(torch.from_numpy(samples)[None])[0].sigmoid()
    best = [teacher.labels.names[i] for i in scores.topk(len(expected)).indices]
    assert best == [name for name, _ in expected]
    for name, score in expected:
        assert scores[teacher.labels.index(name)].item() == pytest.approx(score, abs=TOLERANCE)


def test_real_weights_have_the_published_size(teacher):
    assert sum(p.numel() for p in teacher.backbone.parameters()) == 983_599
    assert teacher.config.architecture == "mn04_as"


@pytest.mark.parametrize(
    ("name", "model_args"), [("mn01_as", {}), ("mn02_as", {}), ("mn_as", {"width": 0.15})]
)
def test_width_is_read_from_the_shapes(name, model_args, tmp_path):
    model = timm.create_model(name, **model_args)
    checkpoint = save(efficientat(model), tmp_path / "mn01_as.pt")
    tagger = Model.load(convert(checkpoint, tmp_path / "out"))
    assert (tagger.config.architecture, tagger.config.model_args) == (name, model_args)
    assert tagger.config.front_end == "efficientat_mel"
    assert tagger.labels == Labels.audioset()
    torch.testing.assert_close(tagger.backbone.state_dict(), model.state_dict(), atol=0, rtol=0)


def test_safetensors_give_the_same_model(state, tmp_path):
    save_file({key: x.contiguous() for key, x in state.items()}, tmp_path / "mn01_as.safetensors")
    first = convert(tmp_path / "mn01_as.safetensors", tmp_path / "a")
    second = convert(save(state, tmp_path / "mn01_as.pth"), tmp_path / "b")
    weights = "model.safetensors"
    assert (first / weights).read_bytes() == (second / weights).read_bytes()


def training_checkpoint(state, name="model", **others):
    """What the reference's training writes: weights among much else, arguments pickled."""
    arguments = argparse.Namespace(
        model="m", lr=4e-3, opt_betas=[0.9, 0.999], resume=None, amp=True
    )
    optimizer = {
        "state": {0: {"step": 3, "exp_avg": torch.zeros(2)}},
        "param_groups": [{"lr": 1e-3}],
    }
    return {
        name: state,
        "optimizer": optimizer,
        "epoch": 59,
        "scaler": {},
        "args": arguments,
        **others,
    }


@pytest.fixture(scope="module")
def clips() -> Path:
    """The real clips, or those of the package."""
    if TEST_DATA in os.environ:
        return Path(os.environ[TEST_DATA]) / "clips"
    return Path(str(files("audiotag") / "assets" / "samples"))


@pytest.mark.parametrize(
    "name", [x if x == FAST else pytest.param(x, marks=pytest.mark.slow) for x in REFERENCE]
)
def test_a_training_checkpoint_of_the_reference_is_converted_and_tags(name, clips, tmp_path):
    content = training_checkpoint(reference_models.state_dict(name))
    checkpoint = save(content, tmp_path / "checkpoint-best.pth")
    out = convert(checkpoint, tmp_path / "out")
    tagger = Model.load(out)
    assert tagger.config.architecture == name and tagger.config.front_end == "log_mel"
    assert tagger.labels == Labels.audioset()
    logits = reference_models.logits(name)
    with torch.inference_mode():
        difference = (tagger.backbone(reference_models.maps()) - logits).abs().max()
    assert difference < min(1e-4, 5e-4 * logits.std())  # the FastViTs' logits are small
    published = {x.sum().item() for key, x in content["model"].items() if key.endswith(".P")}
    assert len({id(m.P) for m in tagger.modules() if hasattr(m, "P")}) == len(published)
    check_tags(out, clips)


def check_tags(model: Path, clips: Path) -> None:
    """Tag the clips with the command; the scores must be a tagger's."""
    arguments = ["tag", str(clips), "--model", str(model), "--format", "jsonl", "--device", "cpu"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0 and len(lines) >= len(CLIPS)
    for line in lines:
        scores = [tag["score"] for tag in line["tags"]]
        assert len(scores) == 5 and scores == sorted(scores, reverse=True)
        assert 0 < scores[-1] <= scores[0] < 1


FRONT_ENDS = {  # files of the release, with mel bands and samples from frame to frame
    "mn01_as_mAP_298": (128, 320),
    "mn40_as_ext_mAP_487": (128, 320),
    "mn10_as_mels_40_mAP_453": (40, 320),
    "mn10_as_mels_64_mAP_461": (64, 320),
    "mn10_as_mels_256_mAP_474": (256, 320),
    "mn10_as_hop_5_mAP_475": (128, 160),
    "mn10_as_hop_15_mAP_463": (128, 480),
    "mn10_as_hop_20_mAP_456": (128, 640),
    "mn10_as_hop_25_mAP_447": (128, 800),
    "MN10-AS-mels-40": (40, 320),
    "my_mn04_as_hop_5_mels_64": (64, 160),
}


def mel_stft(waveform: torch.Tensor, mels: int, hop: int) -> torch.Tensor:
    """EfficientAT's maps (B, 1, mels, frames) of waveforms (B, T): its AugmentMelSTFT, in eval."""
    x = torch.nn.functional.conv1d(waveform[:, None], torch.tensor([[[-0.97, 1.0]]]))[:, 0]
    window = torch.hann_window(800, periodic=False)
    x = torch.stft(x, 1024, hop, 800, window, center=True, normalized=False, return_complex=True)
    bank, _ = get_mel_banks(mels, 1024, 32_000, 0.0, 15_000.0, 100.0, -500.0, 1.0)
    bank = torch.nn.functional.pad(bank, (0, 1))
    return (((bank @ x.abs().square() + 0.00001).log() + 4.5) / 5.0)[:, None]


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_a_name_tells_the_front_end(name, state, tmp_path):
    mels, hop = FRONT_ENDS[name]
    tagger = Model.load(convert(save(state, tmp_path / f"{name}.pt"), tmp_path / "out"))
    waveform = 0.1 * torch.randn(2, 48_000)
    expected = mel_stft(waveform, mels, hop)
    assert expected.shape == (2, 1, mels, 1 + 47_999 // hop)
    torch.testing.assert_close(tagger.features(waveform), expected, atol=2e-4, rtol=0)


def test_the_name_of_its_folder_tells_too(state, tmp_path):
    (tmp_path / "mn10_as_hop_15").mkdir()
    checkpoint = save(state, tmp_path / "mn10_as_hop_15" / "model.pt")
    assert import_checkpoint(checkpoint).features.hop_length == 480


def test_other_front_ends_are_computed_by_onnxruntime_too(state, tmp_path):
    checkpoint = save(state, tmp_path / "mn01_as_hop_5_mels_64.pt")
    tagger = Model.load(convert(checkpoint, tmp_path / "out"))
    waveform = 0.1 * torch.randn(1, 96_000)
    for kind, number in (("maps", 0), ("waveform", 1)):
        path = tmp_path / f"{kind}.onnx"
        export(tagger, path, waveform=bool(number))
        scores = OnnxModel.load(path).score_windows(waveform.numpy())
        np.testing.assert_allclose(scores, tagger.score_windows(waveform.numpy()), atol=1e-4)


@pytest.mark.parametrize("name", ["model", "mn10", "mn10_best", "mn10_as_mels_4000", "mn1_as"])
def test_where_the_name_does_not_tell_the_front_end_is_asked_for(name, state, tmp_path):
    checkpoint = save(state, tmp_path / f"{name}.pt")
    out = tmp_path / "out"
    with pytest.raises(ModelError, match=r"--mels and --hop \(for most 128 and 10\)"):
        convert(checkpoint, out)
    command = ["convert", str(checkpoint), str(out), "--mels", "64", "--hop", "5"]
    result = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    features = Model.load(out).features
    assert (features.bands.shape[1], features.hop_length) == (64, 160)


def test_other_layouts_are_not_asked_for_a_front_end(small, tmp_path):
    checkpoint = save(convnext(small), tmp_path / "x.pt")
    with pytest.raises(ModelError, match="whose front end is known; leave out --mels and --hop"):
        convert(checkpoint, tmp_path / "out", frames=MelFrames(40, None))


@pytest.mark.parametrize("name", ["mn10_im_pytorch", "mn40_im", "mn01_as"])
def test_weights_of_images_are_refused(name, state, tmp_path):
    if name == "mn01_as":  # renamed; its head is as random as theirs, and has no bias yet
        state["classifier.5.bias"] = torch.zeros(527)
    checkpoint = save(state, tmp_path / f"{name}.pt")
    for frames in (MelFrames(), MelFrames(128, 10.0)):
        with pytest.raises(ModelError, match="weights of ImageNet, whose last layer is random"):
            convert(checkpoint, tmp_path / "out", frames=frames)
    assert not (tmp_path / "out").exists()


def nested(state, path):
    """A state dict under keys, those after a dot within tables, else before the tensors' names."""
    *tables, prefix = path.split("/")
    content = {f"{prefix}{key}": x for key, x in state.items()}
    for table in reversed(tables):
        content = {table: content, "epoch": 3, "hparams": {"lr": 0.1, "sizes": [1, 2]}}
    return content


@pytest.mark.parametrize(
    "path",
    [
        "module.",
        "state_dict/",
        "model_state_dict/module.",
        "model/",
        "net/",
        "state_dict/net.",
        "state_dict/model.module._orig_mod.",
        "ema/module.",
        "checkpoint/weights/state_dict/backbone.net.",
    ],
)
@pytest.mark.parametrize("kind", ["mn", "dcls"])
def test_weights_are_found_in_whatever_wraps_them(path, kind, state, small, tmp_path):
    architecture = None if kind == "mn" else "convnext_dcls_audio_atto"
    published = state if kind == "mn" else convnext(small)
    plain = import_checkpoint(save(published, tmp_path / "mn01_as.pt"), architecture)
    wrapped = save(nested(published, path), tmp_path / "mn01_as_wrapped.pt")
    found = import_checkpoint(wrapped, architecture).backbone.state_dict()
    torch.testing.assert_close(found, plain.backbone.state_dict(), atol=0, rtol=0)


def test_what_lies_beside_the_model_is_not_taken(state, tmp_path, caplog):
    extra = {"mel.window": torch.ones(3), "loss.weight": torch.ones(2)}
    other = {f"ema.module.{key}": torch.zeros_like(x) for key, x in state.items()}
    content = {"state_dict": nested(state, "net.") | extra | other, "lr_schedulers": []}
    content["itself"] = content  # a table that holds itself ends
    found = import_checkpoint(save(content, tmp_path / "mn01_as.pt"))
    plain = import_checkpoint(save(state, tmp_path / "mn01_as_plain.pt"))
    torch.testing.assert_close(
        found.backbone.state_dict(), plain.backbone.state_dict(), atol=0, rtol=0
    )
    assert "of state_dict.ema.module and state_dict.net, took state_dict.net" in caplog.text


def test_two_models_in_a_file_are_not_chosen_from(state, tmp_path):
    other = {key: torch.zeros_like(x) for key, x in state.items()}
    content = {"student": state, "teacher": other}
    with pytest.raises(ModelError, match="several models, under student and teacher; save the one"):
        convert(save(content, tmp_path / "mn01_as.pt"), tmp_path / "out")
    content = {"student": state, "teacher": {key: x.clone() for key, x in state.items()}}
    import_checkpoint(save(content, tmp_path / "mn01_as.pt"))  # the same twice


@pytest.fixture
def small() -> torch.nn.Module:
    """A small DCLS ConvNeXt; published, `convert` takes it for a tiny one unless told."""
    torch.manual_seed(0)
    return timm.create_model("convnext_dcls_audio_atto", num_classes=527)


def test_weights_are_found_in_a_training_checkpoint(small, tmp_path, caplog):
    state = convnext(small)
    other = {key: torch.zeros_like(x) for key, x in state.items()}
    contents = {
        "plain": state,
        "model": training_checkpoint(state),
        "both": training_checkpoint(state, model_ema=other),
        "average": training_checkpoint(state, "model_ema"),
    }
    for name, content in contents.items():
        caplog.clear()
        checkpoint = save(content, tmp_path / f"{name}.pth")
        tagger = import_checkpoint(checkpoint, "convnext_dcls_audio_atto")
        torch.testing.assert_close(tagger.backbone.state_dict(), small.state_dict(), atol=0, rtol=0)
        said = {"both": "of model and model_ema, took model", "average": "took model_ema"}
        assert [said[name] in x for x in caplog.messages] == [True] * (name in said)


def test_shared_positions_stay_shared(small, tmp_path):
    checkpoint = save(convnext(small), tmp_path / "x.pth")
    tagger = import_checkpoint(checkpoint, "convnext_dcls_audio_atto")
    for stage in tagger.backbone.stages:
        assert len({id(block.conv_dw.P) for block in stage.blocks}) == 1
        assert len({id(block.conv_dw.SIG) for block in stage.blocks}) == 1


def test_positions_that_are_not_shared_are_refused(small, tmp_path):
    state = convnext(small)
    state["stages.2.1.dwconv.P"] = state["stages.2.1.dwconv.P"] + 1
    with pytest.raises(ModelError, match="x.pth has positions of its own in .*stages.2.*P"):
        import_checkpoint(save(state, tmp_path / "x.pth"), "convnext_dcls_audio_atto")


@pytest.mark.parametrize(
    "extra", [{"stages.2.9.pwconv1.weight": (8, 8)}, {"stages.0.0.pwconv1.weight": (3, 3)}]
)
def test_a_convnext_of_another_size_is_refused(small, tmp_path, extra):
    state = convnext(small) | {key: torch.zeros(shape) for key, shape in extra.items()}
    with pytest.raises(ModelError, match="x.pth does not fit convnext_dcls_audio_atto"):
        import_checkpoint(save(state, tmp_path / "x.pth"), "convnext_dcls_audio_atto")


def test_the_references_bilinear_model_is_read_with_its_axes():
    """Its kernels are those of the dcls package's version v0, P's row and column the other way."""
    torch.manual_seed(0)
    arguments = {**TINY, "num_classes": 527, "kernel_size": 17, "kernel_count": 34, "version": "v1"}
    backbone = timm.create_model("convnext_dcls_audio_atto", **arguments)
    state = convnext(backbone)
    theirs = Dcls2d(8, 8, 34, groups=8, dilated_kernel_size=17, padding=8, version="v0")
    with torch.no_grad():
        theirs.P.normal_(0, 4).clamp_(-8, 8)
    state |= {f"stages.0.0.dwconv.{key}": x for key, x in theirs.state_dict().items()}
    reader = READERS[CONVNEXT]
    assert reader.config(state, Labels.audioset()).architecture == "convnext_dcls_audio_tiny17"
    backbone.load_state_dict(reader.rename(state, backbone))
    with torch.no_grad():
        kernel = backbone.stages[0].blocks[0].conv_dw.kernel()
        expected = theirs.DCK(theirs.weight, theirs.P, theirs.SIG)
        torch.testing.assert_close(kernel, expected, atol=1e-6, rtol=0)
        assert (kernel - expected.transpose(2, 3)).abs().max() > 0.01


class Payload:
    """Unpickled carelessly, it makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "hide",
    [
        lambda state, payload: {**state, "extra": payload},
        lambda state, payload: training_checkpoint(state, best=payload),
        lambda state, payload: training_checkpoint(state, args=argparse.Namespace(resume=payload)),
    ],
    ids=["beside tensors", "beside a Namespace", "inside a Namespace"],
)
def test_pickle_that_would_run_code_is_refused(state, tmp_path, zipped, hide):
    mark, checkpoint = tmp_path / "ran", tmp_path / "bad.pt"
    content = hide(state, Payload(mark))
    torch.save(content, checkpoint, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match="bad.pt was refused and nothing in it was run") as error:
        convert(checkpoint, tmp_path / "out")
    assert "it asks for" in str(error.value) and "weights_only" not in str(error.value)
    assert not mark.exists() and not (tmp_path / "out").exists()
    pickle.loads(pickle.dumps(Payload(mark))).close()
    assert mark.exists(), "the payload is harmless, so its refusal shows nothing"


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 not a zip", bytes(100)])
def test_damaged_file_is_an_error(tmp_path, suffix, content):
    checkpoint = tmp_path / f"damaged{suffix}"
    checkpoint.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        convert(checkpoint, tmp_path / "out")


@pytest.mark.parametrize("part", [0.02, 0.3, 0.9, 0.999])
def test_truncated_file_is_an_error(state, tmp_path, part):
    whole = save(state, tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(ModelError, match="cut.pt"):
        convert(tmp_path / "cut.pt", tmp_path / "out")


def test_only_a_plain_namespace_is_allowed(state, tmp_path):
    content = training_checkpoint(state, args=Path("runs"))
    with pytest.raises(ModelError, match="it asks for pathlib.PosixPath"):
        convert(save(content, tmp_path / "mn01_as.pt"), tmp_path / "out")
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="none.pt cannot be read"):
        convert(tmp_path / "none.pt", tmp_path / "out")


def test_other_kind_of_file_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="expected .pt, .pth or .safetensors"):
        convert(tmp_path / "model.h5", tmp_path / "out")


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {"epoch": 3, "lr": 0.1}])
def test_what_is_not_a_state_dict_is_an_error(tmp_path, content):
    with pytest.raises(ModelError, match="holds no state dict"):
        convert(save(content, tmp_path / "other.pt"), tmp_path / "out")


def test_unknown_keys_are_named(tmp_path):
    checkpoint = save(
        {f"layer{i}.weight": torch.zeros(1) for i in range(9)}, tmp_path / "mn01_as.pt"
    )
    with pytest.raises(ModelError) as error:
        convert(checkpoint, tmp_path / "out")
    assert "EfficientAT mn (with classifier.2.weight, " in str(error.value)
    assert "found 9 keys: layer0.weight, layer1.weight," in str(error.value)


def test_wrong_shape_is_named(state, tmp_path):
    state["features.3.block.1.0.weight"] = torch.zeros(1, 2, 3, 3)
    with pytest.raises(ModelError, match=r"features.3.block.1.0.weight .* found \(1, 2, 3, 3\)"):
        convert(save(state, tmp_path / "mn01_as.pt"), tmp_path / "out")


def test_missing_tensor_is_named(state, tmp_path):
    del state["features.16.1.running_var"]
    with pytest.raises(ModelError, match="features.16.1.running_var expected .* found nothing"):
        convert(save(state, tmp_path / "mn01_as.pt"), tmp_path / "out")


def test_other_classes_are_an_error(tmp_path):
    checkpoint = save(
        efficientat(timm.create_model("mn01_as", num_classes=50)), tmp_path / "mn01_as.pt"
    )
    with pytest.raises(ModelError, match="50 classes"):
        convert(checkpoint, tmp_path / "out")


def test_wrong_architecture_is_an_error(state, tmp_path):
    checkpoint = save(state, tmp_path / "mn01_as.pt")
    with pytest.raises(ModelError, match="does not fit mn10_as"):
        convert(checkpoint, tmp_path / "out", architecture="mn10_as")
    with pytest.raises(ModelError, match="unknown architecture"):
        convert(checkpoint, tmp_path / "out", architecture="mn99_as")


def test_a_model_is_not_overwritten(state, tmp_path):
    checkpoint = save(state, tmp_path / "mn01_as.pt")
    convert(checkpoint, tmp_path / "out")
    with pytest.raises(ModelError, match="already holds a model"):
        convert(checkpoint, tmp_path / "out")


def test_command(state, tmp_path):
    checkpoint = save(state, tmp_path / "mn01_as.pt")
    arguments = ["convert", str(checkpoint), str(tmp_path / "out"), "--arch", "mn01_as"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert (result.exit_code, result.output) == (0, f"{tmp_path / 'out'}\n")
    assert Model.load(tmp_path / "out").config.architecture == "mn01_as"


def test_help_names_every_layout_and_has_an_example():
    text = CliRunner().invoke(cli, ["convert", "--help"]).output
    for layout in (
        "ConvNeXt-T,",
        "ConvFormer-S18",
        "FastViT-SA24",
        "ConvNeXt-Tiny-AT",
        "EfficientAT",
    ):
        assert layout in text
    assert "audiotag convert convnext_dcls_audio_tiny.pth" in text
