"""A limit on the size of a network while it is built, so that no config can fill the memory.

Parameters are counted. Tables that a network makes on the way, such as those of all pairs of
positions, are not: there Linux is asked to give this process no more memory than it can need.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from audiotag.errors import ModelError

try:
    import resource
except ImportError:  # on Windows, where parameters alone are counted
    resource = None  # type: ignore[assignment]

# The network that is built first may be larger than its weights: convolutions that DCLS replaces
# have between a tenth of its numbers and ten times as many.
SPARE = 16
ROOM = 10_000_000  # numbers, in any case
TENSORS = 2_000  # in any case
LARGEST = 2**31  # numbers of a network without weights yet
MOST_TENSORS = 50_000
COPIES = 2  # of numbers of 4 bytes, while a network is built
TABLES = 2**30  # bytes of tables beside it
STACK = 2**24  # bytes of each thread that PyTorch may start meanwhile
OWN_SIZE = Path("/proc/self/statm")  # in pages; not there on other systems than Linux
DATA = 5  # the column of what is private and can be written
BUILDING = threading.Lock()  # one at a time: the limit is the whole process's


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
            raise ModelError(_too_large(reason))

    hook = register_module_parameter_registration_hook(add)
    try:
        with _limited_memory(4 * COPIES * numbers + TABLES, reason):
            yield
    finally:
        hook.remove()


@contextmanager
def _limited_memory(size: int, reason: str) -> Iterator[None]:
    """A context in which this process takes at most so many bytes more.

    Raises:
        ModelError: From where it would.
    """
    if resource is None or not OWN_SIZE.exists():
        yield
        return
    with BUILDING:
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        used = int(OWN_SIZE.read_text().split()[DATA]) * resource.getpagesize()
        limit = used + size + STACK * (os.cpu_count() or 1)
        limit = limit if soft == resource.RLIM_INFINITY else min(soft, limit)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
        try:
            yield
        except MemoryError as error:
            raise ModelError(_too_large(reason)) from error
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _too_large(reason: str) -> str:
    return f"its architecture and arguments make a network far larger than {reason}; check them"
