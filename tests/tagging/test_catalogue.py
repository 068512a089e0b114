"""The list of models against what their authors publish."""

import re
from dataclasses import replace

import pytest
import timm
import torch
from click.testing import CliRunner
from huggingface_hub import constants

from audiotag.backbones import architectures
from audiotag.backbones.complexity import count_macs, describe
from audiotag.benchmarks.models import ModelWork, Setting
from audiotag.benchmarks.speed import keep_speeds, measure_models
from audiotag.cli import cli
from audiotag.models.published.figures import PUBLISHED
from audiotag.models.published.names import MODELS
from audiotag.tagging.catalogue import choices


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


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Empty caches of the Hub."""
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "assets"


def guide(output: str) -> dict[str, str]:
    """Rows of the published models, by name, in their order."""
    part = output.partition("Published, the best first")[2].partition("Architectures")[0]
    rows = {line.split()[0]: line for line in part.splitlines()[1:] if line.strip()}
    return {name: line for name, line in rows.items() if name in MODELS}


def test_the_guide_names_what_to_choose_the_best_first(cache):
    result = CliRunner().invoke(cli, ["models"])
    assert result.exit_code == 0, result.output
    rows = guide(result.output)
    assert list(rows)[0] == "ced-base" and {"ced-tiny", "mn40_as_ext", "mn04_as"} <= rows.keys()
    scores = [float(row.split()[1]) for row in rows.values()]
    assert scores == sorted(scores, reverse=True) and scores[0] == 50.0
    assert re.search(r"50\.0 +342\.8 +Apache-2\.0 +the best tags", rows["ced-base"])
    assert "--all lists all 25" in result.output
    assert {choice.model.name for choice in choices()} == set(MODELS)


@pytest.mark.slow
def test_the_guide_has_the_speeds_that_were_benched_here(cache):
    table = measure_models([ModelWork("ced_tiny", Setting())], {"ced_tiny": None}, 1)
    keep_speeds(table)
    speed = table.rows[0].clips_per_second
    (tiny,) = choices(["ced-tiny"])
    assert tiny.speed == speed and choices(["ced-base"])[0].speed is None
    training = replace(table, setting=replace(table.setting, train=True))
    keep_speeds(replace(training, rows=(replace(table.rows[0], clips_per_second=1e9),)))
    assert choices(["ced-tiny"])[0].speed == speed  # a training step is another thing
    rows = guide(CliRunner().invoke(cli, ["models"]).output)
    assert f" {speed:.3g} " in rows["ced-tiny"]
    (cache / "audiotag" / "speeds.json").write_text("damaged")
    assert choices(["ced-tiny"])[0].speed is None


@pytest.mark.slow
def test_command_lists_every_architecture_with_its_figures():
    result = CliRunner().invoke(cli, ["models", "--all"])
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.output.splitlines() if line.strip()}
    assert set(MODELS) <= guide(result.output).keys()
    assert set(architectures()) <= rows.keys()
    assert "28,221,263" in rows["convnext_dcls_audio_tiny"]
    assert re.search(r"45\.5 +arXiv 2309\.13972", rows["convnext_dcls_audio_tiny"])
    assert torch.get_default_device() == torch.device("cpu")
