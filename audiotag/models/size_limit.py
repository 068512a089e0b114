"""A limit on the size of a network while it is built, so that no config can fill the memory."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from audiotag.errors import ModelError

# The network that is built first may be larger than its weights: convolutions that DCLS replaces
# have between a tenth of its numbers and ten times as many.
SPARE = 16
ROOM = 10_000_000  # numbers, in any case
TENSORS = 2_000  # in any case
LARGEST = 2**31  # numbers of a network without weights yet
MOST_TENSORS = 50_000


@contextmanager
def limited_to(weights: Iterable[Tensor]) -> Iterator[None]:
    """A context in which no network can be built that is much larger than these weights.

    Raises:
        ModelError: From the network's constructor.
    """
    sizes = [x.numel() for x in weights]
    with limited(SPARE * sum(sizes) + ROOM, SPARE * len(sizes) + TENSORS, "its weights have"):
        yield


@contextmanager
def limited(
    numbers: int = LARGEST, tensors: int = MOST_TENSORS, reason: str = "a model may have"
) -> Iterator[None]:
    """A context in which this thread can build no network with more numbers or tensors.

    A parameter is counted before its values are set, so before it takes any memory.

    Raises:
        ModelError: From the network's constructor.
    """
    thread, count, size = threading.get_ident(), 0, 0

    def add(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal count, size
        if parameter is None or threading.get_ident() != thread:
            return
        count, size = count + 1, size + parameter.numel()
        if count > tensors or size > numbers:
            raise ModelError(
                f"its architecture and arguments make a network far larger than {reason}; "
                "check them"
            )

    hook = register_module_parameter_registration_hook(add)
    try:
        yield
    finally:
        hook.remove()
