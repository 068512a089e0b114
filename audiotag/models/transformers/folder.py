"""The folder of a classifier of transformers, read without PyTorch: its kind, labels and scores."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audiotag.errors import ModelError
from audiotag.label_set import Label, Labels
from audiotag.models.checks import check_count
from audiotag.models.folder import CONFIG_FILE, LIBRARY, WEIGHTS_FILE, regular
from audiotag.runtime.json_text import parse_json, shown

EXTRACTOR_FILE = "preprocessor_config.json"  # what its front end is
FILES = (CONFIG_FILE, EXTRACTOR_FILE, WEIGHTS_FILE)
MAX_BYTES = 32_000_000  # of a JSON file
KIND = "model_type"
# The values of it that its AutoModelForAudioClassification knows.
KINDS = frozenset(
    {
        *("audio-spectrogram-transformer", "data2vec-audio", "hubert", "sew", "sew-d", "unispeech"),
        *("unispeech-sat", "wav2vec2", "wav2vec2-bert", "wav2vec2-conformer", "wavlm", "whisper"),
    }
)
CLASSIFIERS = ("ForAudioClassification", "ForSequenceClassification")  # how their classes end
MULTI, SINGLE = "multi_label_classification", "single_label_classification"
MOSTLY = 0.9  # of AudioSet's 527 names, by which a model of AudioSet is known: some are misspelt
# What can be done with one, for messages of what cannot.
USES = (
    "is a classifier of transformers: it can tag and embed, be evaluated, and teach by stored "
    "scores (audiotag evaluate MODEL DATA --scores FILE.npz)"
)


def is_classifier(folder: Path) -> bool:
    """Whether a folder holds an audio classifier that transformers knows."""
    return is_classifier_config(folder / CONFIG_FILE)


def is_classifier_config(path: Path) -> bool:
    """As `is_classifier`, of the `config.json`."""
    try:
        if regular(path).stat().st_size > MAX_BYTES:
            return False
        values = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(values, dict) or values.get("library_name") == LIBRARY:
        return False
    classes, kind = values.get("architectures"), values.get(KIND)
    is_trained = isinstance(classes, list) and any(str(x).endswith(CLASSIFIERS) for x in classes)
    return is_trained and isinstance(kind, str) and kind in KINDS


def read_values(path: Path) -> dict[str, Any]:
    """The values in a JSON file of the folder.

    Raises:
        ModelError: If it cannot be read, or is no table of values.
    """
    try:
        if regular(path).stat().st_size > MAX_BYTES:
            raise ModelError(f"{path} is larger than {MAX_BYTES:,} bytes, which no config is")
        values = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); copy or pull it again") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} is no table of names and values; copy or pull it again")
    return values


def labels_of(values: Mapping[str, Any]) -> Labels:
    """The classes in the values of a `config.json`, with machine ids where they are AudioSet's.

    Raises:
        ModelError: If they have no names, or the names are not numbered from 0 on.
    """
    named = values.get("id2label")
    if not isinstance(named, dict):
        raise ModelError(f"{CONFIG_FILE}: id2label is {shown(named)}, not a table of names")
    check_count(len(named))
    if {str(key) for key in named} != {str(i) for i in range(len(named))}:
        raise ModelError(f"{CONFIG_FILE}: id2label does not number its {len(named)} labels from 0")
    ordered = sorted(named.items(), key=lambda pair: int(pair[0]))
    names = [name if isinstance(name, str) else shown(name) for _, name in ordered]
    if not _are_audiosets(names):
        return Labels(names)
    mids = {label.name: label.mid for label in Labels.audioset()}
    return Labels(Label(name, mids.get(name)) for name in names)


def uses_softmax(values: Mapping[str, Any]) -> bool:
    """Whether the scores of a classifier add up to one, as its config says.

    Where that does not say its "problem_type", it gives each clip one label, as transformers
    assumes; except that AudioSet's 527 classes are scored each by itself, which is how every model
    of AudioSet was trained.

    Raises:
        ModelError: If its outputs are no scores of classes.
    """
    problem, names = values.get("problem_type"), labels_of(values).names
    if problem not in (None, MULTI, SINGLE):
        raise ModelError(
            f"{CONFIG_FILE}: problem_type is {shown(problem)}, which gives no scores of classes"
        )
    if len(names) == 1:
        return False  # a softmax would always say 1
    return problem == SINGLE or (problem is None and not _are_audiosets(names))


def _are_audiosets(names: list[str] | tuple[str, ...]) -> bool:
    known = set(Labels.audioset().names)
    return len(names) == len(known) and len(known.intersection(names)) >= MOSTLY * len(known)
