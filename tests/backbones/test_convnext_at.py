"""ConvNeXt-Tiny-AT against its authors' parameter count and the stored logits of a real clip."""

import copy

import pytest
import soundfile
import timm
import torch
from safetensors.torch import save_file

from audiotag.backbones import convnext_at
from audiotag.models.model import Model
from audiotag.models.published.convert import import_checkpoint
from tests.support import reference_models
from tests.support.tiny_models import TINY

PARAMETERS = 28_222_767
CLIP = "f62-S-v2swA_200_210.wav"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """The published file's tensors with the reference's deterministic weights."""
    return reference_models.topel_state_dict()


@pytest.fixture(scope="module")
def tagger(state, tmp_path_factory) -> Model:
    """What `convert` makes of it."""
    path = tmp_path_factory.mktemp("topel") / "model.safetensors"
    save_file(state, path)
    return import_checkpoint(path)


@pytest.fixture
def small() -> torch.nn.Module:
    """A small one for maps of 40 mels, its batch norm far from the identity."""
    torch.manual_seed(0)
    model = timm.create_model("convnext_tiny_at", num_classes=5, n_mels=40, **TINY).eval()
    model.stem[0].running_mean.normal_()
    model.stem[0].running_var.uniform_(0.5, 2)
    return model


def test_parameter_count_is_the_published_one(tagger):
    assert sum(p.numel() for p in tagger.backbone.parameters()) == PARAMETERS


def test_logits_from_the_waveform_are_the_references(tagger, test_data):
    samples, rate = soundfile.read(test_data / "clips" / CLIP, dtype="float32")
    assert rate == tagger.sample_rate and samples.ndim == 1
    expected = reference_models.logits("topel_convnext_tiny_at")
    waveform = torch.from_numpy(samples)[None]
    with torch.inference_mode():
        assert (tagger(waveform) - expected).abs().max() < 1e-4
        assert tagger.embed(waveform).shape == (1, 768)


@pytest.mark.slow
def test_a_training_checkpoint_gives_the_same_model(tagger, state, tmp_path):
    torch.save({"model": state, "epoch": 3}, tmp_path / "convnext_tiny_471mAP.pth")
    other = import_checkpoint(tmp_path / "convnext_tiny_471mAP.pth")
    assert other.config == tagger.config
    ours, theirs = other.backbone.state_dict(), tagger.backbone.state_dict()
    torch.testing.assert_close(ours, theirs, atol=0, rtol=0)


@torch.no_grad()
def test_equals_the_publishers_orientation(small):
    """The same network on maps (B, 1, frames, mels), with every kernel turned."""
    x = torch.randn(2, 1, 40, 130)
    turned = copy.deepcopy(small)
    for conv in turned.modules():
        if isinstance(conv, torch.nn.Conv2d):
            conv.weight.data = conv.weight.transpose(2, 3).contiguous()
            conv.padding = conv.padding[::-1]
    norm, *stem = turned.stem
    mean, deviation = norm.running_mean, (norm.running_var + norm.eps).sqrt()
    y = (x.transpose(2, 3) - mean) / deviation * norm.weight + norm.bias
    for layer in [*stem, *turned.stages]:
        y = layer(y)
    pooled = y.mean(3).max(2).values + y.mean(3).mean(2)
    head = turned.head
    expected = head.fc(torch.layer_norm(pooled, (32,), head.norm.weight, head.norm.bias, 1e-6))
    torch.testing.assert_close(small(x), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_timm_interface(small):
    x = torch.randn(3, 1, 40, 130)
    maps = small.forward_features(x)
    embedding = small.forward_head(maps, pre_logits=True)
    assert maps.shape[:2] == (3, small.num_features) and embedding.shape == (3, 32)
    torch.testing.assert_close(small.get_classifier()(embedding), small(x))
    small.reset_classifier(7)
    assert small(x).shape == (3, 7)
    torch.testing.assert_close(small.forward_head(maps, pre_logits=True), embedding)
    small.reset_classifier(0)
    torch.testing.assert_close(small(x), embedding)


@torch.no_grad()
@pytest.mark.parametrize("frames", [101, 201, 331, 2701])
def test_any_length(small, frames):
    assert small(torch.randn(1, 1, 40, frames)).isfinite().all()


@torch.no_grad()
def test_it_can_have_dcls_convolutions_and_other_channels():
    arguments = {**TINY, "dcls": {"kernel_count": 4}, "in_chans": 2, "n_mels": 40}
    model = timm.create_model("convnext_tiny_at", num_classes=5, **arguments)
    assert model(torch.randn(2, 2, 40, 130)).shape == (2, 5)


def test_the_front_end_is_computed_not_loaded(state):
    model = timm.create_model("convnext_tiny_at", num_classes=5, **TINY)
    front_end = {key: x for key, x in state.items() if key.startswith(("spectro", "logmel"))}
    assert len(front_end) == 3
    assert convnext_at.from_reference(front_end, model) == {}
