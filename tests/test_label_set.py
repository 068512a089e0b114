"""Label sets and AudioSet's ontology."""

import pytest

from audiotag.errors import ModelError
from audiotag.label_set import Label, Labels, parents, paths_to


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


def test_what_is_above_a_class_is_known_as_far_as_the_set_has_it():
    labels = Labels.audioset()
    above = [labels[i].name for i in labels.above(labels.index("Bark"))]
    assert above == ["Animal", "Domestic animals, pets", "Dog"]
    few = Labels([Label("Bark", "/m/05tny_"), Label("Animal", "/m/0jbk"), "own"])
    assert few.above(0) == [1] and few.above(1) == [] and few.above(2) == []
    assert paths_to("/m/05tny_") == [("Animal", "Domestic animals, pets", "Dog")]
    assert [way[-1] for way in paths_to("/m/0ghcn6")] == [
        "Dog",
        "Cat",
        "Roaring cats (lions, tigers)",
        "Canidae, dogs, wolves",
    ]
    assert paths_to(None) == [] and paths_to("/m/0jbk") == []


def test_a_name_stands_for_all_that_is_below_it():
    labels = Labels.audioset()

    def names(*chosen):
        return [labels[i].name for i in labels.within(chosen)]

    assert names("dog") == names("/m/0bt9lr")
    assert names("Dog")[:3] == ["Dog", "Bark", "Yip"] and "Cat" not in names("Dog")
    assert names("Howl", "meow") == ["Howl", "Meow"]
    assert {"Speech", "Sneeze", "Clapping"} <= set(names("Human sounds"))  # itself no class
    own = Labels(["Kick", "Snare", Label("Bark", "/m/05tny_")])
    assert own.within(["snare", "Dog"]) == [1, 2]


@pytest.mark.parametrize(
    ("name", "near"),
    [("Barck", "'Bark'"), ("baby cry", "'Baby cry, infant cry'"), ("qqqq", "audiotag labels")],
)
def test_a_wrong_name_is_refused_with_what_may_be_meant(name, near):
    with pytest.raises(ValueError, match=f"no label '{name}'; .*{near}"):
        Labels.audioset().within(["Dog", name])
    with pytest.raises(ValueError, match="no label 'Music'"):
        Labels(["Kick"]).within(["Music"])
