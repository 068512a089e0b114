"""Check what an ONNX file would do, from its bytes, before onnxruntime opens it.

`audiotag export` writes a single graph of standard operators, each of which runs once. Another file
could loop forever (Loop, Scan and If hold graphs of their own), read its weights from other files
of the machine, or need operators of a library. The format is Protocol Buffers; only lengths and
names are read here. Field numbers are those of onnx.proto.
"""

from collections.abc import Iterator

from audiotag.errors import ModelError

DOMAINS = (b"", b"ai.onnx")  # of the standard's operators
MAX_NODES = 100_000
MAX_SHIFT = 63  # bits of a number
TAG_BITS = 2**32 - 1  # of a field's number and kind; readers drop higher bits
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
    """Raise a ModelError if an ONNX file does something that no file of `audiotag export` does.

    A file that cannot be read here is refused too: onnxruntime might read it differently.

    Args:
        content: Content of the file.
        source: Its name in messages.
    """
    try:
        problem = next(_problems(memoryview(content)), None)
    except (ValueError, IndexError) as error:
        raise ModelError(unreadable(source)) from error
    if problem is not None:
        raise ModelError(
            f"{source}: {problem}, unlike every file of audiotag export; make it again with "
            "audiotag export"
        )


def unreadable(source: str) -> str:
    """The message for a file that is not an ONNX file."""
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
            yield f"needs the operator {name} of a library"
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
        ValueError, IndexError: If it is not a message.
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
    """A number stored in seven bits a byte, and the position after it."""
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
