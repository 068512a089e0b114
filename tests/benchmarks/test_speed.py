"""Benchmarks: what is measured, in which order, and how it is compared; never how fast it is."""

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from DCLS.construct.modules import Dcls2d
from torch import nn

from audiotag.backbones import architectures
from audiotag.benchmarks import models, peak_memory, plot, speed, transformers
from audiotag.benchmarks.kernels import KernelWork
from audiotag.benchmarks.models import ModelWork, Setting
from audiotag.cli.bench import bench
from audiotag.errors import AudioTagError, ModelError
from audiotag.features import mel_power
from audiotag.layers.dcls import DclsConv2d
from audiotag.runtime import figures, timing
from tests.support.tiny_models import TINY

DCLS, DENSE = "convnext_dcls_audio_atto", "convnext_audio_atto"
SETTING = Setting(batch_size=2, seconds=2.0)
MEMORY = 5_000_000  # bytes
SIZES = "--batch-size 1 --batch-size 8"


@pytest.fixture(autouse=True)
def settings_kept():
    """What measuring sets for the whole process is as before for other tests."""
    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    yield
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = benchmark


@pytest.fixture
def no_memory(monkeypatch):
    """Every work has the same peak: a process for each would take seconds."""
    monkeypatch.setattr(speed, "peak_memory", lambda work: MEMORY)


@pytest.fixture
def tiny(monkeypatch):
    """Audio architectures are built tiny."""

    def build(name, frames, model_args=None):
        return BUILD(name, frames, {**TINY, **(model_args or {})})

    for module in (models, speed):
        monkeypatch.setattr(module, "build", build)


BUILD = models.build


def tiny_work(model=DCLS, **options) -> ModelWork:
    package = options.pop("package", False)
    return ModelWork(model, replace(SETTING, **options), package, dict(TINY))


