"""Audio classifiers of transformers: every kind as the library's own pipeline has it, and what is
refused."""

import json

import numpy as np
import pytest
import soundfile
import torch
import transformers
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES

from audiotag.cli import cli
from audiotag.errors import ModelError, RecipeError
from audiotag.label_set import Labels
from audiotag.models.transformers.classifier import Classifier
from audiotag.models.transformers.folder import KINDS as KNOWN
from audiotag.models.transformers.folder import is_classifier, labels_of, uses_softmax
from audiotag.tagging.load import load_tagger
from audiotag.tagging.open import open_engine, read_labels
from audiotag.training.distill.teachers import load_others
from tests.support.transformers_models import AUDIOSET, KINDS, NAMES, save_classifier

RATE = 16_000
SECONDS = 1.2  # shorter than what the tiny AST hears


@pytest.fixture(scope="module")
def waveforms():
    """Three clips (3, T) that differ: noise, noise that grows, a tone in noise."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((3, round(SECONDS * RATE)))
    noise[1] *= np.linspace(0, 1, noise.shape[1])
    noise[2] = 0.1 * noise[2] + np.sin(0.1 * np.arange(noise.shape[1]))
    return noise.astype(np.float32)


def pipeline_scores(folder, waveforms, **options):
    """What the library's own pipeline answers, (B, classes)."""
    classify = transformers.pipeline(
        "audio-classification", str(folder), feature_extractor=str(folder), top_k=None, **options
    )
    names = [classify.model.config.id2label[i] for i in range(classify.model.config.num_labels)]
    answers = [
        {x["label"]: x["score"] for x in classify(clip.copy(), **options)} for clip in waveforms
    ]
    return np.array([[answer[name] for name in names] for answer in answers])


def run(*words):
    return CliRunner().invoke(cli, [*map(str, words)])


