"""The GPU's benchmark, tried on a CPU with tiny shapes."""

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "recipes" / "bench" / "gpu.py"


@pytest.fixture(scope="module")
def gpu():
    spec = spec_from_file_location("gpu_bench", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def run(gpu, monkeypatch, capsys, *options):
    """Exit status and JSON of the script on the CPU."""
    arguments = ["gpu.py", "--device", "cpu", "--quick", "--json", *options]
    monkeypatch.setattr(sys, "argv", arguments)
    status = gpu.main()
    return status, json.loads(capsys.readouterr().out)


def test_every_section_runs_without_a_gpu(gpu, monkeypatch, capsys):
    status, result = run(gpu, monkeypatch, capsys)
    rows = result["rows"]
    assert status == 0
    assert {row["note"] for row in rows if row["what"] == "check"} == {"ok"}
    timed = [row for row in rows if row["what"] != "check"]
    assert {row["what"] for row in timed} == {"forward", "backward", "inference", "training step"}
    assert all(row["ms"] > 0 and row["note"] == "" for row in timed)
    assert {"7x7", "DCLS", "DCLS, dcls package"} <= {row["way"] for row in timed}


def test_what_fails_is_a_row_and_the_rest_goes_on(gpu, capsys):
    def fail():
        raise gpu.torch.OutOfMemoryError("too much")

    works = {"base": lambda: None, "greedy": fail, "last": lambda: None}
    rows = {row.way: row for row in gpu._timed("forward", "here", works, gpu.QUICK, 1)}
    assert rows["greedy"].note == "out of memory" and rows["greedy"].ms is None
    assert rows["base"].ratio == 1.0 and rows["last"].ms > 0
    assert "out of memory" in gpu.table(list(rows.values()))


def test_a_wrong_kernel_is_found_out(gpu, monkeypatch, capsys):
    right = gpu.depthwise_conv2d
    monkeypatch.setattr(gpu, "depthwise_conv2d", lambda *values: 1.1 * right(*values))
    status, result = run(gpu, monkeypatch, capsys, "--sections", "checks")
    assert status == 1 and {row["note"] for row in result["rows"]} == {"WRONG"}
