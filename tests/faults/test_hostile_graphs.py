"""ONNX files of a few bytes more than an honest one that ask for gigabytes or for hours: the first
are refused in one sentence, the others end as soon as the user or the system asks for it."""

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from audiotag.errors import ModelError
from audiotag.models.onnx.model import OnnxModel
from audiotag.tagging.locate import model_folder

onnx = pytest.importorskip("onnx", reason="the export's packages: pip install -e '.[export]'")
from onnx import helper, numpy_helper  # noqa: E402

EMBEDDED = model_folder(None) / "model.onnx"
SIDE = 60_000  # rows and columns: 14.4 GB
COUNT = np.float32(SIDE) ** 2
SHAPE = [SIDE, SIDE]
# Operators whose output "big" is large, and their constants.
LARGE = {
    "ConstantOfShape": ({"a": np.array(SHAPE)}, {}),
    "Expand": ({"a": np.zeros(1, np.float32), "b": np.array(SHAPE)}, {}),
    "Range": ({"a": np.float32(0), "b": COUNT, "c": np.float32(1)}, {}),
    "RandomUniform": ({}, {"shape": SHAPE}),
    "Pad": ({"a": np.zeros((1, 1), np.float32), "b": np.array([0, 0, *SHAPE])}, {}),
    "OneHot": (
        {"a": np.zeros(SIDE, int), "b": np.array(SIDE), "c": np.zeros(2, np.float32)},
        {},
    ),
    "Expand of what is heard": ({"heard": None, "b": np.array(SHAPE)}, {}),
}
SCORE = r"""
import re, sys
import numpy as np
from audiotag.errors import ModelError
from audiotag.models.onnx.model import OnnxModel
try:
    OnnxModel.load(sys.argv[1]).score_windows(np.zeros((1, 96_000), np.float32))
except ModelError as error:
    print(error)
print(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
"""


def added(model, nodes, constants):
    """Add to the scores what nodes give as "more"; "heard" is the mean of the input."""
    for name, value in constants.items():
        if value is not None:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == "scores":
                    names[i] = "own"
    heard = helper.make_node("ReduceMean", [model.graph.input[0].name], ["heard"], keepdims=0)
    total = helper.make_node("Add", ["own", "more"], ["scores"])
    model.graph.node.extend([heard, *nodes, total])
    return model


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux' /proc")
@pytest.mark.parametrize("name", LARGE)
def test_a_graph_that_asks_for_gigabytes_is_refused(name, tmp_path):
    constants, attributes = LARGE[name]
    operator = name.partition(" ")[0]
    large = helper.make_node(operator, list(constants), ["big"], **attributes)
    mean = helper.make_node("ReduceMean", ["big"], ["more"], keepdims=0)
    onnx.save(added(onnx.load(EMBEDDED), [large, mean], constants), tmp_path / "x.onnx")
    command = [sys.executable, "-c", SCORE, str(tmp_path / "x.onnx")]
    said, peak = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    assert "do not fit into memory at once" in said
    assert int(peak) < 2_000_000  # kB


@pytest.fixture
def slow(tmp_path):
    """A model folder whose graph multiplies large matrices for many minutes."""
    folder = shutil.copytree(model_folder(None), tmp_path / "slow")
    shape = {"shape": np.array([6_000, 6_000])}
    nodes = [helper.make_node("Expand", ["heard", "shape"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{i}", "m0"], [f"m{i + 1}"]) for i in range(500)]
    nodes.append(helper.make_node("ReduceMean", ["m500"], ["more"], keepdims=0))
    onnx.save(added(onnx.load(folder / "model.onnx"), nodes, shape), folder / "model.onnx")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_graph_that_computes_for_hours_can_be_stopped(sent, code, slow, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(32_000), 32_000)
    command = [sys.executable, "-m", "audiotag", "--verbose", "tag", tmp_path / "a.wav"]
    process = subprocess.Popen(
        [*command, "--model", slow, "--engine", "onnx"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(5)  # it computes by then, and is not done
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code and errors.startswith("Stopped"), errors


def test_the_graphs_are_honest_but_for_what_is_added(tmp_path):
    node = helper.make_node("Mul", ["heard", "zero"], ["more"])
    onnx.save(added(onnx.load(EMBEDDED), [node], {"zero": np.float32(0)}), tmp_path / "x.onnx")
    command = [sys.executable, "-c", SCORE, str(tmp_path / "x.onnx")]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert json.loads(ended.stdout) > 0 and ended.returncode == 0


def test_a_graph_that_computes_for_hours_has_a_deadline(slow, monkeypatch):
    monkeypatch.setattr("audiotag.models.onnx.deadline.SECONDS", 2.0)
    model = OnnxModel.load(slow / "model.onnx")
    with pytest.raises(ModelError, match="for each window of 64,000 samples and was ended; give"):
        model.score_windows(np.zeros((1, 64_000), np.float32))
    model = OnnxModel.load(EMBEDDED)  # others compute as ever
    assert model.score_windows(np.zeros((1, 64_000), np.float32)).shape == (1, 527)
