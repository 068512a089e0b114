"""Label sets and AudioSet's ontology."""

import pytest

from audiotag.errors import ModelError
from audiotag.label_set import Label, Labels, parents


def test_audioset_has_its_527_classes_in_order():
    labels = Labels.audioset()
    assert len(labels) == 527
    assert labels[0] == Label("Speech", "/m/09x0r")
    assert labels[137] == Label("Music", "/m/04rlf")
    assert labels[526] == Label("Field recording", "/m/07hvw1")
    assert labels.index("Dog") == 74


def test_parents_come_from_the_ontology():
    assert [p.name for p in parents("/m/0bt9lr")] == ["Domestic animals, pets"]
    assert {p.mid for p in parents("/t/dd00135")} == {"/m/07p6fty", "/t/dd00012"}
    assert parents("/m/0dgw9r") == ()
    with pytest.raises(KeyError):
        parents("/m/nothing")


def test_names_must_differ():
    with pytest.raises(ModelError, match="'b' occurs twice"):
        Labels(["a", "b", "b"])


def test_own_labels():
    labels = Labels(["cat", Label("dog", "/m/0bt9lr")])
    assert labels.names == ("cat", "dog")
    assert labels == Labels(labels)
    assert labels != Labels(["dog", "cat"])
    with pytest.raises(KeyError):
        labels.index("horse")
