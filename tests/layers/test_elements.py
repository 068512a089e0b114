"""Elements of DCLS convolutions, and the pictures of them and of a run."""

import json
import shutil

import matplotlib
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from audiotag.cli import cli
from audiotag.errors import AudioTagError, DataError, ModelError
from audiotag.label_set import Labels
from audiotag.layers.dcls import DclsConv2d
from audiotag.layers.elements import stage_elements
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model
from audiotag.runtime import figures
from tests.support.tiny_models import TINY

DEPTHS = {**TINY, "depths": [2, 1, 3, 1]}


def tagger_of(architecture="convnext_dcls_audio_atto", **arguments):
    torch.manual_seed(0)
    labels = Labels(("a", "b"))
    return Model.create(ModelConfig(architecture, labels, model_args=DEPTHS | arguments))


def convs_of(tagger):
    return [x for x in tagger.backbone.modules() if isinstance(x, DclsConv2d)]


def test_stages_have_their_shared_elements_once_and_every_kernel():
    """Two stages of eight channels that follow each other cannot be told apart, and are one."""
    tagger = tagger_of()
    stages = stage_elements(tagger.backbone, "tiny")
    assert [(stage.convs, stage.channels) for stage in stages] == [(3, 8), (3, 16), (1, 32)]
    convs = convs_of(tagger)
    owners = [(convs[i].P, channel) for i in (0, 2) for channel in range(8)]
    expected = [P[:, channel, 0, k] for P, channel in owners for k in range(26)]
    column, row = torch.stack(expected, 1).detach().numpy()
    np.testing.assert_array_equal(stages[0].positions, [row, column])
    np.testing.assert_allclose(stages[0].widths, 0.23 + 0.27, rtol=1e-6)
    package = [conv.DCK(conv.weight, conv.P, conv.SIG) for conv in convs[3:6]]
    kernel = torch.stack(package).abs().mean((0, 1, 2)).detach().numpy()
    np.testing.assert_allclose(stages[1].kernel, kernel, atol=1e-7)


def test_an_element_is_where_its_position_says():
    tagger = tagger_of(dcls={"kernel_count": 1})
    for conv in convs_of(tagger):
        with torch.no_grad():
            conv.P[0], conv.P[1] = 3.0, -2.0
            conv.SIG[0], conv.SIG[1] = 0.1, -0.5
    for stage in stage_elements(tagger.backbone, "tiny"):
        np.testing.assert_array_equal(np.unique(stage.positions, axis=1), [[-2], [3]])
        np.testing.assert_allclose(np.unique(stage.widths, axis=1), [[0.77], [0.37]], rtol=1e-6)
        assert np.unravel_index(stage.kernel.argmax(), (23, 23)) == (11 - 2, 11 + 3)


def test_elements_of_their_own_count_for_each_convolution_and_bilinear_ones_have_no_width():
    tagger = tagger_of(dcls={"share": False, "version": "v1", "kernel_size": 9})
    stages = stage_elements(tagger.backbone, "tiny")
    assert [stage.positions.shape[1] for stage in stages] == [3 * 8 * 26, 3 * 16 * 26, 32 * 26]
    assert [stage.widths for stage in stages] == [None] * 3
    assert stages[0].kernel.shape == stages[0].size == (9, 9)


@pytest.fixture
def folder(tmp_path):
    """A model whose elements are spread over the kernel, one in four beyond the middle 7x7."""
    tagger = tagger_of()
    for conv in convs_of(tagger):
        with torch.no_grad():
            conv.P.zero_()
            conv.P[1, :2] = 9.0
    tagger.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def run_folder(tmp_path):
    """Three validations, the second the best, and a fourth that a kill has torn."""
    rows = [
        {"epoch": 2 * i, "step": 20 * i, "train_loss": 3 / i, "lr": 1e-3 / i}
        | {"clips_per_second": 10.0 * i, "data_wait": 0.0, "valid_loss": 2 / i}
        | {"valid_map": 0.8 - 0.1 * abs(i - 2), "valid_accuracy": 0.1 * i}
        for i in (1, 2, 3)
    ]
    (tmp_path / "run").mkdir()
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    (tmp_path / "run" / "metrics.jsonl").write_text(text + '{"epoch": 8, "st')
    return tmp_path / "run"


def draw(*words):
    return CliRunner().invoke(cli, ["plot", *map(str, words)])


def text_of(picture, *words):
    """The words in a picture that was drawn into it."""
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        result = draw(*words, picture)
    assert result.exit_code == 0, result.output or result.exception
    assert result.stdout == f"{picture}\n"
    return picture.read_text()


def test_picture_of_kernels_says_what_it_shows(folder, tmp_path):
    text = text_of(tmp_path / "kernels.svg", "kernels", folder)
    assert "stage 1: 3 convolutions, 8 channels" in text and "23x23" in text
    assert "416 elements, 25.0 % outside the square" in text  # two channels of eight
    assert "416 elements, 12.5 % outside the square" in text
    assert text.count("in mel, median 0.50") == text.count("in time, median 0.50") == 3


def test_picture_of_a_run_says_what_was_best(run_folder, tmp_path):
    text = text_of(tmp_path / "run.svg", "run", run_folder)
    assert "mAP, best 0.800 in epoch 4" in text and "accuracy, best 0.300 in epoch 6" in text
    assert "60 steps, 20 clips a second" in text
    assert draw("run", run_folder, tmp_path / "run.png").exit_code == 0
    assert (tmp_path / "run.png").read_bytes()[:4] == b"\x89PNG"


def test_picture_of_a_run_with_several_labels_a_clip_has_no_accuracy(run_folder, tmp_path):
    rows = [json.loads(x) for x in (run_folder / "metrics.jsonl").read_text().splitlines()[:3]]
    lines = [json.dumps({k: v for k, v in row.items() if k != "valid_accuracy"}) for row in rows]
    (run_folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    text = text_of(tmp_path / "run.svg", "run", run_folder)
    assert "mAP" in text and "accuracy" not in text


def test_what_cannot_be_drawn_is_said(folder, run_folder, tmp_path, monkeypatch):
    plain = tagger_of("convnext_audio_atto")
    plain.save(tmp_path / "plain")
    for words, kind, message in (
        (("kernels", tmp_path / "plain", "x.png"), ModelError, "plain has no DCLS convolutions"),
        (("kernels", "nothing", "x.png"), ModelError, "no model 'nothing'"),
        (("run", folder, "x.png"), DataError, "has no metrics.jsonl with a validation"),
        (("kernels", folder, "x.gif"), AudioTagError, "must end in one of .png"),
    ):
        error = draw(*words).exception
        assert isinstance(error, kind) and message in str(error)
    shutil.copytree(run_folder, tmp_path / "folds" / "fold3")
    assert "such as" in str(draw("run", tmp_path / "folds", "x.png").exception)
    monkeypatch.setattr(figures.importlib.util, "find_spec", lambda name: None)
    for words in (("kernels", folder, "x.png"), ("run", run_folder, "x.png")):
        assert "audiotag-dcls[train]" in str(draw(*words).exception)
