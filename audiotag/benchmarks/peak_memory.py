"""Peak memory of a piece of work, measured in a process of its own.

- GPU: the peak that torch's allocator reports.
- CPU: anonymous resident memory. This includes memory of libraries other than torch, but not code.
  Linux keeps the highest value (VmHWM), which is reset after a first call. The C library is set to
  return large blocks as soon as they are freed, so that only memory in use counts.
"""

import gc
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from audiotag.benchmarks.kernels import KernelWork
from audiotag.benchmarks.models import ModelWork, Setting
from audiotag.errors import AudioTagError
from audiotag.runtime.timing import Work

MODULE = "audiotag.benchmarks.peak_memory"
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # man 5 proc
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}  # bytes
KINDS = {kind.__name__: kind for kind in (ModelWork, KernelWork)}


def peak_memory(work: ModelWork | KernelWork) -> int | None:
    """Bytes that a piece of work uses at its peak, with weights and inputs.

    Returns:
        None unless the operating system is Linux, the only one that reports it.

    Raises:
        AudioTagError: If the work fails, most likely for lack of memory.
    """
    if work.setting.device == "cpu" and not CLEAR.exists():
        return None
    threads = {"OMP_NUM_THREADS": str(work.setting.threads)}
    run = subprocess.run(
        [sys.executable, "-m", MODULE],
        input=json.dumps({"kind": type(work).__name__, **asdict(work)}),
        env=os.environ | MALLOC | threads,
        capture_output=True,
        text=True,
    )
    if run.returncode != 0:
        reason = run.stderr.strip().splitlines()[-1:] or [f"exit code {run.returncode}"]
        raise AudioTagError(
            f"peak memory of {work} could not be measured ({reason[0]}); if memory is short, "
            "give a smaller --batch-size"
        )
    return int(run.stdout.split()[-1])


def main() -> None:
    """Read a piece of work from standard input, do it, and print its peak memory in bytes."""
    torch.backends.cudnn.benchmark = True  # as in `audiotag bench`
    fields: dict[str, Any] = json.load(sys.stdin)
    kind, setting = KINDS[fields.pop("kind")], Setting(**fields.pop("setting"))
    work: ModelWork | KernelWork = kind(setting=setting, **fields)
    print(_gpu_peak(work) if setting.device == "cuda" else _cpu_peak(work))


def _gpu_peak(work: ModelWork | KernelWork) -> int:
    step = work.start()
    step()
    torch.cuda.reset_peak_memory_stats()
    step()
    return torch.cuda.max_memory_allocated()


def _cpu_peak(work: ModelWork | KernelWork) -> int:
    before = _anonymous("VmRSS")
    step = work.start()
    step()
    return _peak_of(step) - before


def _peak_of(step: Work) -> int:
    """Highest number of bytes of anonymous memory of this process during a step."""
    gc.collect()
    CLEAR.write_text(RESET_PEAK)
    step()
    return _anonymous("VmHWM")


def _anonymous(total: str) -> int:
    """Bytes of a total of resident memory, without mapped files and shared memory."""
    lines = (line.split() for line in STATUS.read_text().splitlines())
    kilobytes = {words[0].rstrip(":"): int(words[1]) for words in lines if words[-1] == "kB"}
    return 1024 * (kilobytes[total] - kilobytes["RssFile"] - kilobytes["RssShmem"])


if __name__ == "__main__":
    main()
