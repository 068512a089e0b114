"""The model card: describes a model to the people who find it on the Hub."""

import math
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from audiotag.errors import RecipeError
from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig, read_config
from audiotag.models.evaluation_record import Evaluation, Figure, read_evaluation
from audiotag.models.folder import DEFAULT_NAME, LIBRARY, METRICS_FILE, RECIPE_FILE
from audiotag.models.metrics_row import read_metrics
from audiotag.models.provenance import TrainedOn, read_trained_on
from audiotag.models.weights_file import count_parameters

TASK = "audio-classification"
PLACEHOLDER = "OWNER/NAME"  # stands for the Hub id until there is one
PAPER = "https://arxiv.org/abs/2309.13972"  # the Hub links cards that name it to the paper's page
PAPER_FRONT_END = "log_mel"  # of all models of the paper that is cited, 7x7 ones too
SHOWN_LABELS = 60
METRICS = {  # figures of an evaluation: their names on the Hub, and for readers
    "mAP": ("mAP", "mAP"),
    "AUC": ("roc_auc", "AUC"),
    "d_prime": ("d_prime", "d'"),
    "lwlrap": ("lwlrap", "lwlrap"),
    "accuracy": ("accuracy", "accuracy"),
}
DATA = "data"  # the id of a data set of whose name no letter can stand in one
LONGEST_ID = 96  # characters
# What means something to Markdown, HTML or a table: anywhere, or where a line begins.
MARKUP = re.compile(r"[\\`*\[\]<>|&~$#]|(?<!\w)_|_(?!\w)|^[-+=](?=[\s=-]|$)|(?<=^\d)[.)]")
UNBROKEN = "\N{FULLWIDTH VERTICAL LINE}"  # for a "|", which ends a table's cell even in code
USE = """\
```sh
audiotag pull {model}
audiotag tag --model {model} recording.wav
audiotag tag --model {model} --timeline recording.wav
audiotag tag --model {model} --format jsonl --output tags.jsonl recordings/
```

```python
import audiotag
tagger = audiotag.load_tagger("{model}")
for tag in tagger.tag("recording.wav").tags:
    print(f"{{tag.score:.2f}}  {{tag.label}}")
```"""
TIMM = """\
The backbone alone, without front end and labels, from log-mel maps (B, 1, {mels}, frames) to
logits (B, {classes}):

```python
import timm, audiotag.backbones
backbone = timm.create_model("hf-hub:{model}", pretrained=True)
```"""
NO_TIMM = """\
timm alone cannot build this backbone; `audiotag.load_tagger("{model}").backbone` is it."""
ONE_BY_ONE = "A score is a sigmoid between 0 and 1, one for each label on its own"
ONE_OF_ALL = "A score is part of a softmax: between 0 and 1, and those of all labels add up to 1"
LIMITS = """\
{scores}; {calibrated}, so pick a threshold on recordings like yours. A sound that no label names
still raises the scores of labels that sound alike. What the training data lacked, the model has not
learned."""
CALIBRATED = "it is calibrated on labelled clips, which yours may be unlike"
FITTED = " Thresholds fitted to each label are in `config.json`, and `audiotag tag` uses them."
FOLDED = """\
 The weights are folded, in half precision: for use, not for training on. The results are those of
the weights before that."""
NO_LICENCE = "The publisher has named none for these weights; ask before you use them."
CITATION = """\
```bibtex
@article{khalfaouihassani2023audio,
  title   = {Audio classification with Dilated Convolution with Learnable Spacings},
  author  = {Khalfaoui-Hassani, Ismail and Masquelier, Timoth{\\'e}e and Pellegrini, Thomas},
  journal = {arXiv preprint arXiv:2309.13972},
  year    = {2023}
}
```"""


