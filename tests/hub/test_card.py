"""The model card, read back by the Hub's own classes."""

import json
import re
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard
from huggingface_hub.utils import validate_repo_id

from audiotag.errors import RecipeError
from audiotag.hub.card import model_card
from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig
from audiotag.models.evaluation_record import ClassFigures, Evaluation, Figure
from audiotag.models.model import Model
from audiotag.models.provenance import Part, TrainedOn
from tests.support.hub_server import bad_ids

ARGUMENTS = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]}
NAN = float("nan")
KEYS = "0123456789abcdef"
FIGURES = {
    "mAP": Figure(0.87654, 0.8, 0.95),
    "AUC": Figure(0.9, 0.85, 0.93),
    "d_prime": Figure(1.8124, 1.5, 2.1),
    "lwlrap": Figure(NAN, NAN, NAN),
    "accuracy": Figure(0.75, 0.5, 1.0),
}
EVALUATION = Evaluation(
    model="model",
    data="garden",
    split="valid",
    fold=None,
    clips=1234,
    keys=KEYS,
    labels=2,
    resamples=1000,
    figures=FIGURES,
    classes=(ClassFigures("Wren", 600, Figure(0.8, 0.7, 0.9), Figure(NAN, NAN, NAN)),),
    confusion=None,
)

IDS = {  # names of folders of data, and ids that the Hub takes
    "garden": "garden",
    "my sounds": "my-sounds",
    "données": "donnees",
    "...": "data",
    ".hidden.": "hidden",
    "-a-": "a",
    "a--b": "a-b",
    "a..b": "a.b",
    "a -. b": "a-b",
    "": "data",
    "鳥の声": "data",
    "鳥 birds": "birds",
    "x" * 200: "x" * 96,
    "x" * 95 + ".y": "x" * 95,
    "sounds.git": "sounds",
    "123": "123",
    "null": "null",
    "1.0": "1.0",
    "a: b #c": "a-b-c",
    "`a`\nb": "a-b",
    "Ｆｕｌｌ": "Full",
}


@pytest.fixture
def garden(tmp_path):
    """A run folder with all that a run and its evaluation leave, for two labels."""
    config = ModelConfig("convnext_dcls_audio_atto", Labels(["Wren", "Robin"]), dict(ARGUMENTS))
    Model.create(config).save(tmp_path)
    TrainedOn("garden", Part(4321, 10.5, "f" * 16), Part(1234, 3.0, KEYS)).save(tmp_path)
    EVALUATION.save(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 9, "valid_map": 0.1, "time": 1.7e9}\n')
    (tmp_path / "recipe.toml").write_text('[model]\ninit = "/home/someone/runs/first"\n')
    return tmp_path


def change(folder, **values):
    """Save the model in a folder with another config."""
    tagger = Model.load(folder)
    tagger.config = replace(tagger.config, **values)
    tagger.save(folder)


def test_the_card_has_metadata_that_the_hub_reads(tiny_tagger, folder):
    card = ModelCard(model_card(folder, "me/birds"))
    assert card.data.library_name == "audiotag"
    assert card.data.pipeline_tag == "audio-classification"
    assert {"audiotag", "dcls", "convnext_dcls_audio_atto"} <= set(card.data.tags)
    parameters = sum({id(x): x.numel() for x in tiny_tagger.parameters()}.values())
    assert f"| Parameters | {parameters:,} |" in card.text
    assert "| mAP | 0.2346 |" in card.text and "| mAP | 0.1 |" not in card.text
    assert "AudioSet's 527 classes" in card.text and "arXiv:2309.13972" in card.text
    assert 'audiotag.load_tagger("me/birds")' in card.text
    assert card.data.eval_results is None and card.data.license is None
    assert "The publisher has named none for these weights" in card.text