class FakeClock:
    """A clock that works move on."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def work(self, *seconds):
        """Something that takes these seconds, one after another, the last for ever."""
        left = list(seconds)

        def call():
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


def test_works_take_turns_after_warming_up():
    done = []
    works = {name: lambda name=name: done.append(name) for name in "abc"}
    timing.interleave(works, runs=3, run_seconds=0.0)
    assert "".join(done) == "aabbcc" + "abc" * 3


def test_times_are_of_one_call_and_warming_up_is_not_counted(monkeypatch):
    clock = FakeClock(monkeypatch)
    works = {"slow": clock.work(9, 9, 4, 5), "fast": clock.work(9, 0.0625)}
    times = timing.interleave(works, runs=2, run_seconds=0.25)
    assert times == {"slow": (4, 5), "fast": (0.0625, 0.0625)}


def test_short_works_are_repeated_in_a_run():
    done = []
    timing.interleave({"short": lambda: done.append(1)}, runs=1, run_seconds=0.01)
    assert len(done) > timing.WARM_UPS + 10


def test_a_device_is_waited_for_before_each_clock_reading():
    log = []
    timing.interleave({"a": lambda: log.append("a")}, 1, 0.0, wait=lambda: log.append("wait"))
    assert log == ["wait", "a", "wait"] * 3


def test_ratios_are_medians_over_runs():
    times = {"a": (2.0, 1.0, 9.0), "b": (4.0, 4.0, 12.0), "c": (1.0, 1.0, 1.0)}
    assert speed.compare(times, {"a": "a", "b": "a", "c": None}) == {"a": 1, "b": 0.5, "c": None}
    times["b"] = (1.0, 2.0, 3.0)  # the same median, but 2, 0.5 and 3 times as fast
    assert speed.compare(times, {"a": "a", "b": "a", "c": None})["b"] == 2


def test_every_dcls_architecture_has_its_own_dense_baseline(tiny_tagger, tmp_path):
    for name in architectures():
        assert (models.baseline_of(name) is not None) == ("dcls" in name)
    assert models.baseline_of("convnext_dcls_audio_tiny") == "convnext_audio_tiny"
    assert models.baseline_of("convnext_dcls_audio_tiny17") == "convnext_audio_tiny"
    assert models.baseline_of("fastvit_dcls_audio_sa24") == "fastvit_audio_sa24"
    tiny_tagger.save(tmp_path / "saved")
    assert models.baseline_of(str(tmp_path / "saved")) == DENSE
    assert models.baseline_of("default") is None  # no architecture of a name is its plain form


def test_baselines_are_measured_once_beside_their_models(tiny_tagger, tmp_path):
    tiny_tagger.save(tmp_path / "saved")
    saved = str(tmp_path / "saved")
    names = [DENSE, DCLS, saved, "default", "ast"]
    works, baselines = speed.select_models(names, SETTING)
    assert [work.name for work in works] == names
    assert baselines == {DENSE: DENSE, DCLS: DENSE, saved: DENSE, "default": None, "ast": None}


def test_one_baseline_for_all():
    works, baselines = speed.select_models([DCLS, "ast"], SETTING, "mn04_as")
    assert [work.name for work in works] == ["mn04_as", DCLS, "ast"]
    assert set(baselines.values()) == {"mn04_as"}


def test_the_package_as_baseline_is_the_same_model_with_its_layers():
    works, baselines = speed.select_models([DCLS, "ast"], SETTING, "package")
    assert works == [
        ModelWork(DCLS, SETTING, package=True),
        ModelWork(DCLS, SETTING),
        ModelWork("ast", SETTING),
    ]
    assert baselines[DCLS] == works[0].name and baselines["ast"] is None
    with pytest.raises(ModelError, match="none of ast has DCLS layers"):
        speed.select_models(["ast"], SETTING, "package")


def test_positions_are_uniform_over_the_kernel_and_stay_shared():
    model = models.build(DCLS, 101, dict(TINY))
    layers = [module for module in model.modules() if isinstance(module, DclsConv2d)]
    positions = torch.cat([layer.P.detach().flatten() for layer in layers])
    assert positions.abs().max() <= 11
    assert positions.std() == pytest.approx(22 / math.sqrt(12), rel=0.03)
    deeper = models.build(DCLS, 101, {**TINY, "depths": [2, 1, 1, 1]})
    first, second = [m for m in deeper.stages[0].modules() if isinstance(m, DclsConv2d)]
    assert first.P is second.P


def test_a_saved_model_keeps_its_positions():
    saved = models.build("default", 101)
    other = models.build("default", 101)
    assert all(
        torch.equal(a, b) for a, b in zip(saved.parameters(), other.parameters(), strict=True)
    )


def test_inference_is_of_the_folded_model():
    work = tiny_work()
    assert not any(isinstance(module, Dcls2d) for module in work.build().modules())
    assert work.start()().shape == (2, models.NUM_CLASSES)


def test_the_packages_way_gives_the_same_scores():
    ours, theirs = tiny_work(), tiny_work(package=True)
    torch.testing.assert_close(ours.start()(), theirs.start()(), rtol=1e-4, atol=1e-4)


def test_the_packages_way_builds_a_kernel_in_every_layer_of_every_pass(monkeypatch):
    built = []
    forward = Dcls2d._conv_forward
    monkeypatch.setattr(Dcls2d, "_conv_forward", lambda *a: built.append(1) or forward(*a))
    step = tiny_work(package=True).start()
    step(), step()
    assert len(built) == 2 * sum(TINY["depths"])


@pytest.mark.parametrize("package", [False, True])
def test_a_training_step_learns(monkeypatch, package):
    kept = []
    build = ModelWork.build
    monkeypatch.setattr(ModelWork, "build", lambda work: kept.append(build(work)) or kept[0])
    step = tiny_work(train=True, package=package).start()
    (model,) = kept
    assert model.training
    before = model.head.fc.weight.detach().clone()
    assert 0.3 < step() < 1.5  # nothing known: about log 2
    for name, value in model.named_parameters():
        assert value.grad.abs().sum() > 0, name
    moved = (model.head.fc.weight.detach() - before).abs()
    assert moved.median() == pytest.approx(models.LEARNING_RATE, rel=0.05)  # Adam's first step


def test_bfloat16_is_mixed_precision():
    # Of 2 s the last map would be one column wide, from three: there PyTorch 2.13 gives garbage in
    # bfloat16 on processors with AMX.
    assert tiny_work(dtype="bf16", seconds=2.6).start()().dtype == torch.bfloat16
    assert torch.isfinite(tiny_work(dtype="bf16", seconds=2.6, train=True).start()())


def test_unknown_models_are_named_with_near_ones():
    with pytest.raises(ModelError, match="'convnext_dcls_audio_ato'; choose convnext_dcls_audio_a"):
        models.build("convnext_dcls_audio_ato", 101)


def test_maps_are_as_tall_as_the_model_expects():
    for name, mels in ((DCLS, 128), ("convnext_tiny_at", 224), ("mn04_as", 128)):
        with torch.device("meta"):
            model = models.timm.create_model(name)
        assert models.map_shape(model, SETTING) == (1, mels, 201)
    assert models.map_shape(nn.Linear(1, 1), Setting(seconds=10.0)) == (1, 128, 1001)


@pytest.mark.parametrize("name,parameters", [("ast", 87.6e6), ("passt_s", 86e6)])
def test_transformers_have_the_size_of_their_publications(name, parameters):
    with torch.device("meta"):
        model = transformers.transformer(name, 527, 1001)
    assert model.patch_embed.num_patches == 12 * 99
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(parameters, rel=0.02)


@pytest.mark.parametrize("name,trained_on", [("ast", 108), ("passt_s", 42)])
def test_transformers_run_and_passt_leaves_patches_out_in_training(name, trained_on):
    model = transformers.transformer(name, 5, 101, embed_dim=12, depth=1, num_heads=2)
    tokens = []
    model.blocks[0].register_forward_hook(lambda *a: tokens.append(a[2].shape[1]))
    maps = torch.randn(2, 1, 128, 101)
    assert model.train()(maps).shape == (2, 5)
    assert model.eval()(maps).shape == (2, 5)
    assert tokens == [trained_on + 2, 12 * 9 + 2]


def test_kernels_are_built_by_both_to_the_same_gradients(monkeypatch):
    layers = []
    monkeypatch.setattr(
        "audiotag.benchmarks.kernels.DclsConv2d",
        lambda *a, **k: layers.append(DclsConv2d(*a, **k)) or layers[-1],
    )
    for package in (False, True):
        KernelWork(4, SETTING, package).start()()
    ours, theirs = layers
    for name in ("weight", "P", "SIG"):
        mine, other = getattr(ours, name).grad, getattr(theirs, name).grad
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


def test_kernels_are_compared_with_the_package_at_the_same_width(no_memory):
    table = speed.measure_kernels(SETTING, channels=(2, 4), runs=1)
    rows = [(row.name, row.channels) for row in table.rows]
    assert rows == [("dcls package", 2), ("audiotag", 2), ("dcls package", 4), ("audiotag", 4)]
    for package, ours in zip(table.rows[::2], table.rows[1::2], strict=True):
        assert package.cost.ratio == package.cost.memory_ratio == ours.cost.memory_ratio == 1
        assert ours.cost.ratio == pytest.approx(package.cost.seconds / ours.cost.seconds)


ALIVE = """
import torch
from audiotag.benchmarks import peak_memory

