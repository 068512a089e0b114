"""Model folders whose config or weights are changed at random with kept seeds, and those in which a
pipe or a device lies: each is refused in one sentence, or scores as any other model does."""

import copy
import json
import os
import random
import struct

import numpy as np
import pytest
import torch

from audiotag.errors import ModelError
from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig, read_config
from audiotag.models.evaluation_record import read_evaluation
from audiotag.models.metrics_row import read_metrics
from audiotag.models.model import Model
from audiotag.models.onnx.model import OnnxModel
from audiotag.models.provenance import read_trained_on
from audiotag.models.weights_file import count_parameters
from tests.support.tiny_models import TINY

SEEDS = 40  # of each kind
NAN, INFINITY = float("nan"), float("inf")
ODD = [None, True, False, 0, -1, 2, 3, 7, 127, 65_536, 0.5, 1e308, NAN, INFINITY, 10**22, "", "nan"]
ODD += ["x" * 100, "../../etc/passwd", "http://127.0.0.1:9/x", "\x1b[31m", [], {}, [1, 2], [[]]]
ODD += [{"a": 1}, 50 * ["a"], 5_000 * [0]]
SIZES = [-1, 0, 2**31, 2**62, 2**64 - 1, 10**30, 1.5, "a"]
TYPES = ["F64", "I64", "BOOL", "U8", "F8_E4M3", "X", "f32", 7, None, "BF16"]
LONGEST = 1_000  # characters of a message


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    config = ModelConfig("convnext_dcls_audio_atto", Labels("ab"), dict(TINY))
    Model.create(config).save(tmp_path / "model")
    return tmp_path / "model"


def places(value, path=()):
    """Keys that lead to each value of a config, but for the config itself."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def other_config(values, rng):
    values = copy.deepcopy(values)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        *path, last = rng.choice(list(places(values)))
        place = values
        for key in path:
            place = place[key]
        change = rng.choice(["odd", "odd", "odd", "gone", "scaled", "twice", "renamed"])
        if change == "gone":
            del place[last]
        elif change == "renamed" and isinstance(place, dict):
            place[f"{last}s"] = place.pop(last)
        elif change == "twice":
            place[last] = [place[last], place[last]]
        elif change == "scaled" and isinstance(place[last], int | float):
            place[last] = place[last] * rng.choice([2, 10, 1_000, -1, 0.5])
        else:
            place[last] = rng.choice(ODD)
    return values


def other_weights(content, rng):
    """A safetensors file whose header lies, or that is cut."""
    size = struct.unpack("<Q", content[:8])[0]
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    names = [name for name in header if name != "__metadata__"]
    name = rng.choice(names)
    tensor, text = header[name], None
    match rng.randrange(14):
        case 0:
            tensor["shape"] = [rng.choice(SIZES), *tensor["shape"][1:]]
        case 1:
            tensor["data_offsets"] = header[rng.choice(names)]["data_offsets"]
        case 2:
            tensor["dtype"] = rng.choice(TYPES)
        case 3:
            header["extra"] = dict(tensor)
        case 4:
            text = f"{json.dumps(header)[:-1]}, {json.dumps(name)}: {json.dumps(tensor)}}}"
        case 5:
            return content[: rng.randrange(len(content))]
        case 6:
            return struct.pack("<Q", rng.choice([0, 7, 10**9, 2**63, 2**64 - 1])) + content[8:]
        case 7:
            tensor["data_offsets"] = [rng.choice(SIZES), rng.choice(SIZES)]
        case 8:
            del header[name]
        case 9:
            text = 100_000 * "["
        case 10:
            data += b"x" * rng.randrange(1, 99)
        case 11:
            data = struct.pack("<f", NAN) * (len(data) // 4)
        case 12:
            header[f"{name}\x1b[2J"] = header.pop(name)
        case _:
            tensor["shape"] = 5_000 * [1]
    head = (text or json.dumps(header)).encode()
    return struct.pack("<Q", len(head)) + head + data


def outcome(folder):
    """The sentence that a model is refused with; None if it scores."""
    try:
        model = Model.load(folder)
        length = int(max(model.min_duration, 1.0) * model.sample_rate)
        scores = model.score_windows(np.full((1, length), 0.01, np.float32))
        count_parameters(folder, model.config)
    except ModelError as error:
        return str(error)
    assert scores.shape == (1, len(model.labels))
    return None


def check(sentences):
    """Check that some models were refused, each in a sentence, and others were not."""
    refused = [sentence for sentence in sentences if sentence is not None]
    assert 0 < len(refused) < len(sentences)
    for sentence in refused:
        assert sentence.isprintable() and len(sentence) < LONGEST, sentence


def test_configs_changed_at_random(folder):
    path, sentences = folder / "config.json", []
    values = json.loads(path.read_text())
    for seed in range(SEEDS):
        path.write_text(json.dumps(other_config(values, random.Random(seed))))
        sentences.append(outcome(folder))
    check(sentences)


def test_weights_changed_at_random(folder):
    path, sentences = folder / "model.safetensors", []
    content = path.read_bytes()
    for seed in range(SEEDS):
        path.unlink()  # what was read before is mapped into memory
        path.write_bytes(other_weights(content, random.Random(seed)))
        sentences.append(outcome(folder))
    check(sentences)


READERS = {
    "config.json": read_config,
    "model.safetensors": Model.load,
    "model.onnx": lambda folder: OnnxModel.load(folder / "model.onnx"),
    "evaluation.json": read_evaluation,
    "metrics.jsonl": read_metrics,
    "data.json": read_trained_on,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_may_have_no_end_is_not_read(kind, name, folder):
    (folder / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to("/dev/zero")
    with pytest.raises(ModelError, match="no regular file"):
        READERS[name](folder)


def test_a_calibration_of_other_labels_is_refused_beside_an_onnx_file(folder):
    values = json.loads((folder / "config.json").read_text())
    values["calibration"] = {"slope": 1.0, "biases": [0.0, 0.0, 0.0]}
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(ModelError, match="3 biases of a calibration for 2 labels"):
        read_config(folder)
