"""Export to ONNX: scores, embeddings and metadata of the file, and when it is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from audiotag.cli.export import export as export_command
from audiotag.errors import ModelError
from audiotag.features.front_ends import FRONT_ENDS
from audiotag.features.onnx_front_ends import ONNX_FRONT_ENDS, onnx_front_end
from audiotag.label_set import Labels
from audiotag.layers.dcls import DclsConv2d
from audiotag.models.model import Model, ModelConfig
from audiotag.models.onnx import export as exporting
from audiotag.models.onnx.export import export
from audiotag.models.onnx.model import OnnxModel

onnx = pytest.importorskip("onnx", reason="the export's packages: pip install -e '.[export]'")

TINY = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]}
LENGTHS = (2.0, 4.71, 13.0)  # seconds; others than the export itself checks


def make_tagger(architecture="convnext_dcls_audio_atto", **config) -> Model:
    """A small tagger whose logits spread, as a trained one's do."""
    torch.manual_seed(0)
    labels = Labels([f"label {i}" for i in range(20)])
    tagger = Model.create(ModelConfig(architecture, labels, **config), name="tiny").eval()
    for module in tagger.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train().momentum = None  # takes over what it sees
        if isinstance(module, DclsConv2d):
            nn.init.uniform_(module.P, -11, 11)  # all over the kernel
    with torch.no_grad():
        classifier = tagger.backbone.get_classifier()
        last = [layer for layer in classifier.modules() if isinstance(layer, nn.Linear)][-1]
        last.weight.normal_(std=0.5)
        tagger(0.1 * torch.randn(4, 64_000))
    return tagger.eval()


@pytest.fixture(scope="module")
def tagger() -> Model:
    return make_tagger(model_args=dict(TINY))


@pytest.fixture(scope="module", params=["waveform", "log_mel"])
def exported(request, tagger, tmp_path_factory):
    """An export of each kind."""
    out = tmp_path_factory.mktemp("export") / "tiny.onnx"
    return export(tagger, out, waveform=request.param == "waveform")


def noise(tagger: Model, clips: int, seconds: float) -> np.ndarray:
    """Windows (clips, T) of coloured noise."""
    rng = np.random.default_rng(1)
    white = rng.standard_normal((clips, round(seconds * tagger.sample_rate)))
    return (0.02 * white + 0.02 * np.roll(white, 3, axis=1)).astype(np.float32)


def assert_same_scores(tagger: Model, path: Path) -> None:
    engine = OnnxModel.load(path)
    for seconds in LENGTHS:
        heard = noise(tagger, 2, seconds)
        expected = tagger.score_windows(heard)
        assert expected.std() > 0.05
        np.testing.assert_allclose(engine.score_windows(heard), expected, atol=1e-4)
        np.testing.assert_allclose(
            engine.embed_windows(heard), tagger.embed_windows(heard), atol=1e-4
        )


def test_scores_and_embeddings_are_the_models_at_any_length(tagger, exported):
    assert_same_scores(tagger, exported.path)
    assert 0 < exported.difference < 1e-4
    assert exported.size == exported.path.stat().st_size


def test_metadata_hold_the_config(tagger, exported):
    metadata = {entry.key: entry.value for entry in onnx.load(exported.path).metadata_props}
    values = json.loads(metadata.pop("audiotag"))
    assert list(metadata) == (["audiotag.mel_bank"] if exported.input == "log_mel" else [])
    assert values["input"] == exported.input
    assert values["front_end"]["hop_length"] == 320
    loaded = OnnxModel.load(exported.path)
    assert (loaded.labels, loaded.sample_rate) == (tagger.labels, tagger.sample_rate)
    assert loaded.min_duration == tagger.min_duration


def test_graph_holds_only_operators_that_any_runtime_has(exported):
    model = onnx.load(exported.path)
    assert {node.domain for node in model.graph.node} == {""}
    assert not {"STFT", "DFT", "Loop", "If"} & {node.op_type for node in model.graph.node}
    assert [output.name for output in model.graph.output] == ["scores", "embedding"]


def test_kernel_rows_that_only_meet_padding_are_cut(exported):
    model = onnx.load(exported.path)
    kernels = {x.name: list(x.dims)[2:] for x in model.graph.initializer if "conv_dw" in x.name}
    last = next(size for name, size in kernels.items() if "stages.3" in name and len(size) == 2)
    assert last == [15, 23]  # of 23 x 23, on maps of 8 rows


def test_the_tagger_is_left_as_it_was(tmp_path):
    tagger = make_tagger(model_args=dict(TINY)).train()
    before = {key: value.clone() for key, value in tagger.state_dict().items()}
    export(tagger, tmp_path / "out.onnx")
    assert tagger.training
    after = tagger.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.slow
