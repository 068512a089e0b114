"""`audiotag labels`."""

import pytest
from click.testing import CliRunner, Result

from audiotag.cli import cli
from audiotag.label_set import Label, Labels
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def test_all_classes_in_order_with_what_is_above_them():
    lines = run("labels").stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == list(Labels.audioset().names)
    (bark,) = (line for line in lines if line.startswith("Bark "))
    assert bark.endswith("  Animal > Domestic animals, pets > Dog")
    (growling,) = (line for line in lines if line.startswith("Growling "))
    assert growling.count("; ") == 3 and "Cat; " in growling


def test_a_word_chooses_names_and_what_is_below_them():
    found = [line.split("  ")[0] for line in run("labels", "DOG").stdout.splitlines()]
    assert {"Dog", "Bark", "Whimper (dog)", "Canidae, dogs, wolves"} <= set(found)
    assert "Cat" not in found and len(found) < 15


def test_a_word_that_none_has_is_said():
    result = run("labels", "barck")
    assert result.exit_code == 1 and not result.stdout
    assert "no label has 'barck'" in result.stderr and "Bark" in result.stderr


@pytest.mark.parametrize("word", [(), ("kick",)])
def test_another_model_has_its_own(tmp_path, word):
    labels = Labels(["Kick", Label("Bark", "/m/05tny_")])
    Model.create(ModelConfig("mn04_as", labels)).save(tmp_path / "mine")
    lines = run("labels", *word, "--model", str(tmp_path / "mine")).stdout.splitlines()
    expected = ["Kick", "Bark  Animal > Domestic animals, pets > Dog"]
    assert lines == (expected[:1] if word else expected)
