"""Queries, beside Python's own logic on the same expressions."""

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from audiotag.cli import cli
from audiotag.tagging.query import Query

NAMES = ("Rain", "Speech", "Guitar", "Toot", "My pump failing")


def expression(rng: random.Random, depth: int = 0) -> str:
    """A random expression, for both."""
    kind = rng.choice(("name", "NOT", "AND", "OR") if depth < 4 else ("name",))
    if kind == "name":
        return f'"{rng.choice(NAMES)}"'
    if kind == "NOT":
        return f"NOT {expression(rng, 4)}"
    parts = [expression(rng, depth + 1) for _ in range(rng.randint(2, 3))]
    return "(" + f" {kind} ".join(parts) + ")"


@pytest.mark.parametrize("seed", range(100))
def test_random_queries_are_those_of_pythons_logic(seed):
    rng = random.Random(seed)
    text = expression(rng)
    query = Query(text)
    code = text.replace("NOT", "not").replace("AND", "and").replace("OR", "or")
    for name in NAMES:
        code = code.replace(f'"{name}"', f"({name!r} in labels)")
    for _ in range(20):
        labels = {name for name in NAMES if rng.random() < 0.5}
        assert query.matches(labels) is eval(code, {"labels": labels}), (text, labels)


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("dog", {"Bark"}, True),  # below Dog
        ("Dog", {"Cat"}, False),
        ("baby cry", {"Baby cry, infant cry"}, True),  # by words
        ("Dishes, pots, and pans", {"Dishes, pots, and pans"}, True),
        ("dog AND NOT speech", {"Dog", "Male speech, man speaking"}, False),
        ("dog AND NOT speech", {"Dog", "Music"}, True),
        ("rain OR dog AND speech", {"Rain"}, True),  # AND binds more
        ("(rain OR dog) AND speech", {"Rain"}, False),
        ("NOT NOT rain", {"Rain"}, True),
        ("pump failing", {"My pump failing"}, True),  # a label of one's own
        ('"Rain"', {"Raindrop"}, True),  # below Rain
    ],
)
def test_names_and_operators(text, labels, expected):
    assert Query(text).matches(labels) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its end where the name of a label is expected"),
        ("dog AND", "its end where the name"),
        ("AND dog", "'AND' where the name"),
        ("(dog", "a bracket is not closed"),
        ("dog)", "'\\)' is not expected there"),
        ('"dog', "a quote is not closed"),
        ("(" * 100_000, "more than 1000 words|nested more than 50 times"),
        ("NOT " * 900 + "dog", "nested more than 50 times"),
        ("dog " * 2_000, "more than 1000 words"),
    ],
)
def test_what_is_no_query_is_refused_in_a_sentence(text, message):
    with pytest.raises(ValueError, match=message):
        Query(text)


@pytest.fixture
def results(tmp_path) -> Path:
    rows = [
        {"path": "a.wav", "tags": [
            {"label": "Bark", "score": 0.9}, {"label": "Speech", "score": 0.3},
        ]},
        {"path": "=b.wav", "tags": [], "events": [
            {"label": "Dog", "start": 1.0, "end": 2.5, "score": 0.6},
            {"label": "Rain", "start": 0.0, "end": 9.0, "score": 0.5},
        ]},
        {"path": "c.wav", "tags": [{"label": "Dog", "score": 0.1, "guess": True}]},
        {"path": "d.wav", "error": "cannot be decoded"},
    ]  # fmt: skip
    path = tmp_path / "tags.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def find(*arguments):
    return CliRunner().invoke(cli, ["find", *map(str, arguments)])


def test_recordings_and_sounds_are_printed(results):
    assert find("dog", results).output == (
        "0.900  Bark  a.wav\n0.600  Dog  0:01.0 to 0:02.5  =b.wav\n"
    )
    assert find("dog AND NOT speech", results).output == "0.600  Dog  0:01.0 to 0:02.5  =b.wav\n"
    named = find("dog", results, "--sort", "path").output.splitlines()
    assert [line.split()[-1] for line in named] == ["=b.wav", "a.wav"]
    quiet = find("dog AND NOT speech", results, "--min-score", 0.4, "--sort", "score")
    assert [line.split()[-1] for line in quiet.output.splitlines()] == ["a.wav", "=b.wav"]


def test_files_counts_and_formats(results):
    assert find("dog", results, "--count").output == "2 recordings, 2 sounds\n"
    assert find("NOT dog", results, "--files").output == "c.wav\n"  # a guess does not count
    lines = find("rain OR dog", results, "--format", "csv").output.splitlines()
    assert lines[0] == "path,start,end,label,score"
    assert lines[2:] == ["./=b.wav,1.0,2.5,Dog,0.6", "./=b.wav,0.0,9.0,Rain,0.5"]
    records = find("rain", results, "--format", "jsonl").output.splitlines()
    assert json.loads(records[0])["events"] == [
        {"label": "Rain", "start": 0.0, "end": 9.0, "score": 0.5}
    ]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize("order", [(), ("--sort", "score"), ("--sort", "path")])
def test_what_is_found_is_searched_again_as_before(results, tmp_path, form, order):
    again = tmp_path / f"found.{form}"
    again.write_text(find("dog OR speech OR rain", results, "--format", form, *order).output)
    for query in ("dog", "dog AND speech", "dog AND NOT speech", "dog AND rain", "speech"):
        for how in ("--count", "--files"):
            expected = [
                line.removeprefix("./")
                for line in sorted(find(query, results, how).output.splitlines())
            ]
            found = sorted(find(query, again, how).output.splitlines())
            assert [line.removeprefix("./") for line in found] == expected, query


@pytest.mark.parametrize("order", [(), ("--sort", "score"), ("--sort", "path")])
def test_a_recording_counts_once_in_any_order(results, order):
    query = "dog OR speech OR rain"
    assert find(query, results, "--count", *order).output == "2 recordings, 4 sounds\n"
    assert len(find(query, results, "--files", *order).output.splitlines()) == 2


def test_a_label_below_the_least_score_is_not_unknown(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text('{"path": "a.wav", "tags": [{"label": "Blorp", "score": 0.2}]}\n')
    result = find("blorp", path, "--min-score", 0.9)
    assert result.exit_code == 1 and result.output == ""


def test_unknown_names_are_answered_with_near_ones(results):
    result = find("dgo", results)
    assert result.exit_code == 1 and "no label has 'dgo'; near: Dog" in result.output
