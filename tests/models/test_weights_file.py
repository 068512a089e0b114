"""Parameters counted in the file are those that torch counts in the model."""

import pytest
import torch

from audiotag.errors import ModelError
from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model
from audiotag.models.weights_file import count_parameters
from tests.support.tiny_models import TINY

LABELS = Labels(["cat", "dog"])
DEEP = {**TINY, "depths": [2, 2, 2, 2]}  # convolutions of equal width follow each other
ALONE = {**DEEP, "dcls": {"share": False}}
DENSE = {"init": "dense", "kernel_size": 7}
CONFIGS = {
    "shared positions": ModelConfig("convnext_dcls_audio_atto", LABELS, DEEP),
    "positions of their own": ModelConfig("convnext_dcls_audio_atto", LABELS, ALONE),
    "one grid": ModelConfig("convnext_audio_atto", LABELS, DEEP, DENSE),
    "equal grids": ModelConfig("convnext_audio_atto", LABELS, DEEP, {**DENSE, "share": False}),
    "batch norms": ModelConfig("mn01_as", LABELS, front_end="efficientat_mel"),
    "fastvit": ModelConfig("fastvit_dcls_audio_sa24", LABELS),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_count_is_torchs(config, tmp_path):
    model = Model.create(config).eval()
    model.save(tmp_path)
    expected = sum(parameter.numel() for parameter in model.parameters())
    assert count_parameters(tmp_path, config) == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_count_is_that_of_any_type(dtype, tiny_tagger, tmp_path):
    tiny_tagger.save(tmp_path, dtype)
    expected = sum(parameter.numel() for parameter in tiny_tagger.parameters())
    assert count_parameters(tmp_path, tiny_tagger.config) == expected


@pytest.mark.parametrize("content", [None, b"", bytes(100)])
def test_weights_that_cannot_be_read_are_named(content, tmp_path):
    if content is not None:
        (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="model.safetensors cannot be read"):
        count_parameters(tmp_path, CONFIGS["batch norms"])