def test_figures_are_in_the_model_index(garden):
    card = ModelCard(model_card(garden, "me/birds", "mit"))
    expected = [
        EvalResult(
            task_type="audio-classification",
            dataset_type="garden",
            dataset_name="garden",
            dataset_split="valid",
            dataset_args={"clips": 1234, "keys": KEYS},
            metric_type=kind,
            metric_name=name,
            metric_value=value,
        )
        for kind, name, value in (
            ("mAP", "mAP", 0.8765),
            ("roc_auc", "AUC", 0.9),
            ("d_prime", "d'", 1.8124),
            ("accuracy", "accuracy", 0.75),
        )
    ]
    assert card.data.eval_results == expected
    assert card.data.model_name == "me/birds" and card.data.license == "mit"
    assert card.data.datasets == ["garden"]
    assert card.data.metrics == ["mAP", "roc_auc", "d_prime", "accuracy"]


def test_figures_have_intervals_and_the_clips_they_hold_for(garden):
    text = model_card(garden, "me/birds")
    for row in (
        "| mAP | 0.8765 | 0.8000 to 0.9500 |",
        "| AUC | 0.9000 | 0.8500 to 0.9300 |",
        "| d' | 1.8124 | 1.5000 to 2.1000 |",
        f"| training | 4,321 | 10.50 | `{'f' * 16}` |",
        f"| validation | 1,234 | 3.00 | `{KEYS}` |",
    ):
        assert f"{row}\n" in text
    assert f"On `garden`, split valid: 1,234 clips, clip hash `{KEYS}`." in text
    assert "over the 1 of 2 labels that have a clip; intervals are by 1,000 bootstrap" in text
    assert "lwlrap" not in text and "nan" not in text.lower()
    assert "valid_map" not in text  # what the evaluation says better


def test_without_resamples_there_are_no_intervals(garden):
    bare = {name: replace(x, low=NAN, high=NAN) for name, x in FIGURES.items()}
    replace(EVALUATION, resamples=0, figures=bare).save(garden)
    text = model_card(garden)
    assert "| mAP | 0.8765 |" in text and "bootstrap" not in text and "nan" not in text.lower()


def test_without_an_evaluation_the_last_row_stands(garden):
    (garden / "evaluation.json").unlink()
    text = model_card(garden)
    assert "| valid_map | 0.1 |" in text and "| time |" not in text
    assert ModelCard(text).data.eval_results is None


def test_what_it_started_from_is_named_without_its_folder(garden):
    assert "Trained from `first`. `recipe.toml` holds" in model_card(garden)
    recipe = '[model]\ninit = "me/start@v1"\n[distill]\nteacher = "me/teacher"\n'
    (garden / "recipe.toml").write_text(recipe)
    assert "Trained from `me/start@v1`, taught by `me/teacher`." in model_card(garden)
    recipe = '[distill]\nteacher = "me/teacher"\nother_teachers = ["/home/someone/yamnet"]\n'
    (garden / "recipe.toml").write_text(recipe)
    assert "from random weights, taught by `me/teacher` and `yamnet`." in model_card(garden)
    (garden / "recipe.toml").write_text('[model]\ninit = "default"\n')
    assert "Trained from `default`, the model that audiotag ships." in model_card(garden)
    (garden / "recipe.toml").write_text("[model]\npretrained = true\n")
    assert "Trained from an image model's weights." in model_card(garden)
    (garden / "recipe.toml").write_text("no toml")
    with pytest.raises(RecipeError, match="is not TOML"):
        model_card(garden)


@pytest.mark.parametrize(
    ("values", "is_cited"),
    [
        ({"dcls": {"match_kernel": 5, "kernel_count": None}}, True),
        ({"front_end": "log_mel"}, True),
        ({}, False),
    ],
)
def test_the_paper_is_cited_where_its_method_or_front_end_is_used(tmp_path, values, is_cited):
    config = ModelConfig("mn04_as", Labels(["Wren"]), **({"front_end": "efficientat_mel"} | values))
    Model.create(config).save(tmp_path)
    text = model_card(tmp_path)
    assert ("## Citation" in text) == ("arXiv:2309.13972" in text) == is_cited
    assert "None" not in text and ("| DCLS | match_kernel 5" in text) == ("dcls" in values)


def test_scores_are_called_what_they_are(garden):
    assert "sigmoid" in model_card(garden) and "softmax" not in model_card(garden)
    change(garden, softmax=True, thresholds=(0.2, 0.3))
    text = model_card(garden)
    assert "softmax" in text and "sigmoid" not in text
    assert "Thresholds fitted to each label" in text