def test_all_kinds_that_the_library_knows_are_known():
    assert KNOWN == set(MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_librarys_pipeline(kind, waveforms, tmp_path):
    for problem in ("single_label_classification", "multi_label_classification"):
        folder = save_classifier(tmp_path / problem, kind, problem)
        classifier = Classifier.load(folder, "cpu")
        scores = classifier.score_windows(waveforms)
        assert np.ptp(scores, axis=0).max() > 3e-5
        np.testing.assert_allclose(scores, pipeline_scores(folder, waveforms), atol=1e-6)
        assert classifier.softmax == (problem == "single_label_classification")
    assert classifier.score_windows(waveforms, double=True).dtype == np.float64


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_are_the_input_of_the_classifier(kind, waveforms, tmp_path):
    folder = save_classifier(tmp_path, kind, "multi_label_classification")
    classifier = Classifier.load(folder, "cpu")
    found = classifier.embed_windows(waveforms)
    head = transformers.AutoModelForAudioClassification.from_pretrained(folder).classifier.eval()
    with torch.inference_mode():
        expected = head(torch.from_numpy(found)).sigmoid().numpy()
    np.testing.assert_allclose(classifier.score_windows(waveforms), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("problem", "names", "softmax"),
    [
        ("single_label_classification", NAMES, True),
        ("multi_label_classification", NAMES, False),
        (None, NAMES, True),
        (None, AUDIOSET, False),
        (None, (*AUDIOSET[:520], "a", "b", "c", "d", "e", "f", "g"), False),
        (None, tuple(map(str, range(527))), True),
        ("single_label_classification", AUDIOSET, True),
        (None, ("siren",), False),
    ],
)
def test_the_config_says_whether_scores_add_up_to_one(problem, names, softmax):
    values = {"problem_type": problem, "id2label": {str(i): x for i, x in enumerate(names)}}
    assert uses_softmax(values) == softmax


def test_audiosets_classes_without_a_problem_type_are_scored_each_by_itself(waveforms, tmp_path):
    """As MIT/ast-finetuned-audioset-10-10-0.4593 is stored, which was trained so."""
    folder = save_classifier(tmp_path, "audio-spectrogram-transformer", None, AUDIOSET)
    classifier = Classifier.load(folder, "cpu")
    assert classifier.labels == Labels.audioset()
    expected = pipeline_scores(folder, waveforms, function_to_apply="sigmoid")
    np.testing.assert_allclose(classifier.score_windows(waveforms), expected, atol=1e-5)


def test_labels_are_in_the_order_of_their_numbers():
    values = {"id2label": {"10": "k", **{str(i): "abcdefghij"[i] for i in range(10)}}}
    assert labels_of(values).names == tuple("abcdefghijk")
    for named in (None, {"0": "a", "2": "b"}, {"0": "a", "1": "a"}, {}):
        with pytest.raises(ModelError):
            labels_of({"id2label": named})


@pytest.fixture(scope="module")
def ast(tmp_path_factory):
    """A tiny AST of AudioSet's classes, which hears 1.28 s at once."""
    folder = tmp_path_factory.mktemp("ast") / "ast"
    return save_classifier(folder, "audio-spectrogram-transformer", None, AUDIOSET)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """3 s that change, at 16 kHz."""
    path = tmp_path_factory.mktemp("audio") / "a.wav"
    noise = np.random.default_rng(1).standard_normal(3 * RATE) * np.linspace(0, 0.1, 3 * RATE)
    soundfile.write(path, noise, RATE, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def data(recording, tmp_path_factory):
    """The recording as a data set at twice its rate."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "t.csv").write_text(f"path,label\n{recording},Dog\n")
    words = ("csv", folder / "t.csv", folder / "data", "--sample-rate", 32_000)
    assert run("prepare", *words).exit_code == 0
    return folder / "data"


def test_windows_are_no_longer_than_it_hears_and_none_is_cut_off(ast, recording):
    """A file's score is the highest of windows of 1.28 s, the last one moved back."""
    options = ("--format", "jsonl", "--top-k", 527, "--threshold", 0, "--device", "cpu")
    result = run("tag", recording, "--model", ast, "--timeline", *options)
    assert result.exit_code == 0, result.output
    tagged = json.loads(result.stdout)
    size = round(1.28 * RATE)
    spans = [(0, size), (size, 2 * size), (3 * RATE - size, 3 * RATE)]
    assert [x["start"] for x in tagged["segments"]] == pytest.approx([a / RATE for a, _ in spans])
    samples, _ = soundfile.read(recording, dtype="float32")
    clips = np.stack([samples[a:b] for a, b in spans])
    expected = pipeline_scores(ast, clips, function_to_apply="sigmoid").max(0)
    found = {tag["label"]: tag["score"] for tag in tagged["tags"]}
    np.testing.assert_allclose([found[name] for name in AUDIOSET], expected, atol=1e-5)


def test_it_tags_embeds_and_is_evaluated(ast, recording, data, tmp_path):
    assert run("labels", "--model", ast).stdout.startswith("Speech")
    result = run("embed", recording, "--model", ast, "-o", tmp_path / "e.npz", "--device", "cpu")
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "e.npz") as file:
        assert any(file[name].shape[-1:] == (16,) for name in file.files)
    words = ("evaluate", ast, data, "--resamples", 0, "--split", "train")
    result = run(*words, "--scores", tmp_path / "s.npz", "--device", "cpu")
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "s.npz") as file:
        assert file["scores"].shape == (1, 527) and file["labels"][0] == "Speech"
    error = run(*words, "--fit-thresholds").output
    assert "is a classifier of transformers" in error and "--fit-thresholds" in error
    tagger = load_tagger(ast, device="cpu")
    assert len(tagger.tag(recording, top_k=3, threshold=0.0).tags) == 3


@pytest.mark.parametrize(
    "words",
    [
        ("finetune", "MODEL", "--data", "DATA", "--out", "OUT"),
        ("export", "MODEL", "OUT.onnx"),
        ("plot", "kernels", "MODEL", "OUT.png"),
        ("bench", "models", "MODEL"),
        ("tag", "a.wav", "--model", "MODEL", "--engine", "onnx"),
    ],
)
def test_what_it_cannot_do_is_said_with_what_it_can(words, ast, data, tmp_path):
    known = {"MODEL": str(ast), "DATA": str(data), "OUT": f"{tmp_path}/o"}
    result = run(*(known.get(x, x.replace("OUT", known["OUT"])) for x in words))
    said = "is a classifier of transformers: it can tag and embed, be evaluated, and teach"
    assert isinstance(result.exception, ModelError) and said in str(result.exception)
    assert not list(tmp_path.glob("*.onnx")) and not list(tmp_path.glob("*.png"))


def test_it_teaches_by_stored_scores_only(ast):
    with pytest.raises(RecipeError, match="teach by stored scores"):
        load_others([str(ast)], Labels.audioset(), torch.device("cpu"))


