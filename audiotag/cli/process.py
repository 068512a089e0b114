"""Settings of the whole process, made where a command starts to compute.

Only commands make them: the library leaves a program that imports it as it is, so a program that
wants a command's speed calls `runtime.allocator.keep_freed_memory` and sets
`torch.backends.cudnn.benchmark` itself.

- malloc keeps what is freed, where the model computes on a CPU (glibc only).
- The user has a name and a home folder, where the system knows none.
- cuDNN tries its algorithms for each new shape and keeps the fastest, where a model is trained.
"""

import getpass
import os

from audiotag.runtime.allocator import keep_freed_memory


def name_user() -> None:
    """Give the user a name and a home folder where the system knows none, as in a container that
    runs under a number: PyTorch cannot be imported without, and the Hub's client makes a folder ~.
    """
    try:
        getpass.getuser()
    except (ImportError, KeyError, OSError):
        os.environ["LOGNAME"] = f"user{os.getuid()}"
    if os.path.expanduser("~") == "~":
        os.environ["HOME"] = os.sep  # as login does


def prepare_to_compute(device: str) -> None:
    """Settings for a model that computes on a kind of device, "cpu" or "cuda"."""
    if device == "cpu":
        keep_freed_memory()


def prepare_to_train(device: str) -> None:
    """Settings for a model that is trained, or timed, on a kind of device, "cpu" or "cuda"."""
    import torch

    prepare_to_compute(device)
    torch.backends.cudnn.benchmark = True
