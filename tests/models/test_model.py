"""Model folders: round trips, ties, and what does not fit."""

import json
import stat
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from audiotag.errors import ModelError
from audiotag.label_set import Labels
from audiotag.layers.dcls import DclsConv2d
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model
from audiotag.runtime.devices import select_device
from audiotag.tagging.load import load_tagger
from audiotag.tagging.locate import model_folder


@pytest.fixture
def folder(tiny_tagger, tmp_path):
    """A saved tiny model."""
    tiny_tagger.save(tmp_path / "model")
    return tmp_path / "model"


def change_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_load_gives_back_every_bit(tiny_tagger, folder):
    loaded = Model.load(folder)
    state, expected = loaded.backbone.state_dict(), tiny_tagger.backbone.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    assert loaded.labels == tiny_tagger.labels
    waveform = torch.randn(2, 64_000)
    with torch.inference_mode():
        assert torch.equal(loaded(waveform), tiny_tagger(waveform))


def test_saving_again_writes_the_same_bytes(folder, tmp_path):
    Model.load(folder).save(tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_shared_positions_are_cloned_in_the_file_and_tied_on_load(tmp_path):
    config = ModelConfig("convnext_dcls_audio_atto", Labels(["a", "b"]))
    Model.create(config).save(tmp_path)
    keys = load_file(tmp_path / "model.safetensors").keys()
    assert {f"stages.0.blocks.{i}.conv_dw.P" for i in (0, 1)} <= keys
    convs = [m for m in Model.load(tmp_path).modules() if isinstance(m, DclsConv2d)]
    assert convs[0].P is convs[1].P and convs[1].P is not convs[2].P


def test_half_precision_file_loads_in_single(tiny_tagger, tmp_path):
    tiny_tagger.save(tmp_path, torch.float16)
    stored = load_file(tmp_path / "model.safetensors")
    assert {x.dtype for x in stored.values()} == {torch.float16}
    loaded = Model.load(tmp_path).backbone.state_dict()
    assert all(torch.equal(loaded[key], x.float()) for key, x in stored.items())


def test_files_can_be_read_by_others(folder):
    for path in folder.iterdir():
        assert path.stat().st_mode & stat.S_IROTH, path


def test_weights_that_half_precision_cannot_hold_are_refused(tiny_tagger, tmp_path):
    tiny_tagger.backbone.stem[0].bias.data[0] = 1e6
    with pytest.raises(ModelError, match=r"weight of 1e\+06 is too large for torch.float16"):
        tiny_tagger.save(tmp_path, torch.float16)
    assert not (tmp_path / "model.safetensors").exists()


def test_config_spells_out_the_front_end(folder):
    front_end = json.loads((folder / "config.json").read_text())["front_end"]
    assert front_end["name"] == "log_mel"
    assert front_end["sample_rate"] == 32_000 and front_end["f_max"] == 14_000.0


def test_folded_tagger_scores_the_same_and_refuses_to_be_saved(tiny_tagger, tmp_path):
    waveform = torch.randn(2, 64_000)
    with torch.inference_mode():
        expected = tiny_tagger(waveform)
        torch.testing.assert_close(tiny_tagger.fold()(waveform), expected, rtol=0, atol=1e-5)
    with pytest.raises(ModelError, match="save before folding"):
        tiny_tagger.save(tmp_path)


def trained(tagger: Model) -> Model:
    """After a step that moves every weight, and spreads the elements over their kernels."""
    for module in tagger.modules():
        if isinstance(module, DclsConv2d):
            torch.nn.init.uniform_(module.P, -5, 5)
    for name, weights in tagger.backbone.named_parameters():
        if not name.endswith(".P"):
            weights.data.add_(0.1 * torch.randn_like(weights))
    return tagger.eval()


@pytest.mark.parametrize(
    ("architecture", "arguments", "dcls"),
    [
        ("convnext_dcls_audio_atto", {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]}, None),
        ("convformer_dcls_audio_s18", {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]}, None),
        ("fastvit_dcls_audio_sa24", {"layers": [1] * 4, "embed_dims": [8, 16, 32, 64]}, None),
        ("mobilenetv3_small_050", {}, {"match_kernel": 3, "kernel_size": 9, "init": "dense"}),
    ],
)
def test_a_folded_model_is_stored_and_scores_the_same(architecture, arguments, dcls, tmp_path):
    torch.manual_seed(0)
    config = ModelConfig(architecture, Labels(["a", "b", "c"]), arguments, dcls)
    tagger = trained(Model.create(config))
    waveform = torch.randn(2, 96_000)
    with torch.inference_mode():
        expected = tagger(waveform)
        tagger.fold().config = replace(tagger.config, folded=True)
        tagger.save(tmp_path)
        loaded = load_tagger(tmp_path, "cpu")
        torch.testing.assert_close(loaded(waveform), expected, rtol=0, atol=1e-4)
    assert expected.std() > 0.01
    assert not any(isinstance(module, DclsConv2d) for module in loaded.modules())
    assert not any(key.endswith(".P") for key in load_file(tmp_path / "model.safetensors"))
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again/model.safetensors").read_bytes() == (
        tmp_path / "model.safetensors"
    ).read_bytes()


