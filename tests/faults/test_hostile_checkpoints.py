"""Checkpoints whose tensors are not what they seem, or that unpack to far more than they hold:
`convert` says in one sentence what is wrong."""

import zipfile

import pytest
import timm
import torch

from audiotag.errors import ModelError
from audiotag.models.published.convert import import_checkpoint
from tests.support.published_models import efficientat

WEIGHT = "features.1.block.0.0.weight"
HUGE = (100_000, 100_000)
# What a weight is replaced by, or what is added to the checkpoint.
CHANGES = {
    "one number for all": lambda state, weight: {WEIGHT: torch.zeros(1).expand(HUGE)},
    "one number more": lambda state, weight: {"extra": torch.zeros(1).expand(HUGE)},
    "sparse": lambda state, weight: {WEIGHT: torch.sparse_coo_tensor(size=weight.shape)},
    "without values": lambda state, weight: {WEIGHT: weight.to("meta")},
    "of integers with a scale": lambda state, weight: {
        WEIGHT: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)
    },
    "complex": lambda state, weight: {WEIGHT: weight.to(torch.complex64)},
    "true and false": lambda state, weight: {WEIGHT: weight > 0},
    "text": lambda state, weight: {WEIGHT: "../../etc/passwd"},
    "a number as a name": lambda state, weight: {7: weight},
}


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return efficientat(timm.create_model("mn01_as"))


@pytest.mark.filterwarnings("ignore")  # PyTorch gives up quantised tensors
@pytest.mark.parametrize("name", CHANGES)
def test_tensors_that_are_no_plain_numbers_are_refused(name, state, tmp_path):
    path = tmp_path / "mn01_as_mAP_298.pt"
    torch.save({**state, **CHANGES[name](state, state[WEIGHT])}, path)
    with pytest.raises(ModelError, match="holds no state dict|does not fit mn01_as"):
        import_checkpoint(path)


def test_an_archive_that_unpacks_to_more_than_it_holds_is_refused(state, tmp_path):
    torch.save({**state, "more": torch.zeros(2_000_000)}, tmp_path / "mn01_as_mAP_298.pt")
    import_checkpoint_error(tmp_path / "mn01_as_mAP_298.pt", "does not fit mn01_as")
    with (
        zipfile.ZipFile(tmp_path / "mn01_as_mAP_298.pt") as whole,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for member in whole.infolist():
            bomb.writestr(member.filename, whole.read(member))
    import_checkpoint_error(tmp_path / "bomb.pt", "would unpack to")


def import_checkpoint_error(path, message):
    """Check with which message a checkpoint is refused."""
    with pytest.raises(ModelError, match=message):
        import_checkpoint(path)
