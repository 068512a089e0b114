"""What an ONNX file would do, read from its bytes before onnxruntime opens it.

A file that `audiotag export` writes is one graph of the standard's operators, each of which
computes once. One from elsewhere could repeat a part for ever (Loop, Scan, If hold graphs of their
own), read its weights out of another file of the machine, or ask for operators of a library. The
format is Protocol Buffers, of which this reads lengths and names alone; the numbers are those of
onnx.proto.
"""

from collections.abc import Iterator

from audiotag.errors import ModelError

DOMAINS = (b"", b"ai.onnx")  # of the standard's operators
MAX_NODES = 100_000
MAX_SHIFT = 63  # bits of a number
TAG_BITS = 2**32 - 1  # those of a field's number and kind; readers drop what is above
VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5  # kinds of a field
SIZES = {FIXED_64: 8, FIXED_32: 4}
Field = tuple[int, int | memoryview]  # its number, and its value
# Fields of ModelProto, GraphProto, NodeProto, AttributeProto and TensorProto.
GRAPH, TRAINING, FUNCTIONS = 7, 20, 25
NODE, INITIALIZER, SPARSE_INITIALIZER = 1, 5, 15
OPERATOR, ATTRIBUTE, DOMAIN = 4, 5, 7
TENSOR, SUBGRAPH, TENSORS, SUBGRAPHS, SPARSE_TENSOR, SPARSE_TENSORS = 5, 6, 10, 11, 22, 23
EXTERNAL_DATA, DATA_LOCATION = 13, 14


def check_graph(content: bytes, source: str) -> None:
    """Raise a ModelError if an ONNX file does what no file of `audiotag export` does, or cannot be
    read: onnxruntime might read it in another way.

    Args:
        content: The file's.
        source: What messages call it.
    """
    try:
        problem = next(_problems(memoryview(content)), None)
    except (ValueError, IndexError) as error:
        raise ModelError(unreadable(source)) from error
    if problem is not None:
        raise ModelError(
            f"{source}: {problem}, as no file of audiotag export; make it again with "
            "audiotag export"
        )


def unreadable(source: str) -> str:
    """What is said of a file that is none."""
    return (
        f"{source}: not an ONNX file that onnxruntime can run, or a damaged one; copy it again, or "
        "make it again with audiotag export"
    )


def _problems(model: memoryview) -> Iterator[str]:
    nodes = 0
    for number, value in _fields(model):
        if number == FUNCTIONS:
            yield "defines functions"
        elif number == TRAINING:
            yield "holds graphs for training"
        elif number == GRAPH:
            for field, part in _fields(value):
                nodes += field == NODE
                yield from _in_graph(field, part)
    if nodes > MAX_NODES:
        yield f"has more than {MAX_NODES:,} operators"


def _in_graph(field: int, part: int | memoryview) -> Iterator[str]:
    if field == NODE:
        yield from _in_node(part)
    elif field == INITIALIZER:
        yield from _in_tensor(part)
    elif field == SPARSE_INITIALIZER:
        yield "holds sparse weights"


def _in_node(node: int | memoryview) -> Iterator[str]:
    name = "an operator"
    for number, value in _fields(node):
        if number == OPERATOR and isinstance(value, memoryview):
            name = ascii(bytes(value[:40]).decode("utf-8", "replace"))
        elif number == DOMAIN and value not in DOMAINS:
            yield f"asks for the operator {name} of a library"
        elif number == ATTRIBUTE:
            yield from _in_attribute(value, name)


def _in_attribute(attribute: int | memoryview, name: str) -> Iterator[str]:
    for number, value in _fields(attribute):
        if number in (SUBGRAPH, SUBGRAPHS):
            yield f"repeats or chooses parts of itself ({name})"
        elif number in (TENSOR, TENSORS):
            yield from _in_tensor(value)
        elif number in (SPARSE_TENSOR, SPARSE_TENSORS):
            yield "holds sparse weights"


def _in_tensor(tensor: int | memoryview) -> Iterator[str]:
    for number, value in _fields(tensor):
        if number == EXTERNAL_DATA or (number == DATA_LOCATION and value != 0):
            yield "has weights in another file"


def _fields(message: int | memoryview) -> Iterator[Field]:
    """The fields of a message.

    Raises:
        ValueError, IndexError: If it is none.
    """
    if isinstance(message, int):
        raise ValueError("a number where a message should be")
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        tag &= TAG_BITS
        kind = tag & 7
        if kind == VARINT:
            value, place = _varint(message, place)
            yield tag >> 3, value
            continue
        size, place = _varint(message, place) if kind == BYTES else (SIZES.get(kind, -1), place)
        if size < 0 or place + size > len(message):
            raise ValueError("a field of an unknown kind, or one that is cut off")
        yield tag >> 3, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place behind it."""
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
        if shift > MAX_SHIFT:
            raise ValueError("a number of more than 64 bits")
