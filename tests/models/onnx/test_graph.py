"""ONNX files that would do more than compute: refused before onnxruntime opens them."""

import json

import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from audiotag.errors import ModelError
from audiotag.models.onnx.graph import check_graph
from audiotag.models.onnx.model import OnnxModel
from audiotag.tagging.locate import model_folder

EMBEDDED = model_folder(None) / "model.onnx"


def value(name, kind=TensorProto.BOOL):
    return helper.make_tensor_value_info(name, kind, [])


def body(*inputs):
    node = helper.make_node("Identity", [inputs[-1]], ["again"])
    return helper.make_graph([node], "body", [value(x) for x in inputs], [value("again")])


def loop(model):
    model.graph.node.insert(0, helper.make_node("Loop", ["", "yes"], [], body=body("i", "c")))


def branch(model):
    parts = {"then_branch": body("a"), "else_branch": body("a")}
    model.graph.node.append(helper.make_node("If", ["yes"], ["out"], **parts))


def scan(model):
    scanned = helper.make_node("Scan", ["x"], ["y"], body=body("a"), num_scan_inputs=1)
    model.graph.node.append(scanned)


def loop_under_another_name(model):
    loop(model)
    model.graph.node[0].op_type = "Relu"


def external(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def external_without_saying_so(model):
    model.graph.initializer[3].external_data.add(key="location", value="weights.bin")


def external_in_a_node(model):
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [1], [1.0])
    tensor.external_data.add(key="location", value="/dev/zero")
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def sparse(model):
    model.graph.sparse_initializer.add()


def library(model):
    model.graph.node[5].domain = "com.example"


def functions(model):
    opsets = [helper.make_opsetid("", 18)]
    nodes = [helper.make_node("Relu", ["a"], ["b"])]
    model.functions.append(helper.make_function("mine", "f", ["a"], ["b"], nodes, opsets))


def training(model):
    model.training_info.add()


REFUSED = {
    loop: "repeats or chooses",
    branch: "repeats or chooses",
    scan: "repeats or chooses",
    loop_under_another_name: "repeats or chooses",
    external: "has weights in another file",
    external_without_saying_so: "has weights in another file",
    external_in_a_node: "has weights in another file",
    sparse: "sparse weights",
    library: "of a library",
    functions: "defines functions",
    training: "graphs for training",
}


@pytest.mark.parametrize("change", REFUSED)
def test_what_is_more_than_a_graph_is_refused_before_it_is_opened(change, tmp_path, monkeypatch):
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("opened"))
    model = onnx.load(EMBEDDED)
    change(model)
    path = tmp_path / "bad.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=f"bad.onnx: .*{REFUSED[change]}.*audiotag export"):
        OnnxModel.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"\x0b\x0c",  # a group, which readers skip
        b"\x18\0\0\0ORTM" + bytes(100),  # onnxruntime's own format
        b"\xff" * 20,
        b"\x3a\xff\xff\xff\xff\x0f",  # a graph longer than the file
        b"\x3a",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(content):
    with pytest.raises(ModelError, match="x: not an ONNX file"):
        check_graph(EMBEDDED.read_bytes() + content, "x")


def test_a_graph_behind_a_tag_of_more_bits_is_seen():
    model = onnx.ModelProto()
    model.graph.node.append(helper.make_node("Loop", ["", "c"], [], body=body("i", "c")))
    graph = model.graph.SerializeToString()
    tag = bytes([0xBA, 0x80, 0x80, 0x80, 0x10])  # field 7, and a bit that some readers drop
    content = tag + bytes([len(graph) & 127 | 128, len(graph) >> 7]) + graph
    with pytest.raises(ModelError, match="repeats or chooses"):
        check_graph(content, "x")


def test_a_second_graph_is_seen_too():
    model = onnx.load(EMBEDDED)
    more = onnx.ModelProto()
    loop(more)
    content = model.SerializeToString() + more.SerializeToString()
    with pytest.raises(ModelError, match="repeats or chooses"):
        check_graph(content, "x")


def renamed(model):
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == "log_mel":
                node.input[i] = "other"
    model.graph.input[0].name = "other"


def fewer_labels(model):
    for entry in model.metadata_props:
        if entry.key == "audiotag":
            values = json.loads(entry.value)
            fitted = {"calibration": None, "thresholds": None}
            entry.value = json.dumps({**values, "labels": values["labels"][1:], **fitted})


def no_embedding(model):
    del model.graph.output[1]


def long(model):
    for entry in model.metadata_props:
        if entry.key == "audiotag":
            entry.value = entry.value.replace('"min_duration": 3.0', '"min_duration": 1e6')


def odd_bank(model):
    for entry in model.metadata_props:
        if entry.key == "audiotag.mel_bank":
            entry.value = entry.value.replace('"bins": 513', '"bins": 1000000000')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed, "takes other and gives scores, embedding, not log_mel, scores and embedding"),
        (fewer_labels, "gives 527 scores for 526 labels"),
        (no_embedding, "takes log_mel and gives scores, not"),
        (long, "min_duration is 1000000.0, not a number from 0.001 to 60"),
        (odd_bank, "a window of 1,024 has 513 bins"),
    ],
)
def test_a_file_that_does_not_fit_its_metadata_is_refused(change, message):
    model = onnx.load(EMBEDDED)
    before = model.SerializeToString()
    change(model)
    assert model.SerializeToString() != before
    with pytest.raises(ModelError, match=message):
        OnnxModel.from_bytes(model.SerializeToString(), "x")
