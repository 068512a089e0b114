"""Vision weights as a start, downloaded by timm from a Hub on the loopback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save

from audiotag.backbones import image_weights
from audiotag.backbones.image_weights import VISION, fit
from audiotag.errors import ModelError
from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model
from tests.support.hub_server import LoopbackHub

SOURCES = {  # what is built: what timm downloads
    "resnet18": "timm/resnet18.a1_in1k",
    "convnext_dcls_audio_atto": "timm/convnext_atto.d2_in1k",
}
CREATE = """
import sys
from audiotag.models.config import ModelConfig
from audiotag.label_set import Labels
from audiotag.models.model import Model
for name in sys.argv[2:]:
    tagger = Model.create(ModelConfig(name, Labels(["a", "b"])), pretrained=True)
    tagger.save(f"{sys.argv[1]}/{name}")
"""


@pytest.fixture(scope="module")
def published():
    """Random image models by the name of what is built from them."""
    torch.manual_seed(0)
    return {name: timm.create_model(x.partition("/")[2]) for name, x in SOURCES.items()}


@pytest.fixture(scope="module")
def created(published, tmp_path_factory):
    """State dicts of what was built from them, and what was said about it."""
    out, home = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("hf")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    with LoopbackHub() as hub:
        for name, source in SOURCES.items():
            hub.add(source, {"model.safetensors": save(published[name].state_dict())})
        ended = subprocess.run(
            [sys.executable, "-c", CREATE, str(out), *SOURCES],
            env=kept | {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
        )
    assert ended.returncode == 0, ended.stderr
    states = {name: load_file(out / name / "model.safetensors") for name in SOURCES}
    return states, ended.stderr


@pytest.mark.slow
def test_resnet_takes_everything_but_the_classifier(published, created):
    states, said = created
    expected = published["resnet18"].state_dict()
    for key, tensor in states["resnet18"].items():
        if key == "conv1.weight":
            torch.testing.assert_close(tensor, expected[key].sum(1, keepdim=True))
        elif key.startswith("fc."):
            assert tensor.shape[0] == 2
        else:
            assert torch.equal(tensor, expected[key]), key
    assert "resnet18 starts from resnet18, 120 of its 122 tensors; not loaded: fc\n" in said


def test_convnext_takes_all_but_the_replaced_convolutions_and_the_classifier(published, created):
    states, said = created
    expected = published["convnext_dcls_audio_atto"].state_dict()
    own = states["convnext_dcls_audio_atto"]
    block = "stages.2.blocks.3.mlp.fc1"
    assert torch.equal(own[f"{block}.weight"], expected[f"{block}.weight"].flatten(1))
    assert torch.equal(own["stages.1.blocks.0.norm.bias"], expected["stages.1.blocks.0.norm.bias"])
    assert own["stem.0.weight"].shape == (40, 1, 2, 16)
    sums = expected["stem.0.weight"].sum((1, 2, 3))
    torch.testing.assert_close(own["stem.0.weight"].sum((1, 2, 3)), sums, rtol=0, atol=0.06)
    assert "not loaded: stages.0.blocks.0.conv_dw, stages.0.blocks.1.conv_dw, " in said


def test_a_stem_that_begins_with_a_norm_takes_the_layers_after_it(monkeypatch):
    torch.manual_seed(0)
    small = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]}
    image = timm.create_model("convnext_tiny", **small)
    for parameter in image.parameters():
        torch.nn.init.normal_(parameter)
    expected = image.state_dict()
    monkeypatch.setattr(image_weights, "_download", lambda source: expected)
    own = timm.create_model("convnext_tiny_at", in_chans=1, num_classes=2, **small)
    before = {key: x.clone() for key, x in own.state_dict().items()}
    kept = image_weights.load_vision_weights(own, "convnext_tiny_at")
    found = own.state_dict()
    stem = expected["stem.0.weight"].sum(1, keepdim=True)
    torch.testing.assert_close(found["stem.1.weight"], stem)
    for key, theirs in (("stem.1.bias", "stem.0.bias"), ("stem.2.weight", "stem.1.weight")):
        assert torch.equal(found[key], expected[theirs])
    assert torch.equal(
        found["stages.1.blocks.0.conv_dw.weight"], expected["stages.1.blocks.0.conv_dw.weight"]
    )
    assert {key.rpartition(".")[0] for key in kept} == {"stem.0", "head.fc"}
    assert all(torch.equal(found[key], before[key]) for key in kept)


def test_fit_keeps_the_answer_to_an_even_image():
    kernel = torch.randn(8, 3, 1, 1).expand(8, 3, 4, 4)
    stretched = fit(kernel, torch.Size((8, 1, 2, 16)))
    torch.testing.assert_close(stretched.sum((1, 2, 3)), kernel.sum((1, 2, 3)))
    assert fit(torch.zeros(8, 8, 3, 3), torch.Size((8, 8, 7, 7))) is None
    assert fit(torch.zeros(8, 1, 7, 7), torch.Size((8, 1, 26))) is None
    assert fit(torch.zeros(2, 3), torch.Size((3, 2))) is None


def test_every_relative_exists_in_timm_with_weights():
    for source in VISION.values():
        assert timm.get_pretrained_cfg(source).has_weights, source


def test_architecture_without_published_weights_is_refused():
    with pytest.raises(ModelError, match="mn04_as has no pretrained weights"):
        Model.create(ModelConfig("mn04_as", Labels(["a"])), pretrained=True)