def test_efficientat_from_the_waveform_on(tmp_path):
    tagger = make_tagger("mn_as", model_args={"width": 0.1}, front_end="efficientat_mel")
    assert export(tagger, tmp_path / "mn.onnx", waveform=True).input == "waveform"
    assert_same_scores(tagger, tmp_path / "mn.onnx")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "model_args", "dcls"),
    [
        ("convformer_dcls_audio_s18", {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 24]}, None),
        (
            "fastvit_dcls_audio_sa24",
            {"layers": [1, 1, 1, 1], "embed_dims": [16, 16, 32, 64], "layer_scale_init_value": 1.0},
            None,
        ),
        ("resnet18", {"channels": [8, 8, 16, 32]}, {"match_kernel": 7, "depthwise": False}),
    ],
)
def test_other_backbones(architecture, model_args, dcls, tmp_path):
    tagger = make_tagger(architecture, model_args=model_args, dcls=dcls)
    assert export(tagger, tmp_path / "small.onnx").difference < 1e-4
    assert_same_scores(tagger, tmp_path / "small.onnx")


def test_int8_is_smaller_and_its_change_is_measured(tagger, tmp_path):
    plain = export(tagger, tmp_path / "plain.onnx", waveform=True)
    small = export(tagger, tmp_path / "int8.onnx", waveform=True, int8=True)
    change = small.quantisation
    assert small.size < plain.size
    assert change.clips == 10
    assert 0 < change.mean < change.largest < 0.2
    assert change.same_first <= change.clips
    nodes = onnx.load(small.path).graph.node
    front = [node.op_type for node in nodes if node.name.startswith("/features")]
    assert "MatMul" in front and "MatMulInteger" not in front
    assert "MatMulInteger" in [node.op_type for node in nodes]
    heard = noise(tagger, 2, 3.0)
    scores = OnnxModel.load(small.path).score_windows(heard)
    np.testing.assert_allclose(scores, tagger.score_windows(heard), atol=0.2)


class Forgetful(nn.Module):
    """A backbone whose logits depend on the length in a way that tracing takes for a constant."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward_features(self, x):
        return self.backbone.forward_features(x)

    def forward_head(self, x, pre_logits=False):
        return self.backbone.forward_head(x, pre_logits=pre_logits) / float(x.shape[-1])

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


def test_a_graph_that_is_wrong_at_another_length_is_refused(tagger, tmp_path):
    wrong = Model(tagger.config, tagger.features, Forgetful(tagger.backbone), "forgetful")
    out = tmp_path / "out.onnx"
    out.write_bytes(b"an earlier one")
    with pytest.raises(ModelError, match=r"is not written: at 1 s, 1 at once, .* by 0\.\d+, more"):
        export(wrong, out)
    assert [path.name for path in tmp_path.iterdir()] == ["out.onnx"]
    assert out.read_bytes() == b"an earlier one"


def test_without_onnx_the_error_says_what_to_install(tagger, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'audiotag-dcls\[train\]'"):
        export(tagger, tmp_path / "out.onnx")


def test_front_ends_can_be_exported():
    assert ONNX_FRONT_ENDS.keys() == FRONT_ENDS.keys() - {"yamnet_mel"}  # a teacher's alone
    with pytest.raises(ModelError, match="leave out --waveform"):
        onnx_front_end("wavelets", {})


@pytest.mark.parametrize("name", sorted(ONNX_FRONT_ENDS))
def test_front_ends_for_export_give_the_same_maps(name):
    torch.manual_seed(0)
    waveform = 0.1 * torch.randn(2, 40_003)
    maps, expected = ONNX_FRONT_ENDS[name]()(waveform), FRONT_ENDS[name]()(waveform)
    torch.testing.assert_close(maps, expected, atol=5e-5, rtol=0)


def test_command_writes_a_file_and_says_how_near_it_is(tagger, tmp_path):
    tagger.save(tmp_path / "model")
    out = tmp_path / "new" / "out.onnx"
    arguments = [str(tmp_path / "model"), str(out), "--waveform", "--int8"]
    result = CliRunner().invoke(export_command, arguments)
    assert result.exit_code == 0, result.output
    assert "takes waveform, scores within" in result.output
    assert "sample clips by 0.0" in result.output
    assert OnnxModel.load(out).labels == tagger.labels


def test_command_wants_the_suffix(tmp_path):
    result = CliRunner().invoke(export_command, [str(tmp_path), str(tmp_path / "out.bin")])
    assert result.exit_code == 2
    assert "does not end in .onnx" in result.output