def model_card(folder: Path | str, repo_id: str | None = None, license: str | None = None) -> str:
    """The text of a model folder's `README.md`, metadata first.

    Args:
        folder: A model folder or a run folder.
        repo_id: Hub id for the title and the examples.
        license: The Hub's name of the weights' licence.

    Raises:
        ModelError: If the folder does not hold a model, or a file of the run is damaged.
        RecipeError: If its recipe is damaged.
    """
    folder = Path(folder)
    config = _resolved(read_config(folder))
    parameters = count_parameters(folder, config)
    model = repo_id or PLACEHOLDER
    trained_on, evaluation = read_trained_on(folder), read_evaluation(folder)
    sections = {
        "Use": f"{USE.format(model=model)}\n\n{_timm(config, model)}",
        "Model": _model_table(config, parameters),
        "Labels": _labels(config.labels),
        "Data": "" if trained_on is None else _data(trained_on),
        "Results": _last_row(folder) if evaluation is None else _results(evaluation),
        "Training": _training(folder / RECIPE_FILE),
        "Limits": _limits(config),
        "Licence": NO_LICENCE if license is None else f"`{license}`, for the weights.",
        "Citation": CITATION if _is_of_the_paper(config) else "",
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items() if text)
    metadata = _metadata(config, model, trained_on, evaluation, license).to_yaml()
    return f"---\n{metadata}\n---\n\n{_head(config, model)}\n\n{body}\n"


def _resolved(config: ModelConfig) -> ModelConfig:
    """The config with all arguments of the front end, defaults too."""
    if {"sample_rate", "n_mels"} <= config.front_end_args.keys():  # as `Model.save` writes it
        return config
    from audiotag.features.front_ends import resolve_arguments  # seconds later, with torch

    arguments = resolve_arguments(config.front_end, config.front_end_args)
    return replace(config, front_end_args=arguments)


def _metadata(
    config: ModelConfig,
    model: str,
    trained_on: TrainedOn | None,
    evaluation: Evaluation | None,
    license: str | None,
) -> ModelCardData:
    tags = [LIBRARY, "audio", "audio-tagging", config.architecture]
    if _is_dcls(config):
        tags.append("dcls")
    results = [] if evaluation is None else list(_eval_results(evaluation))
    return ModelCardData(
        library_name=LIBRARY,
        pipeline_tag=TASK,
        tags=tags,
        license=license,
        datasets=None if trained_on is None else [dataset_id(trained_on.name)],
        metrics=[result.metric_type for result in results] or None,
        model_name=model,
        eval_results=results or None,
    )


def _eval_results(evaluation: Evaluation) -> Iterable[EvalResult]:
    """The figures in the form of the Hub's model-index."""
    for name, figure in _finite(evaluation.figures).items():
        kind, shown = METRICS[name]
        yield EvalResult(
            task_type=TASK,
            dataset_type=dataset_id(evaluation.data),
            dataset_name=_line(evaluation.data) or DATA,
            dataset_split=None if evaluation.split is None else _line(evaluation.split),
            dataset_args=_clips_of(evaluation),
            metric_type=kind,
            metric_name=shown,
            metric_value=round(figure.value, 4),
        )


def _clips_of(evaluation: Evaluation) -> dict[str, Any]:
    """How many clips figures are of, and their hashes as far as they are known."""
    clips = {"clips": evaluation.clips, "keys": evaluation.keys, "hash": evaluation.data_hash}
    return {name: value for name, value in clips.items() if value is not None}


def dataset_id(name: str) -> str:
    r"""A data set's name as the Hub takes it in a card's head.

    The Hub's rule is `(?:[\w-]+/)?[\w.-]+` in ASCII; an id of a repository, which it may link to,
    does not begin or end with a dot or a dash, nor has two of them in a row, and ends at 96
    characters. Letters lose their accents; a dash stands for what no id has.
    """
    plain = "".join(x for x in unicodedata.normalize("NFKD", name) if not unicodedata.combining(x))
    text = re.sub(r"[^A-Za-z0-9_.-]+", "-", plain)
    text = re.sub(r"([.-])[.-]+", r"\1", text).strip(".-")[:LONGEST_ID].strip(".-")
    return text.removesuffix(".git") or DATA


