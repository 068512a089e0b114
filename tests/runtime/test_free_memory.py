"""Free memory: shared between the processes of a machine, within limits of control groups."""

import torch

from audiotag.runtime import free_memory

CPU = torch.device("cpu")


def test_processes_of_one_machine_share_its_free_memory(monkeypatch):
    alone = free_memory.free_bytes(CPU)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert 0 < free_memory.free_bytes(CPU) <= 0.3 * alone


def test_limits_of_control_groups_count_but_cached_files_do_not(tmp_path, monkeypatch):
    inner = tmp_path / "job" / "step"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    (inner.parent / "memory.max").write_text("5000000\n")
    (inner.parent / "memory.current").write_text("3000000\n")
    (inner.parent / "memory.stat").write_text("anon 1\nactive_file 100000\ninactive_file 400000\n")
    (tmp_path / "cgroup").write_text("0::/job/step\n")
    monkeypatch.setattr(free_memory, "OWN_GROUP", tmp_path / "cgroup")
    monkeypatch.setattr(free_memory, "GROUPS", tmp_path)
    assert free_memory.free_bytes(CPU) == 2_500_000