def changed(folder, file, **values):
    """Write other values into a JSON file of a folder; None leaves one out."""
    path = folder / file
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


HUB_CODE = {"auto_map": {"AutoConfig": "evil.Config", "AutoModelForAudioClassification": "evil.M"}}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"hidden_size": 32}, "another shape"),
        ({"hidden_size": 1_000_000}, "far larger than its weights have"),
        ({"num_hidden_layers": 3}, r"layers\.2\..* is missing"),
        ({"num_hidden_layers": 10**9}, "far larger than its weights have"),
        ({"num_attention_heads": 7}, "another shape"),
        ({"hidden_act": "none such"}, "check config.json"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantised"),
        ({"problem_type": "regression"}, "gives no scores of classes"),
        ({"id2label": {"0": "a\nb"}}, "a.nb"),
    ],
)
def test_a_config_that_does_not_fit_is_one_sentence(values, said, tmp_path):
    folder = save_classifier(tmp_path / "model", "audio-spectrogram-transformer")
    changed(folder, "config.json", **values)
    with pytest.raises(ModelError, match=said):
        open_engine(folder, "cpu")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"feature_extractor_type": "EvilExtractor"}, "not one of ASTFeatureExtractor"),
        ({"max_length": 10**9}, "max_length is"),
        ({"num_mel_bins": 10**6}, "num_mel_bins is"),
        ({"sampling_rate": "16000"}, "sampling_rate is"),
        ({"do_normalize": "yes"}, "do_normalize is"),
    ],
)
def test_a_front_end_out_of_range_is_one_sentence(values, said, tmp_path):
    folder = save_classifier(tmp_path / "model", "audio-spectrogram-transformer")
    changed(folder, "preprocessor_config.json", **values)
    with pytest.raises(ModelError, match=said):
        open_engine(folder, "cpu")


@pytest.mark.parametrize("file", ["preprocessor_config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"[1]", b"{" * 100_000])
def test_a_missing_or_damaged_file_is_named(file, content, tmp_path):
    folder = save_classifier(tmp_path / "model", "wav2vec2")
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    with pytest.raises(ModelError, match=file):
        open_engine(folder, "cpu")


def test_code_of_the_folder_is_never_run(tmp_path, waveforms, monkeypatch):
    folder = save_classifier(tmp_path / "model", "wav2vec2", "multi_label_classification")
    expected = Classifier.load(folder, "cpu").score_windows(waveforms)
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\nclass M: pass\n"
    (folder / "evil.py").write_text(trap)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "evil/adapter"}')
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    attention = {"_attn_implementation": "evil/kernel", "attn_implementation": "evil/kernel"}
    changed(folder, "config.json", **HUB_CODE, **attention, use_kernels=True)
    changed(folder, "preprocessor_config.json", auto_map={"AutoFeatureExtractor": "evil.Config"})
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    scores = open_engine(folder, "cpu").score_windows(waveforms)
    np.testing.assert_array_equal(scores, expected)
    assert not (tmp_path / "ran").exists()


def test_a_network_without_its_own_head_is_refused(tmp_path):
    """Its head would be random: as of a model that was only pretrained."""
    folder = save_classifier(tmp_path / "model", "wav2vec2")
    state = load_file(folder / "model.safetensors")
    kept = {key: x for key, x in state.items() if not key.startswith("classifier.")}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="classifier.bias is missing; classifier.weight is miss"):
        open_engine(folder, "cpu")
    changed(folder, "config.json", architectures=["Wav2Vec2ForPreTraining"])
    assert not is_classifier(folder)


def test_half_precision_files_are_computed_in_single(tmp_path, waveforms):
    folder = save_classifier(tmp_path / "model", "hubert")
    state = {k: x.half() for k, x in load_file(folder / "model.safetensors").items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    changed(folder, "config.json", dtype="float16", torch_dtype="float16")
    expected = pipeline_scores(folder, waveforms, dtype=torch.float32)
    found = Classifier.load(folder, "cpu").score_windows(waveforms)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_bfloat16_is_close(ast, waveforms):
    full, half = (open_engine(ast, "cpu", precision=x) for x in ("fp32", "bf16"))
    change = np.abs(full.score_windows(waveforms) - half.score_windows(waveforms)).max()
    assert 0 < change < 0.1


def test_labels_are_read_without_the_library(ast, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    assert read_labels(ast) == Labels.audioset()
