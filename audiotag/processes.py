"""The processes of one command, where torchrun started several."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

LAUNCHED = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}  # set by torchrun


@contextmanager
def joined_processes() -> Iterator[int]:
    """Join the processes that torchrun started with this one, if it did; gives this one's rank.

    Each takes the GPU of its number where there are any. What they exchange goes over nccl between
    GPUs, and over gloo from memory.
    """
    if not LAUNCHED <= os.environ.keys():
        yield 0
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()