def test_examples_are_of_four_lines(garden):
    examples = re.findall(r"```(sh|python)\n(.*?)\n```", model_card(garden, "me/birds"), re.DOTALL)
    assert [kind for kind, _ in examples] == ["sh", "python", "python"]
    assert [len(text.splitlines()) for _, text in examples] == [4, 4, 2]
    assert all("me/birds" in text for _, text in examples)


def test_what_timm_cannot_build_is_not_said_to_load_there(tmp_path):
    config = ModelConfig("mobilenetv3_small_050", Labels(["a"]), dcls={"match_kernel": 3})
    Model.create(config).save(tmp_path)
    text = model_card(tmp_path, "me/birds")
    assert "timm.create_model" not in text
    assert '`audiotag.load_tagger("me/birds").backbone` is it.' in text
    assert "| DCLS | match_kernel 3 |" in text and "dcls" in ModelCard(text).data.tags


def test_the_card_lists_labels_of_ones_own(tmp_path):
    names = [f"bird {i}" for i in range(70)]
    config = ModelConfig("convnext_dcls_audio_atto", Labels(names), model_args=ARGUMENTS)
    Model.create(config).save(tmp_path)
    text = model_card(tmp_path)
    assert "bird 0, bird 1, " in text and "bird 59, and 10 more" in text
    for section in ("Results", "Training", "Data"):
        assert f"## {section}" not in text


@pytest.mark.parametrize("name", IDS)
def test_a_data_set_has_an_id_that_the_hub_takes_beside_its_name(garden, name):
    part = Part(1, 1.0, KEYS)
    TrainedOn(name, part, part).save(garden)
    replace(EVALUATION, data=name, split="été").save(garden)
    text = model_card(garden)
    card = ModelCard(text)
    assert card.data.datasets == [IDS[name]]
    (result,) = {(x.dataset_type, x.dataset_name) for x in card.data.eval_results}
    shown = {"": "data", "`a`\nb": "`a`\\nb"}.get(name, name)
    assert result == (IDS[name], shown)
    assert "`" in name or f"On `{shown}`, split été:" in text
    head = yaml.safe_load(text.split("---\n")[1])
    assert not list(bad_ids(text.split("---\n")[1]))
    validate_repo_id(f"me/{head['datasets'][0]}")  # which a card may link to


def test_the_rule_of_the_test_hub_is_the_hubs():
    for name, is_good in (
        ("sounds", True),
        ("me/sounds.v-1_2", True),
        ("my sounds", False),
        ("données", False),
        ("a/b/c", False),
        ("", False),
        (3, False),
    ):
        assert bool(list(bad_ids(yaml.safe_dump({"datasets": [name]})))) != is_good


def test_labels_and_names_are_text_in_a_card(tmp_path):
    names = [
        "# heading",
        "[a](http://x)",
        "<script>",
        "`code`",
        "a|b",
        "---",
        "*",
        "_x_",
        "snake_x",
    ]
    config = ModelConfig("convnext_dcls_audio_atto", Labels(names), model_args=ARGUMENTS)
    Model.create(config).save(tmp_path)
    evil = "x`](http://x)\n---\n# heading | y"
    part = {"clips": 1, "hours": 1.0, "keys": evil}
    about = {"name": evil, "train": part, "valid": part}
    (tmp_path / "data.json").write_text(json.dumps(about))
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"epoch": 1, evil: 2.0}) + "\n")
    recipe = f"[model]\ninit = {json.dumps(evil)}\n[distill]\nteacher = 3"
    (tmp_path / "recipe.toml").write_text(recipe)
    text = model_card(tmp_path)
    assert text.count("\n---\n") == 1 and "\n# heading" not in text
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["library_name"] == "audiotag" and head["datasets"] == ["x-http-x-heading-y"]
    shown = r"\# heading, \[a\](http://x), \<script\>, \`code\`, a\|b, \---, \*, \_x\_, snake_x."
    assert shown in text
