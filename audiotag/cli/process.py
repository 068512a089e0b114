"""Settings of the whole process, made when a command starts to compute.

Only commands make them: the library does not change a program that imports it. A program that wants
a command's speed calls `runtime.allocator.keep_freed_memory` and sets
`torch.backends.cudnn.benchmark` itself.

- If the model computes on a CPU, malloc keeps freed memory (glibc only).
- If the system has no name and home folder for the user, they are set.
- If a model is trained, cuDNN tries its algorithms for each new shape and keeps the fastest.
"""

import getpass
import os

from audiotag.runtime.allocator import keep_freed_memory


def name_user() -> None:
    """Give the user a name and a home folder if the system has none, as in a container that runs
    under a user number. Without a name PyTorch cannot be imported; without a home the Hub's client
    makes a folder called ~.
    """
    try:
        getpass.getuser()
    except (ImportError, KeyError, OSError):
        os.environ["LOGNAME"] = f"user{os.getuid()}"
    if os.path.expanduser("~") == "~":
        os.environ["HOME"] = os.sep  # as login does


def prepare_to_compute(device: str) -> None:
    """Make the settings for a model that computes on a device, "cpu" or "cuda"."""
    if device == "cpu":
        keep_freed_memory()


def prepare_to_train(device: str) -> None:
    """Make the settings for a model that is trained, or timed, on a device, "cpu" or "cuda"."""
    import torch

    prepare_to_compute(device)
    torch.backends.cudnn.benchmark = True