def _finite(figures: Mapping[str, Figure]) -> dict[str, Figure]:
    """The figures that are finite, and known to this version."""
    return {k: x for k, x in figures.items() if k in METRICS and math.isfinite(x.value)}


def _head(config: ModelConfig, model: str) -> str:
    kind = f"DCLS ([dilated convolution with learnable spacings]({PAPER})) "
    return (
        f"# {model}\n\nA {kind if _is_dcls(config) else ''}model that tags audio with "
        f"{len(config.labels)} labels, for [{LIBRARY}](https://huggingface.co/models?library={LIBRARY})."
    )


def _is_of_the_paper(config: ModelConfig) -> bool:
    return _is_dcls(config) or config.front_end == PAPER_FRONT_END


def _is_dcls(config: ModelConfig) -> bool:
    return "dcls" in config.architecture or config.dcls is not None


def _timm(config: ModelConfig, model: str) -> str:
    if not config.can_timm_build:
        return NO_TIMM.format(model=model)
    mels = config.front_end_args["n_mels"]
    return TIMM.format(model=model, mels=mels, classes=len(config.labels))


def _model_table(config: ModelConfig, parameters: int) -> str:
    rate = config.front_end_args["sample_rate"]
    length = "of any length" if config.window is None else f"in windows of {config.window:g} s"
    return _table(
        "property",
        {
            "Architecture": config.architecture,
            **({"Arguments": _arguments(config.model_args)} if config.model_args else {}),
            **({"DCLS": _arguments(config.dcls)} if config.dcls else {}),
            "Parameters": f"{parameters:,}",
            "Input": f"mono audio at {rate:,} Hz, {length}",
            "Front end": f"{config.front_end}: {_arguments(config.front_end_args)}",
            "Shortest clip": f"{config.min_duration:g} s; silence follows a shorter one up to it",
        },
    )


def _labels(labels: Labels) -> str:
    if labels == Labels.audioset():
        return f"AudioSet's {len(labels)} classes, in the order of its class index."
    text = ", ".join(map(_prose, labels.names[:SHOWN_LABELS]))
    more = len(labels) - SHOWN_LABELS
    return f"{text}, and {more} more in `config.json`." if more > 0 else f"{text}."


def _data(trained_on: TrainedOn) -> str:
    """How many clips the model was trained and validated on, and which."""
    rows = [
        (name, f"{part.clips:,}", f"{part.hours:.2f}", _code(part.keys))
        for name, part in (("training", trained_on.train), ("validation", trained_on.valid))
    ]
    table = _rows(("part", "clips", "hours", "clip hash"), rows)
    text = "Figures are comparable where they are of clips with the same hash of their names."
    return f"{_code(trained_on.name or DATA)}:\n\n{table}\n\n{text}"


def _results(evaluation: Evaluation) -> str:
    """The figures that `audiotag evaluate --save` has written."""
    part = "".join(
        f", {name} {_prose(str(value))}"
        for name, value in (("split", evaluation.split), ("fold", evaluation.fold))
        if value is not None
    )
    rows = [
        (METRICS[name][1], f"{x.value:.4f}", f"{x.low:.4f} to {x.high:.4f}")
        for name, x in _finite(evaluation.figures).items()
    ]
    if not evaluation.resamples:
        rows = [(name, value, "") for name, value, _ in rows]
    return (
        f"On {_code(evaluation.data or DATA)}{part}: {evaluation.clips:,} clips, clip hash "
        f"{_code(evaluation.keys)}{_origin_of(evaluation)}.\n\n"
        f"{_rows(('figure', 'value', '95 % interval'), rows)}\n\n"
        f"mAP and AUC are means over the {len(evaluation.classes)} of {evaluation.labels} labels "
        f"that have a clip{_by_bootstrap(evaluation)}.{_learnt(evaluation)}"
    )


