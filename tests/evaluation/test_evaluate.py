"""Evaluation: figures against scikit-learn on clips scored one by one, on one process and more."""

import hashlib
import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from click.testing import CliRunner
from scipy.stats import norm
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    f1_score,
    label_ranking_average_precision_score,
    roc_auc_score,
)

from audiotag.cli.evaluate import evaluate as evaluate_command
from audiotag.cli.prepare import prepare as prepare_command
from audiotag.data.dataset import ClipDataset
from audiotag.data.shards import hash_keys
from audiotag.errors import DataError, ModelError
from audiotag.evaluation.evaluate import EvaluationPlan, evaluate
from audiotag.evaluation.measurement import measure
from audiotag.evaluation.scoring import Scores, score
from audiotag.evaluation.summary import summarise
from audiotag.evaluation.thresholds import fit_thresholds
from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig, read_config
from audiotag.models.evaluation_record import read_evaluation
from audiotag.models.model import Model
from audiotag.models.provenance import Part, TrainedOn
from audiotag.runtime.version import __version__
from audiotag.tagging.open import open_engine
from audiotag.tagging.tag import TagOptions, tag_file

NAMES = ("Hum", "Whistle", "Music")
SECONDS = (0.7, 1.3, 2.5, 2.5, 3.0)  # the first two are shorter than a model takes
CLIPS = 25
TINY = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]}


def make_tagger(seed: int = 0) -> Model:
    """A small tagger whose scores differ from clip to clip."""
    torch.manual_seed(seed)
    config = ModelConfig("convnext_dcls_audio_atto", Labels.audioset(), model_args=dict(TINY))
    tagger = Model.create(config, name="tiny").eval()
    with torch.no_grad():
        for parameter in tagger.backbone.get_classifier().parameters():
            parameter.normal_(std=0.5)
    return tagger


@pytest.fixture(scope="module")
def tagger():
    return make_tagger()


@pytest.fixture(scope="module")
def model(tagger, tmp_path_factory):
    """The tagger's folder."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tagger.save(folder)
    return folder


def evaluate_one(model, data, **options):
    """The evaluation of one model on the CPU."""
    plan = EvaluationPlan((str(model),), data, device="cpu", **options)
    (evaluation,) = evaluate(plan).evaluations
    return evaluation


def write_data(folder, labels_of):
    """A prepared data set of noisy tones in splits valid and train and folds 1 to 3."""
    rng, rows = np.random.default_rng(0), ["path,label,split,fold"]
    for i in range(CLIPS):
        time = np.arange(round(SECONDS[i % 5] * 32_000)) / 32_000
        wave = 0.3 * np.sin(2 * np.pi * 150 * (1 + i) * time) + 0.1 * rng.standard_normal(len(time))
        soundfile.write(folder / f"{i}.wav", wave, 32_000)
        split = "train" if i % 6 == 5 else "valid"
        rows.append(f"{i}.wav,{labels_of(i)},{split},{i % 3 + 1}")
    (folder / "t.csv").write_text("\n".join(rows))
    arguments = ["csv", str(folder / "t.csv"), str(folder / "data")]
    result = CliRunner().invoke(prepare_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder / "data"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Clips with one label each."""
    return write_data(tmp_path_factory.mktemp("single"), lambda i: NAMES[i % 7 % 3])


@pytest.fixture(scope="module")
def tagged_data(tmp_path_factory):
    """Clips with one label or two."""

    def labels_of(i):
        return NAMES[i % 3] if i % 2 else f"{NAMES[i % 3]};{NAMES[(i + 1) % 3]}"

    return write_data(tmp_path_factory.mktemp("several"), labels_of)


def one_by_one(tagger, folder, keep):
    """Targets and scores (N, 527) of the recordings themselves, each computed alone."""
    targets, scores = [], []
    rows = (folder.parent / "t.csv").read_text().splitlines()[1:]
    for i, row in enumerate(rows):
        path, labels, split, fold = row.split(",")
        if not keep(split, int(fold)):
            continue
        samples, _ = soundfile.read(folder.parent / f"{i}.wav", dtype="float32")
        samples = np.pad(samples, (0, max(0, 3 * 32_000 - len(samples))))
        with torch.no_grad():
            logits = tagger(torch.from_numpy(samples)[None]).double()[0]
        scores.append((1 / (1 + (-logits).exp())).numpy())
        targets.append([name in labels.split(";") for name in tagger.labels.names])
    return np.array(targets), np.array(scores)


