"""Folded and merged models against the models they come from, after training has moved them."""

import copy

import pytest
import timm
import torch
from timm.layers import Mlp
from timm.models.fastvit import LayerScale2d, MobileOneBlock, RepMixer
from timm.models.metaformer import StarReLU
from torch import nn

import audiotag.backbones  # noqa: F401  (registers the models)
from audiotag.layers.dcls import DclsConv2d
from audiotag.layers.depthwise import DepthwiseConv2d
from audiotag.layers.folding import fold
from audiotag.layers.fusion import ResidualBlock
from audiotag.layers.swap import swap_convs

FASTVIT = {"layers": (1, 2, 1, 1), "embed_dims": (8, 16, 32, 32), "layer_scale_init_value": 0.5}
MAPS = (2, 1, 64, 97)


def _trained(model: nn.Module) -> nn.Module:
    """After two steps large enough to move every parameter and statistic."""
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    before = copy.deepcopy(model.state_dict())
    for _ in range(2):
        optimizer.zero_grad()
        model.train()(torch.randn(MAPS)).square().mean().backward()
        optimizer.step()
    for key, tensor in model.state_dict().items():
        if key.endswith((".P", ".running_mean", ".running_var")):
            assert not torch.equal(tensor, before[key]), key
    return model.eval()


def _assert_folds(model: nn.Module) -> nn.Module:
    """Fold a copy, check that it answers the same at two lengths, and return it."""
    folded = fold(copy.deepcopy(model))
    assert folded.is_folded
    for layout in (torch.contiguous_format, torch.channels_last):
        folded.to(memory_format=layout)
        for frames in (97, 333):
            maps = torch.randn(2, 1, 64, frames)
            with torch.inference_mode():
                expected, logits = model(maps), folded(maps)
            assert (logits - expected).abs().max() < 1e-4 * expected.std()
    with torch.enable_grad():  # computed in another way
        torch.testing.assert_close(folded(maps), logits, rtol=0, atol=1e-4 * expected.std().item())
    return folded


@pytest.mark.parametrize("method", ["audio", "dcls_audio"])
def test_fastvit(method):
    model = _trained(timm.create_model(f"fastvit_{method}_sa24", num_classes=20, **FASTVIT))
    folded = _assert_folds(model)
    for mixer in (m for m in folded.modules() if isinstance(m, RepMixer)):
        assert [type(m) for m in mixer.children()] == [nn.Conv2d]
    for block in (m for m in folded.modules() if isinstance(m, MobileOneBlock)):
        assert not any(isinstance(m, nn.BatchNorm2d) for m in block.modules())
    assert not any(isinstance(m, LayerScale2d) for m in folded.modules())
    norms = [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == len(folded.stages[3].blocks)  # before attention
    encoding = folded.stages[3].pos_emb.reparam_conv
    assert type(encoding) is (DepthwiseConv2d if method == "dcls_audio" else nn.Conv2d)


def test_fastvit_whose_every_branch_is_swapped():
    model = timm.create_model("fastvit_sa12", in_chans=1, num_classes=20, **FASTVIT)
    swap_convs(model, depthwise=False, kernel_size=9, kernel_count=5)
    folded = _assert_folds(_trained(model))
    assert type(folded.stages[0].blocks[0].token_mixer.reparam_conv) is DepthwiseConv2d


@pytest.mark.parametrize(
    "name, depthwise, arguments",
    [("resnet18", False, {"channels": (8, 16, 32, 64)}), ("efficientnet_b0", True, {})],
)
def test_swapped_timm_models(name, depthwise, arguments):
    model = timm.create_model(name, in_chans=1, num_classes=20, **arguments)
    swap_convs(model, depthwise=depthwise, kernel_size=5, kernel_count=4)
    folded = _assert_folds(_trained(model))
    assert not any(isinstance(m, DclsConv2d) for m in folded.modules())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("caformer_s18", "poolformerv2_s12", "repvit_m1", "mobileone_s0", "fastvit_mci0"),
        *("edgenext_xx_small", "hrnet_w18_small", "lcnet_050", "mobilevit_xxs", "regnety_002"),
        *("swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"),
    ],
)
def test_any_model_of_timm_answers_the_same(name):
    torch.manual_seed(0)
    model = timm.create_model(name, in_chans=1, num_classes=20).eval()
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2)
    maps = torch.randn(2, 1, 224, 224)
    with torch.inference_mode():
        expected = model(maps)
        for layout in (torch.contiguous_format, torch.channels_last):
            folded = fold(copy.deepcopy(model)).to(memory_format=layout)
            logits = folded(maps.contiguous(memory_format=layout))
            assert (logits - expected).abs().max() < 1e-4 * expected.std()