def _origin_of(evaluation: Evaluation) -> str:
    """Hashes of the clips with their labels and of the weights, and the version that measured."""
    hashes = {
        "hash with labels": evaluation.data_hash,
        "weights' SHA-256": evaluation.weights_sha256,
    }
    said = [f", {name} {_code(value)}" for name, value in hashes.items() if value is not None]
    version = f"; by {LIBRARY} {evaluation.audiotag}" if evaluation.audiotag is not None else ""
    return "".join(said) + version


def _learnt(evaluation: Evaluation) -> str:
    if not evaluation.learnt:
        return ""
    learnt = f"{evaluation.learnt:,} of these clips"
    return f" The model was trained on {learnt}, so its figures are too good."


def _by_bootstrap(evaluation: Evaluation) -> str:
    if not evaluation.resamples:
        return ""
    return f"; intervals are by {evaluation.resamples:,} bootstrap resamples of the clips"


def _last_row(folder: Path) -> str:
    """The numbers in the last row of `metrics.jsonl`; empty without one."""
    rows = read_metrics(folder)
    if not rows:
        return ""
    numbers = {
        _prose(key): f"{value:.4g}" if isinstance(value, float) else f"{value}"
        for key, value in rows[-1].figures.items()
        if isinstance(value, int | float) and key != "time"
    }
    return f"The last row of `{METRICS_FILE}`:\n\n{_table('figure', numbers)}"


def _training(path: Path) -> str:
    """What the training of the weights started from; empty for a folder without a recipe."""
    if not path.is_file():
        return ""
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"recipe {path} is not TOML: {error}") from error
    return f"{_origin(recipe)} `{path.name}` holds every setting of the run."


def _origin(recipe: Mapping[str, Any]) -> str:
    """What a recipe starts from, and its teachers; the recipe may be of another version."""
    model, distill = _section(recipe, "model"), _section(recipe, "distill")
    start = "an image model's weights" if model.get("pretrained") else "random weights"
    for name in _names(model.get("init")):
        start = _code(_last_part(name))
        start += f", the model that {LIBRARY} ships" if name == DEFAULT_NAME else ""
    names = [*_names(distill.get("teacher")), *_names(distill.get("other_teachers"))]
    teachers = " and ".join(_code(_last_part(name)) for name in names)
    return f"Trained from {start}{f', taught by {teachers}' if teachers else ''}."


def _section(recipe: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = recipe.get(name)
    return section if isinstance(section, Mapping) else {}


def _names(value: Any) -> list[str]:
    """The names in a value: one, or a list of them."""
    values = value if isinstance(value, list) else [value]
    return [name for name in values if isinstance(name, str)]


def _last_part(model: str) -> str:
    """A Hub id unchanged; of a path on this machine only the last part."""
    return Path(model).name if model.startswith(("/", "~", ".")) or "\\" in model else model


def _limits(config: ModelConfig) -> str:
    text = LIMITS.format(
        scores=ONE_OF_ALL if config.softmax else ONE_BY_ONE,
        calibrated=CALIBRATED if config.calibration is not None else "it is not calibrated",
    )
    text += FITTED if config.thresholds is not None else ""
    return text + (FOLDED if config.folded else "")


def _arguments(values: Mapping[str, Any]) -> str:
    """Values by name, without those that are None."""
    return ", ".join(f"{key} {value}" for key, value in values.items() if value is not None)


def _prose(text: str) -> str:
    """Text that Markdown shows unchanged, anywhere in a line."""
    return MARKUP.sub(r"\\\g<0>", _line(text))


def _code(text: str) -> str:
    """Text in a code span; no character in it ends the span."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{_line(text).replace('|', UNBROKEN)}{space}{fence}"


def _line(text: str) -> str:
    """Text in one line; unprintable characters become escapes."""
    return "".join(x if x.isprintable() else ascii(x)[1:-1] for x in text)


def _table(name: str, rows: Mapping[str, str]) -> str:
    return _rows((name, "value"), rows.items())


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