def test_figures_are_scikit_learns(tagger, model, data):
    targets, scores = one_by_one(tagger, data, lambda split, fold: split == "valid")
    found = evaluate_one(model, data, split="valid", batch_size=3, resamples=0)
    assert found.clips == len(targets) == 21
    there = targets.any(0)
    precision = average_precision_score(targets[:, there], scores[:, there], average=None)
    area = roc_auc_score(targets[:, there], scores[:, there], average=None)
    figures = {name: figure.value for name, figure in found.figures.items()}
    ranking = label_ranking_average_precision_score(targets, scores)
    assert figures == pytest.approx(
        {
            "mAP": precision.mean(),
            "AUC": area.mean(),
            "d_prime": math.sqrt(2) * norm.ppf(area.mean()),
            "lwlrap": ranking,
            "accuracy": (scores.argmax(1) == targets.argmax(1)).mean(),
        },
        abs=1e-6,
    )
    rows = {x.name: (x.clips, x.average_precision.value, x.auc.value) for x in found.classes}
    names = np.array(tagger.labels.names)[there]
    for name, p, a, count in zip(names, precision, area, targets.sum(0)[there], strict=True):
        assert rows.pop(name) == pytest.approx((count, p, a), abs=1e-6)
    assert not rows
    index = tagger.labels.index
    counts = np.zeros((527, 527), int)
    for pair in found.confusion:
        counts[index(pair.label), index(pair.heard)] = pair.clips
    expected = confusion_matrix(targets.argmax(1), scores.argmax(1), labels=range(527))
    np.testing.assert_array_equal(counts, expected)


def test_says_on_which_clips(tagger, model, data):
    splits = json.loads((data / "dataset.json").read_text())["splits"]
    found = {x: evaluate_one(model, data, split=x, resamples=0) for x in ("valid", "train")}
    for split, evaluation in found.items():
        assert evaluation.keys == splits[split]["keys"] and evaluation.split == split
    every = summarise(measure(score(tagger, data), 0))
    fold = evaluate_one(model, data, fold=2, resamples=0)
    assert every.clips == CLIPS
    targets, scores = one_by_one(tagger, data, lambda split, number: number == 2)
    assert (fold.fold, fold.clips) == (2, len(targets))
    assert fold.accuracy == pytest.approx((scores.argmax(1) == targets.argmax(1)).mean())
    parts = [score(tagger, data, fold=k) for k in (1, 2, 3)]
    joined = summarise(measure(Scores.join(parts), 0))
    assert joined.keys == every.keys and joined.fold is None
    assert joined.mean_average_precision == pytest.approx(every.mean_average_precision, abs=1e-5)
    with pytest.raises(ModelError, match="overlap"):
        Scores.join([parts[0], parts[0]])


def test_clips_with_several_labels_have_no_accuracy(tagger, model, tagged_data):
    targets, scores = one_by_one(tagger, tagged_data, lambda split, fold: split == "valid")
    found = evaluate_one(model, tagged_data, split="valid", resamples=0)
    assert found.accuracy is None and found.confusion is None
    expected = label_ranking_average_precision_score(targets, scores, sample_weight=targets.sum(1))
    assert found.figures["lwlrap"].value == pytest.approx(expected, abs=1e-6)


def test_intervals_stay_in_range_and_json_is_json(model, data):
    found = evaluate_one(model, data, split="valid", resamples=200)
    for name, figure in found.figures.items():
        assert figure.low <= figure.value <= figure.high, name
        assert name == "d_prime" or 0 <= figure.low and figure.high <= 1, name
    assert found.figures["mAP"].low < found.figures["mAP"].high

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    values = json.loads(found.to_json(), parse_constant=refuse)
    assert values["figures"]["mAP"]["low"] == found.figures["mAP"].low
    text = evaluate_one(model, data, split="valid", resamples=0).to_json()
    bare = json.loads(text, parse_constant=refuse)
    assert bare["figures"]["mAP"]["low"] is None and bare["keys"] == found.keys


