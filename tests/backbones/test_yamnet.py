"""YAMNet: front end, network, and its weights read from TensorFlow's files."""

import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from audiotag.backbones.yamnet import LAYERS, Yamnet
from audiotag.features.yamnet import YamnetMel
from audiotag.models.model import Model

SCRIPT = Path(__file__).parents[2] / "recipes" / "default" / "yamnet.py"
CLASSES = 521
KEY = "model/layer_with_weights-{}/{}/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("yamnet_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_maps_are_those_of_the_definition():
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    hertz = np.arange(257) * 16_000 / 512
    corners = 700 * (
        10 ** (np.linspace(*2595 * np.log10(1 + np.array([125, 7500]) / 700), 66) / 2595) - 1
    )
    mel = [2595 * np.log10(1 + x / 700) for x in (hertz, corners)]
    bands = np.array([np.interp(mel[0], mel[1][i : i + 3], [0, 1, 0]) for i in range(64)])
    expected = [
        np.log(bands @ np.abs(np.fft.rfft(samples[i : i + 400] * window, 512)) + 0.001)
        for i in range(0, 16_000 - 399, 160)
    ]
    maps = YamnetMel()(torch.from_numpy(samples)[None].float())
    np.testing.assert_allclose(maps[0, 0].T.numpy(), expected, atol=2e-4)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = Yamnet(num_classes=7).eval()
    for layer in network.body:  # scores that differ from patch to patch
        torch.nn.init.kaiming_normal_(layer[1].weight, nonlinearity="relu")
    return network


def test_scores_are_the_mean_over_patches_that_overlap_by_half(network):
    maps = torch.randn(2, 1, 64, 96 + 2 * 48 + 47) * torch.linspace(0.1, 4, 239)
    with torch.inference_mode():
        scores = network(maps).double().sigmoid()
        patches = [network(maps[..., i : i + 96]).double().sigmoid() for i in (0, 48, 96)]
    assert (patches[0] - patches[2]).abs().max() > 0.05
    torch.testing.assert_close(scores, torch.stack(patches).mean(0), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="takes 96 frames or more, got 95"):
        network(maps[..., :95])


def test_layers_are_padded_as_by_tensorflow(network):
    """Its "same": the output is the input divided by the stride, rounded up, and what that lacks
    is padded half before and half after, the odd one after."""
    x = torch.randn(1, 1, 96, 64)
    with torch.inference_mode():
        body = network.body(x)
        for i, layer in enumerate(network.body):
            stride = 2 if i == 0 else LAYERS[(i - 1) // 2][0] if i % 2 else 1
            weight, pads = layer[1].weight, []
            for side, kernel in ((x.shape[3], weight.shape[3]), (x.shape[2], weight.shape[2])):
                lack = max(0, (-(-side // stride) - 1) * stride + kernel - side)
                pads += [lack // 2, lack - lack // 2]
            groups = x.shape[1] // weight.shape[1]
            x = F.conv2d(F.pad(x, pads), weight, stride=stride, groups=groups)
            x = (x / (1 + 1e-4) ** 0.5).relu()  # norms as they start
    torch.testing.assert_close(body, x, rtol=1e-3, atol=1e-6)


def varint(value):
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def block(entries):
    """A block of LevelDB's tables, with a restart point at its beginning alone."""
    content, last = b"", b""
    for key, value in entries:
        shared = next((i for i, (a, b) in enumerate(zip(key, last, strict=False)) if a != b), 0)
        lengths = (shared, len(key) - shared, len(value))
        content, last = content + b"".join(map(varint, lengths)) + key[shared:] + value, key
    return content + struct.pack("<II", 0, 1)


def write_bundle(folder, variables):
    """TensorFlow's two files of variables, by name; the index in two blocks."""
    data, entries = b"", [(b"", b"\x08\x01")]
    for name, value in sorted(variables.items()):
        sizes = b"".join(
            b"\x12" + varint(len(x)) + x for x in (b"\x08" + varint(n) for n in value.shape)
        )
        entry = b"\x08\x01\x12" + varint(len(sizes)) + sizes
        entry += (b"\x20" + varint(len(data)) if data else b"") + b"\x28" + varint(value.nbytes)
        entries.append((name.encode(), entry + b"\x35" + b"\xff" * 4))
        data += value.astype("<f4").tobytes()
    table, handles = b"", []
    for part in (entries[:9], entries[9:]):
        handles.append((part[-1][0], varint(len(table)) + varint(len(block(part)))))
        table += block(part) + bytes(5)
    ends = (varint(len(table)) + varint(8), varint(len(table) + 13) + varint(len(block(handles))))
    table += block([]) + bytes(5) + block(handles) + bytes(5)
    table += b"".join(ends).ljust(40, b"\0") + bytes(8)
    (folder / "variables.index").write_bytes(table)
    (folder / "variables.data-00000-of-00001").write_bytes(data)


def test_published_weights_become_a_model_folder(script, tmp_path, monkeypatch):
    rng, variables, channels = np.random.default_rng(0), {}, 32
    kernels = [("kernel", (3, 3, 1, 32))]
    for _, width in LAYERS:
        kernels += [("depthwise_kernel", (3, 3, channels, 1)), ("kernel", (1, 1, channels, width))]
        channels = width
    for i, (name, shape) in enumerate(kernels):
        variables[KEY.format(2 * i, name)] = rng.normal(0, 0.2, shape)
        norms = shape[2] if name == "depthwise_kernel" else shape[3]
        for part in ("beta", "moving_mean", "moving_variance"):
            variables[KEY.format(2 * i + 1, part)] = rng.uniform(0.5, 1, norms)
    variables[KEY.format(54, "kernel")] = rng.normal(0, 0.1, (1024, CLASSES))
    variables[KEY.format(54, "bias")] = rng.normal(0, 0.1, CLASSES)
    variables = {key: value.astype(np.float32) for key, value in variables.items()}
    for folder in ("assets", "variables"):
        (tmp_path / folder).mkdir()
    rows = "".join(f'{i},/m/{i},"Sound, {i}"\n' for i in range(CLASSES))
    (tmp_path / "assets" / "yamnet_class_map.csv").write_text(f"index,mid,display_name\n{rows}")
    write_bundle(tmp_path / "variables", variables)
    monkeypatch.setattr("sys.argv", ["yamnet.py", str(tmp_path), str(tmp_path / "model")])
    script.main()

    tagger = Model.load(tmp_path / "model").eval()
    assert tagger.sample_rate == 16_000 and tagger.labels.names[520] == "Sound, 520"
    assert tagger.labels[520].mid == "/m/520"
    state = tagger.backbone.state_dict()
    for i, (name, _) in enumerate(kernels):
        published = variables[KEY.format(2 * i, name)]
        order = (2, 3, 0, 1) if name == "depthwise_kernel" else (3, 2, 0, 1)
        np.testing.assert_array_equal(state[f"body.{i}.1.weight"], published.transpose(order))
        for ours, theirs in (("bias", "beta"), ("running_var", "moving_variance")):
            published = variables[KEY.format(2 * i + 1, theirs)]
            np.testing.assert_array_equal(state[f"body.{i}.2.{ours}"], published)
    np.testing.assert_array_equal(state["head.weight"], variables[KEY.format(54, "kernel")].T)
    assert tagger.score_windows(np.zeros((1, 15_600), np.float32)).shape == (1, CLASSES)
