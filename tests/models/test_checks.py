"""Values of a model's config: refused by name before anything is built, honest ones kept."""

import json
import resource
import subprocess
import sys
from dataclasses import fields

import pytest
import timm
import torch

from audiotag.errors import ModelError
from audiotag.label_set import Label, Labels
from audiotag.layers.swap import DclsArguments
from audiotag.models import checks
from audiotag.models.build import build_backbone
from audiotag.models.config import ModelConfig, read_config
from audiotag.models.model import Model
from audiotag.models.size_limit import limited
from tests.support.tiny_models import TINY

ARCHITECTURE = "convnext_dcls_audio_atto"
NAN, INFINITY = float("nan"), float("inf")
DEEP = json.loads("[" * 50 + "]" * 50)
WRONG = {  # values of the file, and what the message says
    "min_duration": [1e6, -1, 0, NAN, INFINITY, "3", None, True, [3.0], 10**400],
    "architecture": [
        7,
        None,
        ["mn04_as"],
        "",
        "../mn04_as",
        "hf-hub:a/b",
        "mn04_as\x1b[2J",
        "a" * 200,
    ],
    "dcls": [7, ["a"], "x", {"init": "x/y"}, {"kernel_size": 10**6}, {"share": 1}, {"path": "a"}],
    "model_args": [3, ["a"], {"dims": [8] * 65}, {"dims": DEEP}, {"drop_path_rate": -0.5}]
    + [{"drop_path_rate": 2}, {"depths": [-1, 1, 1, 1]}, {"dims": ["a/b"] * 4}, {"": 1}]
    + [{"kernel_sizes": 10**4}, {"img_size": [60_000, 60_000]}, {"depths": {"a": 1}}],
    "thresholds": [0.5, [0.5], [0.5, NAN], [0.5, 1.5], [0.5, "a"], {"a": 1}, [0.5, None]],
    "labels": [[], ["a", "b"], [{"name": "a", "mid": None}] * 2, [{"name": 3, "mid": None}]]
    + [[{"name": "a"}], [{"name": "a\nb", "mid": None}], [{"name": "a", "mid": "\x1b[2J"}]]
    + [[{"name": "\u202etxt", "mid": None}], [{"name": "", "mid": None}], 7, None],
    "front_end": [7, {}, {"name": 7}, {"name": "log_mel", "mel_scale": "a/b"}]
    + [{"name": "log_mel", key: value} for key in checks.FRONT_END for value in (NAN, "1", 1e30)]
    + [{"name": "log_mel", key: 10**9} for key in ("n_mels", "n_fft", "sample_rate", "hop_length")]
    + [{"name": "log_mel", key: 0} for key in ("n_mels", "n_fft", "sample_rate", "hop_length")]
    + [{"name": "log_mel", "hop_length": 16, "n_fft": 16_384}]
    + [{"name": "log_mel", "f_min": 9_000.0, "f_max": 50.0}]
    + [{"name": "log_mel", "sample_rate": 768_000, "hop_length": 16, "n_fft": 1_024}],
    "window": [0.001, 0, NAN, 61, "10", True, [10]],
    "softmax": ["false", 1, [0]],
    "folded": ["no", 0.0],
    "calibration": [7, [1, 2], "ab", {"slope": 1.0}, {"slope": 1.0, "biases": "12"}]
    + [{"slope": slope, "biases": [0.0, 0.0]} for slope in (0, -1, NAN, INFINITY, 1e300, "1", True)]
    + [{"slope": 1.0, "biases": [0.0, bias]} for bias in (NAN, 1e308, "2", None, False)]
    + [{"slope": 1.0, "biases": [0.0]}, {"slope": 1.0, "biases": {"a": 1, "b": 2}}],
}
CASES = [(key, value) for key, values in WRONG.items() for value in values]
# Of architectures, arguments that people train with.
HONEST = [
    (ARCHITECTURE, {**TINY, "drop_path_rate": 0.4, "ls_init_value": 0.1, "kernel_sizes": 7}),
    (ARCHITECTURE, {**TINY, "kernel_size": 17, "kernel_count": 34, "version": "v1"}),
    (ARCHITECTURE, {**TINY, "dcls": {"kernel_size": 11, "share": False}, "norm_eps": 1e-5}),
    (ARCHITECTURE, {**TINY, "dcls": None, "in_chans": 1, "use_grn": True, "drop_rate": 0.1}),
    (ARCHITECTURE, {**TINY, "act_layer": "silu", "global_pool": "max", "stem_type": "patch"}),
    ("convformer_audio_s18", {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 24)}),
    ("fastvit_audio_sa24", {"layers": [1] * 4, "embed_dims": [8, 16, 32, 64]}),
    ("convnext_tiny_at", {**TINY, "n_mels": 64}),
    ("mn_as", {"width": 0.15, "drop_rate": 0.0}),
    ("yamnet", {}),
    ("resnet18", {"channels": [8, 8, 16, 32], "drop_block_rate": 0.1, "norm_layer": "groupnorm1"}),
    ("vit_tiny_patch16_224", {"depth": 1, "img_size": [128, 320], "global_pool": "avg"}),
    ("swin_tiny_patch4_window7_224", {"depths": [1, 1], "img_size": [64, 64], "window_size": 4}),
    ("efficientnet_b0", {"drop_path_rate": 0.2}),
    ("mobilenetv3_small_050", {"drop_rate": 0.1}),
    ("repvgg_a0", {"stem_chs": 16}),
]


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    Model.create(ModelConfig(ARCHITECTURE, Labels("ab"), dict(TINY))).save(tmp_path / "model")
    return tmp_path / "model"