def test_onnx_models_are_evaluated_too(data):
    torch_scores = score(open_engine("default", "cpu", "torch"), data, "valid")
    onnx_scores = score(open_engine("default", "cpu", "onnx"), data, "valid")
    assert onnx_scores.keys == torch_scores.keys
    np.testing.assert_allclose(onnx_scores.values, torch_scores.values, atol=1e-3)


def test_logits_that_are_one_in_float32_scores_are_told_apart(data):
    """Scores of logits 20 and 21 are both 1 in float32: the ranking would be lost."""
    tagger = make_tagger(1)
    before = score(tagger, data, "valid").values
    with torch.no_grad():
        tagger.backbone.get_classifier().bias += 20
    after = score(tagger, data, "valid").values
    assert (after.astype(np.float32) == 1).mean() > 0.5
    for one, two in zip(before.T, after.T, strict=True):
        assert len(np.unique(two)) > 0.8 * len(np.unique(one))


def test_damaged_weights_and_other_rates_are_refused(data, tmp_path):
    tagger = make_tagger()
    with torch.no_grad():
        tagger.backbone.get_classifier().bias[3] = torch.nan
    with pytest.raises(ModelError, match="not numbers; its weights may be damaged"):
        score(tagger, data, "valid")
    config = replace(tagger.config, front_end_args={"sample_rate": 48_000})
    with pytest.raises(DataError, match="--sample-rate 48000"):
        score(Model.create(config), data, "valid")


@pytest.mark.parametrize("window", [None, 1.0])
def test_clips_at_a_higher_rate_are_heard_as_files_are(tagger, data, window):
    rate = {"sample_rate": 16_000, "n_mels": 64, "f_max": 8e3, "hop_length": 80}
    config = replace(tagger.config, front_end_args=rate, window=window, min_duration=1.0)
    torch.manual_seed(0)
    lower = Model.create(config).eval()
    torch.nn.init.normal_(lower.backbone.head.fc.weight)
    found = score(lower, data, "train", batch_size=3)
    paths = [data.parent / f"{i}.wav" for i in range(CLIPS) if i % 6 == 5]
    tagged = [
        {tag.label: tag.score for tag in tag_file(lower, path, TagOptions(527, 0.0)).tags}
        for path in paths
    ]
    expected = [[tags[name] for name in lower.labels.names] for tags in tagged]
    assert np.ptp(expected, axis=0).max() > 0.1
    np.testing.assert_allclose(found.values, expected, atol=2e-4)


def score_in_groups(rank, folder, data, out):
    """Be one of 3 processes, then one of 2, then alone; write what each time came out."""
    torch.set_num_threads(1)
    tagger = Model.load(folder)
    for size in (3, 2, 1):
        if rank < size:
            dist.init_process_group("gloo", f"file://{out}/{size}", rank=rank, world_size=size)
            np.save(out / f"{size}-{rank}.npy", score(tagger, data, "valid", batch_size=2).values)
            dist.destroy_process_group()


