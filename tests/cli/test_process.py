"""Settings of the process: commands make them, the library leaves a program's as they are."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from audiotag.cli import cli, process

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "audiotag" / "assets" / "samples" / "cat.mp3"
# glibc counts the blocks that it maps one by one, to give them back when they are freed: those
# above a threshold, which grows to 32 MiB by itself.
GIVES_BACK = """
import ctypes

COUNTS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"

class Counts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in COUNTS.split()]

def gives_back():
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype, libc.malloc.restype = Counts, ctypes.c_void_p
    before = libc.mallinfo2().hblks
    block = libc.malloc(ctypes.c_size_t(2**26))
    mapped = libc.mallinfo2().hblks > before
    libc.free(ctypes.c_void_p(block))
    return mapped

assert gives_back()
"""
LIBRARY = f"""
import audiotag, torch
threads = torch.get_num_threads()
tagger = audiotag.load_tagger(device="cpu")
assert tagger.tag({str(SAMPLE)!r}).tags and audiotag.tag({str(SAMPLE)!r}).tags
assert gives_back(), "memory"
assert not torch.backends.cudnn.benchmark and torch.get_num_threads() == threads
"""
COMMAND = f"""
from audiotag.cli import cli
try:
    cli(["tag", {str(SAMPLE)!r}, "--device", "cpu"])
except SystemExit as end:
    assert not end.code
assert not gives_back(), "memory"
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another")
@pytest.mark.parametrize("program", [LIBRARY, COMMAND], ids=["library", "command"])
def test_only_a_command_has_freed_memory_kept(program):
    code = GIVES_BACK + program
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.fixture
def kept(monkeypatch):
    """A list that grows where memory would be kept; cuDNN's setting is put back afterwards."""
    calls: list[bool] = []
    monkeypatch.setattr(process, "keep_freed_memory", lambda: calls.append(True))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    return calls


@pytest.mark.parametrize(
    ("arguments", "trains"),
    [
        (["train", str(ROOT / "recipes" / "small.toml"), "--data", "none", "--out", "run"], True),
        (["finetune", "default", "--data", "none", "--out", "run"], True),
        (["evaluate", "default", "none"], False),
    ],
)
def test_commands_set_the_process_before_they_work(arguments, trains, kept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, [*arguments, "--device", "cpu"])
    assert "none" in str(result.exception)  # there are no such data
    assert kept == [True]
    assert torch.backends.cudnn.benchmark is trains


def test_training_from_python_leaves_the_process_as_it_is(kept, tmp_path):
    from audiotag.errors import DataError
    from audiotag.training.recipe.toml import load_recipe
    from audiotag.training.setup import start

    with pytest.raises(DataError):
        start(load_recipe(ROOT / "recipes" / "small.toml"), tmp_path, torch.device("cpu"))
    assert kept == [] and torch.backends.cudnn.benchmark is False