def test_what_cannot_be_stored_folded_is_refused(tmp_path):
    arguments = {"img_size": [128, 320], "depths": [1, 1, 1, 1]}
    config = ModelConfig("swin_tiny_patch4_window7_224", Labels(["a"]), arguments)
    tagger = Model.create(config).fold()
    tagger.config = replace(config, folded=True)
    tagger.save(tmp_path)
    with pytest.raises(ModelError, match="cannot be stored folded; save or push it unfolded"):
        Model.load(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "evaluation.json"])
def test_saving_removes_what_belongs_to_other_weights(folder, name):
    (folder / name).write_text("{}")
    Model.load(folder).save(folder)
    assert not (folder / name).exists()


def test_batch_that_does_not_fit_names_the_remedy(tiny_tagger, monkeypatch):
    def forward(maps):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(tiny_tagger.backbone, "forward", forward)
    with pytest.raises(ModelError, match="--batch-size"):
        tiny_tagger.score_windows(np.zeros((2, 64_000), np.float32))


def test_embedding_leads_to_the_logits(tiny_tagger):
    waveform = torch.randn(2, 64_000)
    with torch.inference_mode():
        head = tiny_tagger.backbone.get_classifier()
        torch.testing.assert_close(head(tiny_tagger.embed(waveform)), tiny_tagger(waveform))


def test_labels_that_do_not_fit_the_weights(folder):
    change_config(folder, labels=[{"name": "a", "mid": None}])
    with pytest.raises(ModelError, match=r"head.fc.* is \(527.*expected \(1"):
        Model.load(folder)


def test_missing_and_foreign_weights_are_named(folder):
    state = load_file(folder / "model.safetensors")
    state["extra"] = state.pop("stem.0.bias")
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ModelError, match="extra is not in the architecture; stem.0.bias is miss"):
        Model.load(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "garbage"])
def test_damaged_folder_is_named(folder, name, damage):
    path = folder / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "empty" else b"\x00\xff garbage" * 99)
    with pytest.raises(ModelError, match=name):
        Model.load(folder)


@pytest.mark.parametrize(
    "values,message",
    [
        ({"format_version": 99}, "format version 99"),
        ({"architecture": "resnet_of_tomorrow"}, "unknown architecture 'resnet_of_tomorrow'"),
        ({"front_end": {"name": "cochlea"}}, "unknown front end 'cochlea'"),
        ({"model_args": {"depth_of_field": 3}}, "depth_of_field"),
        ({"labels": 3}, "config.json"),
    ],
)
def test_configs_from_elsewhere_are_refused(folder, values, message):
    change_config(folder, **values)
    with pytest.raises(ModelError, match=message):
        Model.load(folder)


def test_loading_by_name(folder, tmp_path):
    tagger = load_tagger(folder, "cpu")
    assert tagger.name == "model" and not tagger.training
    assert not any(isinstance(module, DclsConv2d) for module in tagger.modules())
    with pytest.raises(ModelError, match="architecture without weights"):
        model_folder("convnext_audio_tiny")
    for wrong in (tmp_path / "nothing", "./not/here", "nothing"):
        with pytest.raises(ModelError, match="no model"):
            model_folder(wrong)
    with pytest.raises(ModelError, match="unknown device 'tpu'"):
        select_device("tpu")


SMALL = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]}


@pytest.mark.parametrize(
    ("architecture", "arguments", "mels"),
    [
        ("convnext_dcls_audio_atto", SMALL, 128),
        ("convformer_dcls_audio_s18", SMALL, 128),
        ("fastvit_dcls_audio_sa24", {"layers": [1] * 4, "embed_dims": [8, 16, 32, 64]}, 128),
        ("convnext_tiny_at", SMALL, 224),
        ("mn01_as", {}, 128),
        ("mobilenetv3_small_050", {}, 128),
        ("vit_tiny_patch16_224", {"depth": 1, "img_size": [128, 320]}, 128),
    ],
)
def test_timm_builds_the_backbone_from_the_folder_alone(architecture, arguments, mels, tmp_path):
    torch.manual_seed(0)
    config = ModelConfig(architecture, Labels(["a", "b", "c"]), model_args=arguments)
    tagger = Model.create(config).eval()
    for weights in tagger.backbone.parameters():
        torch.nn.init.normal_(weights, std=0.1)
    tagger.save(tmp_path)
    backbone = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    maps = torch.randn(2, 1, mels, 320)
    with torch.inference_mode():
        logits, expected = backbone(maps), tagger.backbone(maps)
    assert logits.shape == (2, 3) and expected.std() > 0
    assert torch.equal(logits, expected)


def test_what_timm_cannot_build_is_not_offered_to_it(tmp_path):
    config = ModelConfig("mobilenetv3_small_050", Labels(["a"]), dcls={"match_kernel": 3})
    Model.create(config).save(tmp_path)
    assert "pretrained_cfg" not in json.loads((tmp_path / "config.json").read_text())
