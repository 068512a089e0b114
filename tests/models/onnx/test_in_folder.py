"""The ONNX file of a run: there, or said why not; its scores are compared in the export's tests."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from audiotag.audio.streams import read
from audiotag.errors import ModelError
from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model
from audiotag.models.onnx import in_folder
from audiotag.models.onnx.model import OnnxModel
from audiotag.tagging.locate import model_folder
from tests.support.tiny_models import TINY


def test_a_front_end_that_only_torch_computes_leaves_none(tmp_path):
    torch.manual_seed(0)
    config = ModelConfig("yamnet", Labels(["a", "b"]), front_end="yamnet_mel")
    Model.create(config).save(tmp_path)
    reason = in_folder.write_onnx(tmp_path)
    assert reason is not None and not (tmp_path / "model.onnx").exists()


def test_a_model_of_any_other_front_end_gets_one(tmp_path):
    torch.manual_seed(0)
    config = ModelConfig("convnext_dcls_audio_atto", Labels(["a", "b"]), model_args=dict(TINY))
    Model.create(config).save(tmp_path)
    assert in_folder.write_onnx(tmp_path) is None and (tmp_path / "model.onnx").exists()


def save_with_head(folder, scale):
    """A small model whose logits are as far from zero as `scale` makes them."""
    torch.manual_seed(0)
    config = ModelConfig("ced_tiny", Labels("abcd"), {"embed_dim": 64, "num_heads": 1, "depth": 2})
    tagger = Model.create(replace(config, front_end="ced_mel", min_duration=0.2))
    torch.nn.init.normal_(tagger.backbone.get_classifier()[-1].weight, std=scale)
    tagger.save(folder)
    assert in_folder.write_onnx(folder) is None
    return folder / "model.onnx"


def scores_of_samples(path):
    """Scores of the first 10 s of the package's sample clips."""
    model, folder = OnnxModel.load(path), model_folder(None).parent / "samples"
    clips = [x for x in sorted(folder.iterdir()) if x.suffix != ".md"]
    heard = [read(clip, model.sample_rate)[: 10 * model.sample_rate] for clip in clips]
    return np.concatenate([model.score_windows(samples[None]) for samples in heard])


def test_int8_that_changes_little_is_kept(tmp_path):
    path = save_with_head(tmp_path, 0.01)
    before, size = scores_of_samples(path), path.stat().st_size
    made = in_folder.write_int8(tmp_path, "m")
    change = np.abs(scores_of_samples(path) - before).max()
    assert made.size == path.stat().st_size < size
    assert 0 < change < 0.005 and made.quantisation.largest == pytest.approx(change, rel=0.01)


def test_int8_that_changes_more_is_refused_with_how_much(tmp_path):
    path = save_with_head(tmp_path, 0.5)
    content = path.read_bytes()
    message = "m stays as it is: int8 changes the scores of 10 sample clips by ([0-9.]+) at most"
    with pytest.raises(ModelError, match=f"{message}, .* more than 0.005; leave it out") as error:
        in_folder.write_int8(tmp_path, "m")
    changed = re.match(message, str(error.value))
    assert float(changed[1]) > 0.005 and path.read_bytes() == content
