"""Kernels built on a GPU against the dcls package's: in Triton's interpreter, and on a GPU.

Triton decides whether to interpret when it is imported, so this file is also the program that a
subprocess runs: it prints the errors of every version as JSON.
"""

import json

import pytest
import torch
from DCLS.construct.modules import Dcls2d

from audiotag.layers.dcls import MIN_SIGMA, NORM_EPS
from tests.support.triton_interpreter import run_interpreted

CHANNELS, ELEMENTS, SIZE = 5, 19, (17, 17)
VERSIONS = ("gauss", "v1", "max")


def package(version: str) -> Dcls2d:
    """A layer with positions all over the kernel and beyond, and sigmas of both signs."""
    arguments = {"kernel_count": ELEMENTS, "dilated_kernel_size": SIZE, "padding": 8}
    torch.manual_seed(0)
    layer = Dcls2d(CHANNELS, CHANNELS, groups=CHANNELS, version=version, **arguments)
    with torch.no_grad():
        layer.P.uniform_(-9, 9)
        if layer.SIG is not None:
            layer.SIG.normal_()
    return layer


def relative_errors(version: str, device: str) -> list[float]:
    """Errors of kernels and of the gradients of weights, positions and sigmas."""
    from audiotag.layers.kernels import triton_construct

    layer = package(version).to(device)
    expected = layer.DCK(layer.weight, layer.P, layer.SIG)
    built = triton_construct.construct(
        *(layer.weight, layer.P, layer.SIG, SIZE, version, MIN_SIGMA[version], NORM_EPS)
    )
    leaves = [x for x in (layer.weight, layer.P, layer.SIG) if x is not None]
    upstream = torch.randn_like(expected)
    grads, theirs = (torch.autograd.grad(x, leaves, upstream) for x in (built, expected))
    pairs = zip((built, *grads), (expected, *theirs), strict=True)
    return [((a - b).norm() / b.norm()).item() for a, b in pairs]


@pytest.fixture(scope="module")
def interpreted() -> dict[str, list[float]]:
    """Errors of every version in the interpreter."""
    return run_interpreted(__file__)


@pytest.mark.parametrize("version", VERSIONS)
def test_interpreted_kernels_and_gradients_equal_the_package(version, interpreted):
    errors = interpreted[version]
    assert len(errors) == (3 if version == "v1" else 4) and max(errors) < 1e-5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("version", VERSIONS)
def test_kernels_and_gradients_on_the_gpu_equal_the_package(version):
    assert max(relative_errors(version, "cuda")) < 1e-5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_layers_on_the_gpu_are_built_so():
    from audiotag.layers.dcls import DclsConv2d, _triton

    layer = DclsConv2d(4, 4, kernel_count=9, dilated_kernel_size=11, groups=4, padding=5).cuda()
    assert _triton(layer.weight, (11, 11)) is not None
    torch.testing.assert_close(layer.kernel().cpu(), layer.cpu().kernel())


if __name__ == "__main__":
    print(json.dumps({version: relative_errors(version, "cpu") for version in VERSIONS}))