@pytest.mark.slow
def test_any_number_of_processes_gives_the_same_bits(tagger, data, tmp_path):
    tagger.save(tmp_path / "model")
    mp.spawn(score_in_groups, (tmp_path / "model", data, tmp_path), nprocs=3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = score(Model.load(tmp_path / "model"), data, "valid", batch_size=2).values
    torch.set_num_threads(threads)
    assert expected.shape == (21, 527) and (expected > 0).all()
    for size in (1, 2, 3):
        for rank in range(size):
            np.testing.assert_array_equal(np.load(tmp_path / f"{size}-{rank}.npy"), expected)


@pytest.mark.slow
def test_torchrun_prints_and_writes_once(model, data, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    command = ["-m", "audiotag", "evaluate", str(tmp_path / "model"), str(data), "--json", "--save"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    run = subprocess.run(
        [*torchrun, *command, "--device", "cpu"], capture_output=True, text=True, check=True
    )
    (line,) = run.stdout.splitlines()
    expected = evaluate_one(model, data, split="valid")
    found = json.loads(line)
    assert found["clips"] == expected.clips and found["keys"] == expected.keys
    assert found["figures"]["mAP"]["value"] == pytest.approx(expected.mean_average_precision)
    assert json.loads((tmp_path / "model" / "evaluation.json").read_text()) == found


def run(*arguments):
    return CliRunner().invoke(evaluate_command, [*map(str, arguments)])


def test_command_writes_what_it_is_asked_for(tagger, data, tmp_path):
    tagger.save(tmp_path / "model")
    files = ("--save", "--fit-thresholds", "--scores", tmp_path / "scores.npz")
    result = run(tmp_path / "model", data, "--resamples", 20, "--json", "--device", "cpu", *files)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((tmp_path / "model/evaluation.json").read_text())
    assert json.loads(read_evaluation(tmp_path / "model").to_json()) == json.loads(result.stdout)
    assert "mean F1" in result.stderr
    expected = score(tagger, data, "valid")
    with np.load(tmp_path / "scores.npz") as stored:
        np.testing.assert_allclose(stored["scores"], expected.values, atol=1e-5)
        np.testing.assert_array_equal(stored["targets"], expected.targets)
        assert tuple(stored["keys"]) == expected.keys
        assert tuple(stored["labels"]) == tagger.labels.names
    thresholds = read_config(tmp_path / "model").thresholds
    assert thresholds == pytest.approx(fit_thresholds(expected).values.tolist(), abs=1e-6)


def test_command_prints_tables(model, data):
    arguments = ("--resamples", 20, "--classes", 1, "--device", "cpu", "--fold", 1)
    result = run(model, data, *arguments)
    assert result.exit_code == 0, result.output
    expected = evaluate_one(model, data, fold=1, resamples=0)
    assert f"fold 1: {expected.clips} clips, keys {expected.keys}" in result.stdout
    assert f"{expected.mean_average_precision:.4f}" in result.stdout
    assert "the 3 of 527 classes with a clip" in result.stdout
    assert "1 more lie between them" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["default", "--save"], "write into a model folder, and default is not one"),
        (["default", "--fit-thresholds"], "write into a model folder"),
        (["default", "other", "--scores", "s.npz"], "the scores of one MODEL"),
        (["default", "--compare", "other", "--resamples", "0"], "leave out --resamples 0"),
        (["default", "--save", "--precision", "bf16"], "leave out --precision bf16"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_computed(arguments, message):
    result = run(*arguments, "no data")
    assert result.exit_code == 2 and message in result.stderr


def test_models_measured_on_different_clips_are_not_compared(tagger, model, data, tmp_path):
    """Without a split or fold each is measured on what its run was validated on."""
    tagger.save(tmp_path / "run")
    fold = ClipDataset(data, fold=2)
    part = Part(len(fold), 1.0, hash_keys(fold.keys.tolist()), fold=2)
    TrainedOn("data", part, part).save(tmp_path / "run")
    plan = EvaluationPlan((str(model),), data, (str(tmp_path / "run"),), resamples=20, device="cpu")
    with pytest.raises(DataError, match="measured on different clips; name the same for both with"):
        evaluate(plan)
    whole = evaluate(replace(plan, fold=2))
    assert [x.clips for x in whole.evaluations] == [len(fold)] * 2
    assert all(x.difference.value == 0 for x in whole.comparison.differences)


def test_a_model_s_thresholds_are_said_to_be_as_good_as_they_are(tagger, model, data, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    folder = str(tmp_path / "model")
    plan = EvaluationPlan((folder,), data, split="valid", fit_thresholds=True, device="cpu")
    (stored,) = evaluate(plan).thresholds
    scores = score(tagger, data, "valid")
    there = scores.targets.any(0)
    for thresholds, figure in (
        (np.array(read_config(tmp_path / "model").thresholds), stored.f1),
        (np.full(527, 0.5), stored.f1_at_half),
    ):
        heard = scores.values >= thresholds
        expected = f1_score(scores.targets[:, there], heard[:, there], average="macro")
        assert figure == pytest.approx(expected, abs=1e-9)


def test_figures_say_of_which_model_and_data_they_are(tagger, model, data, tmp_path):
    weights = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    clips = ClipDataset(data, "valid")
    index = pq.read_table(data / "index.parquet").to_pylist()
    lines = [
        "\n".join((row["key"], row["sha256"][:16], *sorted(row["labels"])))
        for row in index
        if row["split"] == "valid"
    ]
    hashes = sorted(hashlib.sha256(line.encode()).hexdigest()[:16] for line in lines)
    expected = hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:16]
    assert sorted(clips.hashes) == hashes
    found = evaluate_one(model, data, split="valid", resamples=0, scores=tmp_path / "s.npz")
    assert (found.weights_sha256, found.data_hash) == (weights, expected)
    assert found.audiotag == __version__
    assert json.loads(found.to_json())["weights_sha256"] == weights
    with np.load(tmp_path / "s.npz") as file:
        assert file["sounds"].tolist() == clips.sounds
        assert (str(file["weights_sha256"]), str(file["data"])) == (weights, expected)
        assert (str(file["split"]), str(file["fold"])) == ("valid", "")
    result = CliRunner().invoke(evaluate_command, [str(model), str(data), "--resamples", "0"])
    assert f"Weights {weights[:16]}, data {expected}, audiotag {__version__}." in result.stdout
    # The hash tells of other labels, which that of the keys does not.
    relabelled = tmp_path / "relabelled"
    shutil.copytree(data, relabelled)
    table = pq.read_table(data / "index.parquet")
    values = table.to_pydict()
    values["labels"][0] = ["Music", "Hum"]
    pq.write_table(table.from_pydict(values, table.schema), relabelled / "index.parquet")
    parts = [evaluate_one(model, x, resamples=0, fold=1) for x in (data, relabelled)]
    assert parts[0].keys == parts[1].keys and parts[0].data_hash != parts[1].data_hash


def test_joined_scores_are_of_all_their_clips(tagger, model, data):
    engine = open_engine(str(model), "cpu")
    parts = [score(engine, data, fold=fold) for fold in (1, 2, 3)]
    joined, whole = Scores.join(parts), score(engine, data)
    assert joined.data_hash == whole.data_hash != parts[0].data_hash
    assert joined.weights_sha256 == whole.weights_sha256
    other = replace(parts[1], weights_sha256="ab")
    several = Scores.join([parts[0], other]).weights_sha256
    both = f"{whole.weights_sha256}\nab"
    assert several == hashlib.sha256(both.encode()).hexdigest()
    assert joined.of(np.arange(CLIPS) < 5).about == joined.about[:5]


@pytest.mark.parametrize(
    ("crops", "said"),
    [
        ([1.0], "trained on crops of 1 s, and hears 3 s of these clips at once"),
        ([5.0, 10.0], "trained on crops of 5 to 10 s, and hears 3 s"),
        ([1.0, 3.0], None),
        ([3.2], None),
    ],
)
def test_a_run_of_other_crops_says_so(model, data, tmp_path, crops, said):
    run = tmp_path / "run"
    shutil.copytree(model, run)
    (run / "recipe.toml").write_text(f"[data]\ncrop_seconds = {crops}\n")
    result = CliRunner().invoke(evaluate_command, [str(run), str(data), "--resamples", "0"])
    assert result.exit_code == 0, result.output
    assert ("trained on crops" in result.stdout) == (said is not None)
    assert said is None or said in result.stdout
    found = evaluate_one(run, data, resamples=0, save=True)
    assert (found.shortest_crop, found.longest_crop) == (min(crops), max(crops))
    assert found.heard_seconds == 3.0  # shorter clips are followed by silence
    assert read_evaluation(run).crops_differ == (said is not None)


@pytest.mark.parametrize(
    ("option", "held"),
    [("--save", "runs"), ("--fit-thresholds", "runs"), ("--calibrate", "runs"), ("--scores", "x")],
)
def test_two_processes_do_not_write_in_one_place(tagger, data, tmp_path, option, held):
    folder, scores = tmp_path / "runs", tmp_path / "x.npz"
    tagger.save(folder)
    place = folder / ".audiotag.lock" if held == "runs" else tmp_path / ".x.npz.lock"
    code = "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX)\n"
    code += "print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(place)]
    before = sorted(path.name for path in tmp_path.rglob("*") if path.name[0] != ".")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()  # it holds the lock
        result = run(folder, data, option, *([scores] if option == "--scores" else []))
        other.stdin.close()
    assert result.exit_code == 1
    assert "another process writes" in str(result.exception or result.output)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.name[0] != ".") == before
    again = run(folder, data, option, *([scores] if option == "--scores" else []))
    assert "another process" not in str(again.exception or again.output)
