"""The list of models against what their authors publish."""

import re

import pytest
import timm
import torch
from click.testing import CliRunner

from audiotag.backbones import architectures
from audiotag.backbones.complexity import count_macs, describe
from audiotag.cli import cli
from audiotag.models.published.figures import PUBLISHED


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [  # millions and billions, from EfficientAT's README
        ("mn04_as", 0.983, 0.11),
        ("mn10_as", 4.88, 0.54),
        ("mn20_as", 17.91, 2.06),
    ],
)
def test_costs_are_the_published_ones(name, parameters, macs):
    counted = describe(name)
    assert counted[0] / 1e6 == pytest.approx(parameters, abs=0.005)
    assert counted[1] / 1e9 == pytest.approx(macs, abs=0.005)


def test_dcls_costs_what_its_kernels_add():
    baseline, dcls = describe("convnext_audio_atto"), describe("convnext_dcls_audio_atto")
    cells = ((64, 62, 40, 2), (32, 31, 80, 2), (16, 15, 160, 6), (8, 7, 320, 2))  # H, W, C, blocks
    added = sum(h * w * c * blocks for h, w, c, blocks in cells) * (23 * 23 - 7 * 7)
    assert dcls[1] - baseline[1] == added


def test_attention_is_counted():
    attention = timm.create_model("vit_tiny_patch16_224", in_chans=1, depth=1, num_classes=0)
    linear = sum(p.numel() for p in attention.blocks.parameters() if p.ndim == 2) * 197
    patches = 196 * 16 * 16 * 192
    counted = count_macs(attention, (1, 1, 224, 224))
    assert counted == linear + patches + 2 * 197 * 197 * 192


def test_published_figures_are_of_architectures_that_exist():
    assert PUBLISHED.keys() <= set(architectures())


@pytest.mark.slow
def test_command_lists_every_architecture_with_its_figures():
    result = CliRunner().invoke(cli, ["models", "--all"])
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.output.splitlines() if line.strip()}
    assert set(architectures()) <= rows.keys()
    assert "28,221,263" in rows["convnext_dcls_audio_tiny"]
    assert re.search(r"45\.5 +arXiv 2309\.13972", rows["convnext_dcls_audio_tiny"])
    assert torch.get_default_device() == torch.device("cpu")
