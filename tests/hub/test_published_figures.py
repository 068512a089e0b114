"""What is known of published models, looked at: checksums, stored scores, published figures."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.errors import ModelError
from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model
from audiotag.tagging.open import open_engine
from audiotag.tagging.parity import compare, stored_scores
from tests.support.hub_client import commands, variables
from tests.support.mirror import LoopbackMirror
from tests.support.publishers import narrow_ced, publish, small_mn, to_pt, to_safetensors

REAL = "teachers/mn04_as_mAP_432.pt"


@pytest.fixture(scope="module")
def mirror():
    with LoopbackMirror() as server:
        publish(server, "mn01_as", small_mn())
        publish(server, "convformer_audio_s18", to_pt(narrow_ced()))
        publish(server, "ced-tiny", to_safetensors(narrow_ced()))
        yield server


@pytest.fixture(scope="module")
def run(mirror, tmp_path_factory):
    environment = variables(tmp_path_factory.mktemp("home")) | {"AUDIOTAG_MIRROR": mirror.url}
    with commands(environment) as command:
        yield command


@pytest.mark.parametrize(
    ("name", "checked", "score"),
    [
        ("mn01_as", "nobody states its checksum", "29.8 % (arXiv 2211.04772)"),
        ("convformer_audio_s18", "as its checksum says", "43.1 % (arXiv 2309.13972)"),
        ("ced-tiny", "as its checksum says", "48.1 % (arXiv 2308.11957)"),
    ],
)
@pytest.mark.slow
def test_a_model_without_stored_scores_has_its_checksum_and_its_figure(run, name, checked, score):
    ended = run("models", "--verify", name)
    assert ended.code == 0, ended.err
    file, parity, figure = ended.out.splitlines()
    assert file.startswith(f"{name}: ") and file.endswith(checked)
    assert parity == f"{name}: no scores are stored to compare its own with"
    assert figure.startswith(f"{name}: published mAP {score}; to measure it: audiotag evaluate")


@pytest.mark.slow
def test_a_file_that_was_changed_since_is_had_again(run, mirror):
    folder = Path(run("pull", "convformer_audio_s18").out.strip())
    file = next(folder.parent.rglob("*.pth"))
    published = file.read_bytes()
    file.write_bytes(b"changed")
    assert run("models", "--verify", "convformer_audio_s18").code == 0
    assert file.read_bytes() == published


def test_what_is_no_published_name_is_wrong_usage(run):
    assert "did you mean ced-tiny?" in run("models", "--verify", "ced-tyny").usage_error
    assert "audiotag pull --verify takes Hub" in run("models", "--verify", "me/birds").usage_error


def test_other_weights_than_the_published_ones_are_told(tmp_path):
    config = ModelConfig("mn04_as", Labels.audioset(), front_end="efficientat_mel")
    Model.create(config).save(tmp_path / "mn04_as")
    message = "mn04_as is not what was published: it scores 'Baby cry, infant cry' in baby_cry.mp3"
    with pytest.raises(ModelError, match=message):
        compare(open_engine(tmp_path / "mn04_as", "cpu"), stored_scores()["mn04_as"])


@pytest.mark.slow
def test_the_real_weights_are_what_was_published(test_data, tmp_path):
    """By the file itself, from a server; its scores of other clips are compared with those of its
    authors' code in the tests of `convert`."""
    with LoopbackMirror() as mirror:
        publish(mirror, "mn04_as", (test_data / REAL).read_bytes())
        with commands(variables(tmp_path) | {"AUDIOTAG_MIRROR": mirror.url}) as run:
            ended = run("models", "--verify", "mn04_as")
            folder = run("pull", "mn04_as").out.strip()
    assert ended.code == 0, ended.err
    assert "as its checksum says" in ended.out and "scores of 10 sample clips within" in ended.out
    for engine in ("torch", "onnx"):
        found = compare(open_engine(folder, "cpu", engine), stored_scores()["mn04_as"])
        assert found < 2e-4


@pytest.mark.slow
def test_the_published_figure_stands_beside_the_measured_one(run, tmp_path):
    """On a set that has AudioSet's split eval alone, which is then the one that is meant."""
    rng, rows = np.random.default_rng(0), ["path,label,split"]
    for i in range(4):
        soundfile.write(tmp_path / f"{i}.wav", 0.1 * rng.standard_normal(32_000), 32_000)
        rows.append(f"{i}.wav,{('Dog', 'Rain')[i % 2]},eval")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    prepare(CsvSource(tmp_path / "t.csv"), tmp_path / "data")
    ended = run("evaluate", "mn01_as", tmp_path / "data", "--resamples", 0)
    assert ended.code == 0, ended.err
    assert "mn01_as on data, split eval: 4 clips" in ended.out
    row = next(x for x in ended.out.splitlines() if x.strip().startswith("mAP"))
    change = float(row.split()[1]) - 0.298
    line = next(x for x in ended.out.splitlines() if x.startswith("Published: "))
    assert line.startswith("Published: mAP 0.2980 (arXiv 2211.04772), on the authors' copy of")
    assert f"{change:+.4f} here, on other clips: 2 of 527 classes have one." in line
    ended = run("evaluate", "mn01_as", tmp_path / "data", "--resamples", 0, "--json")
    found = json.loads(ended.out)
    assert (found["published_map"], found["published_in"]) == (0.298, "arXiv 2211.04772")
    ended = run("evaluate", "default", tmp_path / "data", "--resamples", 0, "--json")
    assert json.loads(ended.out)["published_map"] is None
