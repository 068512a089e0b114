"""Import of checkpoints: scores of the real weights, and refusal of everything else."""

import json
import pickle
import re

import pytest
import soundfile
import soxr
import timm
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from audiotag.cli import cli
from audiotag.convert import convert
from audiotag.errors import ModelError
from audiotag.labels import Labels
from audiotag.tagger import Tagger

CLIPS = ("R9_ZSCveAHg_7s.wav", "f62-S-v2swA_200_210.wav", "jfk.flac", "typing.wav")
TOLERANCE = 0.002  # of a score


def published(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A model's state dict as EfficientAT writes it, by the differences its layout has."""
    state = {}
    for key, tensor in model.state_dict().items():
        if gate := re.fullmatch(r"(.*\.block\.\d+)\.(fc[12]\.\w+)", key):
            key = f"{gate[1]}.conc_se_layers.0.{gate[2]}"
            tensor = tensor.flatten(1) if tensor.ndim == 4 else tensor
        if layer := re.fullmatch(r"classifier\.([03])\.(\w+)", key):
            key = f"classifier.{int(layer[1]) + 2}.{layer[2]}"
        state[key] = tensor
    return state


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    """A small EfficientAT checkpoint with random weights."""
    torch.manual_seed(0)
    return published(timm.create_model("mn01_as"))


def save(state, path):
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def teacher(test_data, tmp_path_factory) -> Tagger:
    """The real mn04, converted and loaded."""
    out = tmp_path_factory.mktemp("convert") / "mn04"
    return Tagger.load(convert(test_data / "teachers" / "mn04_as_mAP_432.pt", out))


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
    checkpoint = save(published(model), tmp_path / "any.pt")
    tagger = Tagger.load(convert(checkpoint, tmp_path / "out"))
    assert (tagger.config.architecture, tagger.config.model_args) == (name, model_args)
    assert tagger.config.front_end == "efficientat_mel"
    assert tagger.labels == Labels.audioset()
    torch.testing.assert_close(tagger.backbone.state_dict(), model.state_dict(), atol=0, rtol=0)


def test_safetensors_give_the_same_model(state, tmp_path):
    save_file({key: x.contiguous() for key, x in state.items()}, tmp_path / "a.safetensors")
    first = convert(tmp_path / "a.safetensors", tmp_path / "a")
    second = convert(save(state, tmp_path / "b.pth"), tmp_path / "b")
    weights = "model.safetensors"
    assert (first / weights).read_bytes() == (second / weights).read_bytes()


class Payload:
    """Unpickled carelessly, it makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_pickle_that_would_run_code_is_refused(state, tmp_path, zipped):
    mark, checkpoint = tmp_path / "ran", tmp_path / "bad.pt"
    content = {**state, "extra": Payload(mark)}
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


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="none.pt cannot be read"):
        convert(tmp_path / "none.pt", tmp_path / "out")


def test_other_kind_of_file_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="expected .pt, .pth or .safetensors"):
        convert(tmp_path / "model.h5", tmp_path / "out")


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {"epoch": 3, "lr": 0.1}])
def test_what_is_not_a_state_dict_is_an_error(tmp_path, content):
    with pytest.raises(ModelError, match="not a plain state dict"):
        convert(save(content, tmp_path / "other.pt"), tmp_path / "out")


def test_unknown_keys_are_named(tmp_path):
    checkpoint = save({f"layer{i}.weight": torch.zeros(1) for i in range(9)}, tmp_path / "x.pt")
    with pytest.raises(ModelError) as error:
        convert(checkpoint, tmp_path / "out")
    assert "EfficientAT mn (with classifier.2.weight, " in str(error.value)
    assert "found 9 keys: layer0.weight, layer1.weight," in str(error.value)


def test_wrong_shape_is_named(state, tmp_path):
    state["features.3.block.1.0.weight"] = torch.zeros(1, 2, 3, 3)
    with pytest.raises(ModelError, match=r"features.3.block.1.0.weight .* found \(1, 2, 3, 3\)"):
        convert(save(state, tmp_path / "x.pt"), tmp_path / "out")


def test_missing_tensor_is_named(state, tmp_path):
    del state["features.16.1.running_var"]
    with pytest.raises(ModelError, match="features.16.1.running_var expected .* found nothing"):
        convert(save(state, tmp_path / "x.pt"), tmp_path / "out")


def test_other_classes_are_an_error(tmp_path):
    checkpoint = save(published(timm.create_model("mn01_as", num_classes=50)), tmp_path / "x.pt")
    with pytest.raises(ModelError, match="50 classes"):
        convert(checkpoint, tmp_path / "out")


def test_wrong_architecture_is_an_error(state, tmp_path):
    checkpoint = save(state, tmp_path / "x.pt")
    with pytest.raises(ModelError, match="does not fit mn10_as"):
        convert(checkpoint, tmp_path / "out", architecture="mn10_as")
    with pytest.raises(ModelError, match="unknown architecture"):
        convert(checkpoint, tmp_path / "out", architecture="mn99_as")


def test_a_model_is_not_overwritten(state, tmp_path):
    checkpoint = save(state, tmp_path / "x.pt")
    convert(checkpoint, tmp_path / "out")
    with pytest.raises(ModelError, match="already holds a model"):
        convert(checkpoint, tmp_path / "out")


def test_command(state, tmp_path):
    checkpoint = save(state, tmp_path / "x.pt")
    arguments = ["convert", str(checkpoint), str(tmp_path / "out"), "--arch", "mn01_as"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert (result.exit_code, result.output) == (0, f"{tmp_path / 'out'}\n")
    assert Tagger.load(tmp_path / "out").config.architecture == "mn01_as"


def test_help_has_an_example():
    result = CliRunner().invoke(cli, ["convert", "--help"])
    assert "audiotag convert mn04_as_mAP_432.pt" in result.output