def changed(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_wrong_values_are_refused_in_one_sentence_before_anything_is_built(folder, monkeypatch):
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("was built"))
    original = (folder / "config.json").read_text()
    for key, value in CASES:
        (folder / "config.json").write_text(original)
        changed(folder, **{key: value})
        with pytest.raises(ModelError) as refused:
            Model.load(folder)
        text = str(refused.value)
        assert text.startswith(f"{folder / 'config.json'}: ") and len(text) < 600, (key, value)
        assert text.isprintable() and "make the folder again" in text, (key, value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("min_duration", 1e6, "min_duration is 1000000.0, not a number from 0.001 to 60"),
        ("min_duration", 10**400, "min_duration is a number of more than 15 digits"),
        ("model_args", {"depth": {}}, "model_args.depth is {}; a model may have numbers, words"),
        ("model_args", {"cache_dir": "x"}, "model_args.cache_dir loads, places or wraps"),
        ("dcls", {"size": 3}, "dcls has no 'size'; it has match_kernel"),
        ("front_end", {"name": "log_mel", "hop_length": 0}, "front_end.hop_length is 0, not a wh"),
        ("labels", [{"name": f"{i}", "mid": None} for i in range(100_001)], "100,001 labels"),
    ],
)
def test_the_sentence_names_the_value(key, value, message, folder):
    changed(folder, **{key: value})
    with pytest.raises(ModelError, match=message):
        read_config(folder)


@pytest.mark.parametrize("text", ["", "[]", "7", "null", "{", "[" * 100_000, "\x00"])
def test_what_is_no_config_is_refused(text, folder):
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match="make the folder again"):
        read_config(folder)


def test_a_huge_config_is_not_read(folder):
    with (folder / "config.json").open("r+b") as file:
        file.truncate(2**40)  # takes no space
    with pytest.raises(ModelError, match="larger than 32,000,000 bytes"):
        read_config(folder)


@pytest.mark.parametrize(("architecture", "arguments"), HONEST)
def test_honest_arguments_build_what_timm_builds(architecture, arguments):
    config = ModelConfig(architecture, Labels("abc"), arguments)
    built = build_backbone(config).state_dict()
    expected = timm.create_model(architecture, **{"in_chans": 1, "num_classes": 3, **arguments})
    shapes = {key: x.shape for key, x in expected.state_dict().items()}
    assert {key: x.shape for key, x in built.items()} == shapes


