"""How much free memory this process may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch

MEMORY_INFO, OWN_GROUP = Path("/proc/meminfo"), Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")
LOCAL_PROCESSES = "LOCAL_WORLD_SIZE"  # set by torchrun: how many share this machine


def free_bytes(device: torch.device) -> int:
    """Bytes free on a device; the processes of one `torchrun` share main memory equally."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return _free_in_main_memory() // int(os.environ.get(LOCAL_PROCESSES, 1))


def _free_in_main_memory() -> int:
    """Bytes that Linux reports as available, within this process's limits; on other systems, half
    of all memory."""
    if not MEMORY_INFO.exists():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    lines = (line.split() for line in MEMORY_INFO.read_text().splitlines())
    available = next(int(words[1]) for words in lines if words[0] == "MemAvailable:") * 1024
    return min([available, *_left_in_control_groups()])


def _left_in_control_groups() -> Iterator[int]:
    """Bytes left in each limited control group (v2) that this process is in."""
    lines = OWN_GROUP.read_text().splitlines() if OWN_GROUP.exists() else []
    for line in lines:
        if line.startswith("0::"):
            own = GROUPS / line.removeprefix("0::").lstrip("/")
            yield from (_left(group) for group in (own, *own.parents) if _is_limited(group))


def _is_limited(group: Path) -> bool:
    limit = group / "memory.max"
    return limit.exists() and limit.read_text().strip() != "max"


def _left(group: Path) -> int:
    """The limit minus the memory in use, without cached files, which are dropped when needed."""
    lines = (line.split() for line in (group / "memory.stat").read_text().splitlines())
    statistics = {name: int(value) for name, value in lines}
    cached = statistics["active_file"] + statistics["inactive_file"]
    used = int((group / "memory.current").read_text()) - cached
    return int((group / "memory.max").read_text()) - used
