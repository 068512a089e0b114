"""The processes of one command, if torchrun started several; a single process needs no torch."""

import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

LAUNCHED = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}  # set by torchrun
FAILED = "failed"  # key in the store of all processes: how many have failed
JOINED = itertools.count()  # number of the next process group, the same in every process


def launched_rank() -> int:
    """This process's rank, joined or not; 0 if torchrun did not start it."""
    return int(os.environ["RANK"]) if _is_launched() else 0


@contextmanager
def joined_processes() -> Iterator[int]:
    """A context that joins the processes that torchrun started, if it did; yields this one's rank.

    If there are GPUs, each process uses the one of its local rank. Tensors on GPUs are exchanged
    over nccl, others over gloo. If several processes fail, only the first one reports its error:
    the others mostly fail because of it.
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
    store = dist.PrefixStore(f"{next(JOINED)}", shared)  # without an earlier group's addresses
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
    """The sum of an array over all processes; each fills some of its rows and leaves zeros in the
    others."""
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
    """How many processes have joined; 1 if none has."""
    if not _is_joined():
        return 1
    import torch.distributed as dist

    return dist.get_world_size()


def process_rank() -> int:
    """This process's rank among those that have joined; 0 if none has."""
    if not _is_joined():
        return 0
    import torch.distributed as dist

    return dist.get_rank()


def _is_joined() -> bool:
    """Whether this process has joined others; without torch imported, it has not."""
    if "torch" not in sys.modules:
        return False
    import torch.distributed as dist

    return dist.is_initialized()