@pytest.mark.parametrize(
    ("architecture", "arguments", "message"),
    [
        (ARCHITECTURE, {"dims": [8, 8]}, "check the arguments"),
        (ARCHITECTURE, {"depth": 3}, "takes no argument 'depth'; it takes depths"),
        (ARCHITECTURE, {"in_chans": 3}, "in_chans is 1, not 3; leave it out"),
        ("mn04_as", {"num_classes": 7}, "num_classes is 2, not 7; leave it out"),
        ("resnet18", {"norm_layer": "system"}, "resnet18: 'system'; check the arguments"),
        ("resnet18", {"block": "Bottleneck"}, "check the arguments"),
    ],
)
def test_what_a_network_does_not_take_is_named(architecture, arguments, message):
    with pytest.raises(ModelError, match=message):
        build_backbone(ModelConfig(architecture, Labels("ab"), arguments))


def test_a_network_far_larger_than_its_weights_is_not_built(folder):
    changed(folder, model_args={"depths": [60_000] * 4, "dims": [8, 8, 16, 32]})
    with pytest.raises(ModelError, match="make a network far larger than its weights"):
        Model.load(folder)
    changed(folder, model_args={**TINY, "dims": [8_192] * 4})
    with pytest.raises(ModelError, match="make a network far larger than its weights"):
        Model.load(folder)


# Tables of all pairs of positions, and positions themselves, which are no parameters yet.
TABLES = {
    "vit_relpos_small_patch16_224": {"img_size": [1024, 1024], "patch_size": 1},
    "crossvit_tiny_240": {"img_size": [2048, 2048], "img_scale": [60_000.0, 60_000.0]},
    "swinv2_tiny_window8_256": {"img_size": [2048, 2048], "window_size": 32, "patch_size": 1},
    "nest_tiny": {"img_size": [2048, 2048], "patch_size": 1},
    "cait_xxs24_224": {"img_size": [2048, 2048], "patch_size": 1, "depth": 1},
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits memory so")
@pytest.mark.parametrize("architecture", TABLES)
def test_a_network_whose_tables_would_fill_the_memory_is_not_built(architecture, folder):
    changed(folder, architecture=architecture, model_args=TABLES[architecture])
    limit = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(ModelError, match="a network far larger than its weights have"):
        Model.load(folder)
    assert resource.getrlimit(resource.RLIMIT_DATA) == limit


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux' /proc")
def test_such_networks_take_little_memory_on_the_way(folder):
    for architecture, arguments in TABLES.items():
        changed(folder, architecture=architecture, model_args=arguments)
        code = "\n".join(
            (
                "import re, sys",
                "from audiotag.errors import ModelError",
                "from audiotag.models.model import Model",
                "try: Model.load(sys.argv[1])",
                "except ModelError: pass",
                "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])",
            )
        )
        peak = subprocess.check_output([sys.executable, "-c", code, folder], text=True)
        assert int(peak) < 4_000_000, architecture  # kB: a table alone would be 6 GB and more


def test_a_network_without_weights_has_a_largest_size_too():
    with pytest.raises(ModelError, match="far larger than a model may"):
        Model.create(ModelConfig(ARCHITECTURE, Labels("ab"), {**TINY, "dims": [32_768] * 4}))
    with limited(numbers=10), pytest.raises(ModelError):
        torch.nn.Linear(3, 4)
    torch.nn.Linear(3, 4)  # the limit ends with its context


def test_every_field_of_dcls_is_known_without_torch():
    known = {*checks.DCLS, *checks.DCLS_FLAGS, *checks.DCLS_WORDS}
    assert known == {x.name for x in fields(DclsArguments)} | {"match_kernel", "depthwise"}


def test_weights_of_another_type_are_refused(folder):
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    save_file({key: x.long() for key, x in state.items()}, folder / "model.safetensors")
    with pytest.raises(ModelError, match="is of type torch.int64"):
        Model.load(folder)


@pytest.mark.parametrize(
    "name", ["a\tb", "\x1b]0;x\x07", "a\u2028b", "\udcff", "a\u202eb", "a" * 1001]
)
def test_labels_are_lines_of_text(name):
    with pytest.raises(ModelError, match="is not a line of text"):
        Labels(["ok", name])
    with pytest.raises(ModelError, match="is not a line of text"):
        Labels([Label("ok", name)])


@pytest.mark.parametrize(
    "name", ["Öffnen, schließen", "می\u200cخواهم", "👩\u200d🚒", "a/b: <c> | *d*"]
)
def test_labels_of_every_script_are_kept(name):
    assert Labels([name]).names == (name,)
