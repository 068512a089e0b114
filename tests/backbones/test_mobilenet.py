"""EfficientAT's MobileNetV3 against torchvision's own network and published figures."""

import pytest
import timm
import torch
from torch import nn
from torchvision.models import mobilenet_v3_large
from torchvision.ops import SqueezeExcitation

from audiotag.backbones import mobilenet

# Millions of parameters, table of EfficientAT's README (arXiv 2211.04772).
PUBLISHED_MILLIONS = {
    "mn04_as": 0.98,
    "mn05_as": 1.43,
    "mn10_as": 4.88,
    "mn20_as": 17.91,
    "mn30_as": 39.09,
    "mn40_as": 68.43,
}


class HandWrittenSqueezeExcitation(nn.Module):
    """Equations 2 to 4 of arXiv 1709.01507, in double precision."""

    def __init__(self, squeeze: SqueezeExcitation) -> None:
        super().__init__()
        self.fc1, self.fc2 = squeeze.fc1, squeeze.fc2

    def forward(self, x):
        pooled = x.double().sum((2, 3)) / (x.shape[2] * x.shape[3])
        hidden = pooled @ self.fc1.weight[:, :, 0, 0].double().T + self.fc1.bias
        gate = hidden.clamp(min=0) @ self.fc2.weight[:, :, 0, 0].double().T + self.fc2.bias
        return (x.double() / (1 + torch.exp(-gate))[:, :, None, None]).float()


def randomise(model: nn.Module) -> None:
    """Fill every tensor so that each matters: small variances, so that epsilon does too."""
    torch.manual_seed(1)
    for key, tensor in model.state_dict().items():
        if key.endswith("running_var"):
            tensor.uniform_(0.001, 0.01)
        elif tensor.ndim == 4:
            tensor.normal_(std=0.3 * tensor[0].numel() ** -0.5)
        elif tensor.is_floating_point():
            tensor.normal_(mean=0.1, std=0.1)


def torchvision_twin(model: nn.Module, width: float) -> nn.Module:
    """torchvision's network with this model's weights and the gates written by hand."""
    twin = mobilenet_v3_large(width_mult=width, num_classes=527)
    twin.features[0][0] = nn.Conv2d(1, twin.features[0][0].out_channels, 3, 2, 1, bias=False)
    twin.load_state_dict(model.state_dict())
    for name, module in list(twin.named_modules()):
        if isinstance(module, SqueezeExcitation):
            twin.set_submodule(name, HandWrittenSqueezeExcitation(module))
    return twin.eval()


@pytest.mark.parametrize(("name", "width"), [("mn02_as", 0.2), ("mn04_as", 0.4)])
@torch.no_grad()
def test_equals_torchvision_with_sigmoid_gates(name, width):
    model = timm.create_model(name).eval()
    randomise(model)
    x = torch.randn(2, 1, 128, 200)
    expected = torchvision_twin(model, width)(x)
    assert expected.std() > 0.05
    torch.testing.assert_close(model(x), expected, atol=1e-4, rtol=1e-4)


def test_batch_norm_epsilon():
    model = timm.create_model("mn01_as")
    assert {m.eps for m in model.modules() if isinstance(m, nn.BatchNorm2d)} == {0.001}


@pytest.mark.parametrize("name", PUBLISHED_MILLIONS)
def test_parameters_as_published(name):
    with torch.device("meta"):
        model = timm.create_model(name)
    count = sum(p.numel() for p in model.parameters())
    assert round(count / 1e6, 2) == PUBLISHED_MILLIONS[name]


@torch.no_grad()
def test_timm_interface():
    model = timm.create_model("mn01_as", num_classes=5, in_chans=2).eval()
    x = torch.randn(3, 2, 64, 96)
    maps = model.forward_features(x)
    embedding = model.forward_head(maps, pre_logits=True)
    assert maps.shape == (3, model.num_features, 2, 3)
    assert embedding.shape == (3, model.head_hidden_size)
    assert model(x).shape == (3, 5)
    torch.testing.assert_close(model.get_classifier()(embedding), model(x))


@torch.no_grad()
def test_reset_classifier():
    model = timm.create_model("mn01_as").eval()
    x = torch.randn(1, 1, 64, 64)
    before = model.forward_head(model.forward_features(x), pre_logits=True)
    model.reset_classifier(7)
    assert model.num_classes == 7 and model(x).shape == (1, 7)
    model.reset_classifier(0)
    torch.testing.assert_close(model(x), before)


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 31, 300, 1000])
def test_any_length(frames):
    model = timm.create_model("mn01_as").eval()
    assert model(torch.randn(1, 1, 128, frames)).isfinite().all()


@pytest.mark.parametrize("name", mobilenet.WIDTHS)
def test_architecture_of_published_widths(name):
    hidden_size = round(1280 * mobilenet.WIDTHS[name])
    assert mobilenet.architecture_of(hidden_size) == (name, {})


def test_architecture_of_another_width():
    with torch.device("meta"):
        model = timm.create_model("mn_as", width=0.33)
    assert mobilenet.architecture_of(model.head_hidden_size) == ("mn_as", {"width": 0.33})