# Of linear layers, of convolutions, and with a norm between them.
@pytest.mark.parametrize(
    ("name", "sums"), [("convnext_tiny", 5), ("convnext_atto", 0), ("convnextv2_atto", 0)]
)
def test_convnext_loses_its_layer_scale_and_linear_layers_sum(name, sums):
    sizes = {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32), "ls_init_value": 0.5}
    model = timm.create_model(name, in_chans=1, num_classes=20, **sizes)
    folded = _assert_folds(_trained(model))
    assert not [key for key, _ in folded.named_parameters() if key.endswith("gamma")]
    assert sum(isinstance(module, ResidualBlock) for module in folded.modules()) == sums


@pytest.mark.parametrize("method", ["audio", "dcls_audio"])
def test_convformer_is_left_with_squares(method):
    sizes = {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}
    model = _trained(timm.create_model(f"convformer_{method}_s18", num_classes=20, **sizes))
    with torch.no_grad():
        for i, star in enumerate(m for m in model.modules() if isinstance(m, StarReLU)):
            star.scale.fill_((0.9, -0.7, 0.0)[i % 3])
            star.bias.fill_(0.3 - 0.1 * i)
    folded = _assert_folds(model)
    assert not any(isinstance(m, StarReLU) for m in folded.modules())


@pytest.mark.parametrize("swapped", [False, True])
def test_mobilenet_loses_its_norms_and_activations(swapped):
    model = timm.create_model("mn01_as", num_classes=20)
    if swapped:
        swap_convs(model, match_kernel=5, kernel_size=11, kernel_count=4)
    model = _trained(model)
    kinds = [type(m) for m in _assert_folds(model).features.modules()]
    assert nn.BatchNorm2d not in kinds
    assert (nn.Hardswish in kinds) == swapped  # after DCLS convolutions


def test_layers_of_other_kinds_keep_their_activations():
    class Scaled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    torch.manual_seed(0)
    mlp = Mlp(8, 16).eval()
    mlp.fc1 = Scaled(8, 16)
    x = torch.randn(3, 8)
    with torch.inference_mode():
        expected = mlp(x)
        torch.testing.assert_close(fold(nn.Sequential(mlp))(x), expected)


def test_norms_of_statistics_of_their_own_are_left():
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.LeakyReLU()).eval()
    assert _assert_folds(model)[1].weight.shape == (4,)


@pytest.mark.slow
def test_other_blocks_are_merged_only_without_dcls():
    plain = timm.create_model("repghostnet_050", in_chans=1, num_classes=20)
    swapped = copy.deepcopy(plain)
    swap_convs(swapped, kernel_size=9)
    merged, kept = _assert_folds(_trained(plain)), _assert_folds(_trained(swapped))
    assert not [name for name, _ in merged.named_modules() if name.endswith("fusion_bn")]
    assert [name for name, _ in kept.named_modules() if name.endswith("fusion_bn")]
    assert not any(isinstance(m, DclsConv2d) for m in kept.modules())


def test_folding_twice_is_folding_once():
    model = fold(timm.create_model("fastvit_dcls_audio_sa24", num_classes=20, **FASTVIT).eval())
    modules = list(model.modules())
    assert fold(model) is model
    assert all(a is b for a, b in zip(model.modules(), modules, strict=True))


def test_kernels_are_trimmed_to_what_matters():
    torch.manual_seed(0)
    model = timm.create_model("convnext_dcls_audio_atto", depths=(1, 1, 1, 1), num_classes=20)
    near, far = (model.stages[i].blocks[0].conv_dw for i in (0, 1))
    with torch.no_grad():
        near.P.uniform_(-5.4, 5.4)  # elements some 0.5 cells wide
        near.P[0].clamp_(-3.4, 3.4)
        far.P.uniform_(-11, 11)
    folded = fold(copy.deepcopy(model.eval()))
    sizes = [folded.stages[i].blocks[0].conv_dw.weight.shape[2:] for i in (0, 1)]
    assert 15 <= sizes[0][0] <= 19 and 11 <= sizes[0][1] <= 15
    assert sizes[1] == (23, 23)
    maps = torch.randn(2, 1, 128, 201)
    with torch.inference_mode():
        torch.testing.assert_close(folded(maps), model(maps), rtol=0, atol=1e-5)
    kernel = folded.stages[1].blocks[0].conv_dw.weight
    smallest = kernel[kernel != 0].abs().min()
    assert smallest > torch.finfo(torch.float32).tiny


def test_an_empty_kernel_folds():
    model = timm.create_model("convnext_dcls_audio_atto", depths=(1, 1, 1, 1), num_classes=20)
    with torch.no_grad():
        model.stages[0].blocks[0].conv_dw.weight.zero_()
    assert fold(model.eval())(torch.zeros(1, 1, 128, 201)).isfinite().all()
