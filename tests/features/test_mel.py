"""Front ends on a CPU: in C without gradients, in PyTorch with them, to the same maps."""

import copy

import pytest
import torch

from audiotag.features.efficientat import EfficientATMel
from audiotag.features.log_mel import LogMel
from audiotag.features.mel_power import library

needs_c = pytest.mark.skipif(library() is None, reason="the C function was not built")


@pytest.fixture(params=[LogMel, EfficientATMel])
def front_end(request):
    return request.param()


def waveforms(batch=3, samples=4_001):
    return torch.randn(batch, samples, generator=torch.Generator().manual_seed(0)) / 8


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_maps_are_the_same_with_and_without_a_gradient(front_end, batch, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        given = waveforms(batch)
        torch.testing.assert_close(
            front_end(given), front_end(given.requires_grad_()).detach(), rtol=0, atol=2e-4
        )
    finally:
        torch.set_num_threads(before)


def test_a_gradient_that_is_asked_for_is_there(front_end):
    given = waveforms().requires_grad_()
    front_end(given).sum().backward()
    assert given.grad is not None and given.grad.abs().sum() > 0


@needs_c
def test_without_a_gradient_no_spectrogram_is_made(front_end, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("PyTorch was asked")

    monkeypatch.setattr(torch, "stft", refuse)
    assert front_end(waveforms()).shape[:3] == (3, 1, 128)


def test_a_waveform_shorter_than_half_a_frame_is_refused(front_end):
    with pytest.raises(RuntimeError, match="[Pp]adding"):
        front_end(waveforms(samples=400))


def test_copies_give_the_same_maps(front_end):
    given = waveforms()
    assert torch.equal(copy.deepcopy(front_end)(given), front_end(given))
