"""The ONNX file of a run: there, or said why not; its scores are compared in the export's tests."""

import torch

from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model
from audiotag.models.onnx import in_folder
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