def step():
    for _ in range(3):
        torch.ones(25, 1_000_000)

step()
print(peak_memory._peak_of(step) - peak_memory._anonymous("VmRSS"))
"""


@pytest.mark.slow
def test_peak_memory_is_that_of_what_is_alive_at_once():
    process = subprocess.run(  # of its own: this one may keep what it frees
        [sys.executable, "-c", ALIVE], capture_output=True, text=True, check=True
    )
    assert 95e6 < int(process.stdout) < 130e6


@pytest.mark.slow
def test_peak_memory_of_a_model_holds_its_weights_and_gradients():
    work = tiny_work(train=True)
    weights = sum(parameter.nbytes for parameter in work.build().parameters())
    assert 4 * weights < peak_memory.peak_memory(work) < 100e6  # gradients and AdamW's two as well


def test_work_that_fails_says_so(monkeypatch):
    monkeypatch.setattr(peak_memory, "MODULE", "audiotag.nothing")
    with pytest.raises(AudioTagError, match="could not be measured .*nothing.*--batch-size"):
        peak_memory.peak_memory(tiny_work())


def test_model_table_has_costs_and_ratios(no_memory, tiny):
    works, baselines = speed.select_models([DCLS], SETTING)
    table = speed.measure_models(works, baselines, runs=3)
    dense, dcls = table.rows
    assert (dense.name, dcls.name) == (DENSE, DCLS)
    assert (dense.kernel, dcls.kernel) == ("7x7", "DCLS 23x23")
    assert len(dcls.cost.times) == table.runs == 3
    assert dcls.clips_per_second == SETTING.batch_size / dcls.cost.seconds
    ratios = np.array(dense.cost.times) / np.array(dcls.cost.times)
    assert dcls.cost.ratio == pytest.approx(np.median(ratios))
    # A block in each stage, on maps of 64x12, 32x6, 16x3 and 8x1 cells.
    cells = 8 * 64 * 12 + 8 * 32 * 6 + 16 * 16 * 3 + 32 * 8 * 1
    assert dcls.macs - dense.macs == (23**2 - 7**2) * cells
    assert dcls.published_map is None and table.machine.torch == torch.__version__


def run(*arguments):
    return CliRunner().invoke(bench, [str(a) for a in arguments])


def test_command_prints_json(no_memory, tiny):
    words = ("--runs", 1, "--seconds", 2, "--threads", 1, "--train", "--json")
    result = run("models", DCLS, *words)
    assert result.exit_code == 0, result.output
    (table,) = json.loads(result.stdout)["tables"]
    assert table["setting"] == asdict(replace(SETTING, batch_size=4, train=True))
    assert [row["name"] for row in table["rows"]] == [DENSE, DCLS]
    assert set(table["rows"][1]) == {
        *("name", "kernel", "parameters", "macs", "clips_per_second", "published_map", "cost")
    }
    assert set(table["rows"][1]["cost"]) == {
        *("seconds", "baseline", "ratio", "peak_memory", "memory_ratio", "times")
    }
    assert f"memory of {DCLS}" not in result.stdout


def test_command_prints_a_table_for_each_batch_size_and_draws_them(no_memory, tiny, tmp_path):
    picture = tmp_path / "speed.png"
    sizes = ("--batch-size", 1, "--batch-size", 2, "--batch-size", 2)
    arguments = ("--runs", 1, "--seconds", 2, "--threads", 1, "--plot", picture)
    result = run("models", DCLS, *sizes, *arguments)
    assert result.exit_code == 0, result.output
    for said in ("Inference", "batch 1", "batch 2", "threads: 1", torch.__version__, "fp32"):
        assert said in result.stdout
    for cell in (DENSE, "DCLS 23x23", "1.00", "0.04"):
        assert result.stdout.count(cell) >= 2
    assert result.stdout.count("clips/s") == 2
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--train", "--kernel"], "give one"),
        (["--kernel", "--files", "3"], "give one"),
        (["models", *"--seconds 2 --seconds 5 --batch-size 1 --batch-size 2".split()], "both"),
        (["kernels", "--plot", "x.png"], "--plot"),
        (["--kernel", "--plot", "x.png"], "--plot"),
        (["--files", "0"], "0 is below 1"),
        (["--data", "no/such/folder"], "no/such/folder"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2 and message in result.output


def test_a_picture_that_cannot_be_drawn_is_refused_before_anything_is_measured(monkeypatch):
    assert isinstance(run("models", "--plot", "x.gif").exception, AudioTagError)
    monkeypatch.setattr(figures.importlib.util, "find_spec", lambda name: None)
    assert "audiotag-dcls[train]" in str(run("models", "--plot", "x.png").exception)


@pytest.mark.parametrize(
    "old,new",
    [
        ("", "models"),
        (DCLS, f"models {DCLS}"),
        (f"{DCLS} ast --train --json", f"models {DCLS} ast --train --json"),
        (f"--runs 2 {DCLS} --batch-size 1 --batch-size 8", f"models {DCLS} --runs 2 {SIZES}"),
        (
            "--peers --baseline package --plot x.png",
            "models --peers --baseline package --plot x.png",
        ),
        ("--kernel --device cpu --threads 2", "kernels --device cpu --threads 2"),
        ("--threads 2 --files 20 a.onnx --json", "files a.onnx --count 20 --threads 2 --json"),
        ("--files=20 --peers", "files --count 20 --peers"),
        ("--runs 1 --data .", "data . --runs 1"),
    ],
)
def test_commands_of_before_there_were_sub_commands_do_what_they_did(monkeypatch, old, new):
    called = []
    for name, command in bench.commands.items():
        record = partial(lambda name, **values: called.append((name, values)), name)
        monkeypatch.setattr(command, "callback", record)
    results = [run(*words.split()) for words in (old, new)]
    assert [result.exit_code for result in results] == [0, 0], results[0].output
    first, second = called
    assert first == second and second[0] == new.split()[0]


def test_chart_of_map_shows_models_with_a_published_one(tmp_path):
    cost = speed.Cost(0.5, None, None, MEMORY, None, (0.5,))
    row = speed.ModelSpeed("ast", "attention", 87, 100, 8.0, 45.9, cost)
    machine = speed.Machine("CPU", "2")
    table = speed.SpeedTable(machine, SETTING, 1, (row, replace(row, published_map=None)))
    plot.plot_map_against_throughput(table, tmp_path / "map.svg")
    assert (tmp_path / "map.svg").read_text().startswith("<?xml")


def test_a_chart_without_a_point_is_refused_before_anything_is_measured(
    tiny, monkeypatch, tmp_path
):
    monkeypatch.setattr(speed, "_measure", lambda *arguments: pytest.fail("measured"))
    arguments = ("models", DCLS, "--seconds", 2, "--threads", 1, "--plot", tmp_path / "x.png")
    error = run(*arguments).exception
    assert isinstance(error, AudioTagError) and "--peers" in str(error)
    plot.check_speed_plot(tmp_path / "x.png", [DCLS, "ast"], [SETTING])
    plot.check_speed_plot(tmp_path / "x.png", [DCLS], [SETTING, replace(SETTING, batch_size=4)])


@pytest.mark.parametrize("built", [True, False])
def test_missing_c_extensions_are_said_once(monkeypatch, built):
    monkeypatch.setattr(mel_power, "library", lambda: "loaded" if built else None)
    result = run("data", "nowhere")
    assert result.exit_code == 2
    assert result.stderr.count("C extensions are not installed") == (0 if built else 1)
