"""The processes of one command, where torchrun started several; one alone needs no torch."""

import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

LAUNCHED = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}  # set by torchrun
FAILED = "failed"  # in the store that all processes see: how many of them have failed
JOINED = itertools.count()  # numbers the process groups, in the same order in every process


def launched_rank() -> int:
    """This process's rank, joined or not: 0 where torchrun did not start it."""
    return int(os.environ["RANK"]) if _is_launched() else 0


@contextmanager
def joined_processes() -> Iterator[int]:
    """Join the processes that torchrun started with this one, if it did; gives this one's rank.

    Where there are GPUs, each process takes the one of its local rank. Tensors on GPUs are
    exchanged over nccl, others over gloo. Where several processes fail, only the first says why:
    the others mostly fail because it has.
    """
    if not _is_launched():
        yield 0
        return
    import torch
    import torch.distributed as dist

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    shared, rank, processes = next(dist.rendezvous("env://"))
    store = dist.PrefixStore(f"{next(JOINED)}", shared)  # free of an earlier group's addresses
    dist.init_process_group(backend, store=store, rank=rank, world_size=processes)
    try:
        yield rank
    except Exception as error:
        if store.add(FAILED, 1) > 1:
            raise SystemExit(1) from error
        raise
    finally:
        dist.destroy_process_group()


def _is_launched() -> bool:
    return LAUNCHED <= os.environ.keys()


def sum_over_processes(values: np.ndarray) -> np.ndarray:
    """The sum of an array over all processes; each has some of its rows, and zeros elsewhere."""
    if process_count() == 1:
        return values
    import torch
    import torch.distributed as dist

    total = torch.from_numpy(values)
    if dist.get_backend() == "nccl":
        total = total.cuda()
    dist.all_reduce(total)
    return total.cpu().numpy()


def process_count() -> int:
    """How many processes have joined; 1 where none has."""
    if not _is_joined():
        return 1
    import torch.distributed as dist

    return dist.get_world_size()


def process_rank() -> int:
    """This process's rank among those that have joined; 0 where none has."""
    if not _is_joined():
        return 0
    import torch.distributed as dist

    return dist.get_rank()


def _is_joined() -> bool:
    """Whether this process has joined others, which nobody does without torch."""
    if "torch" not in sys.modules:
        return False
    import torch.distributed as dist

    return dist.is_initialized()
