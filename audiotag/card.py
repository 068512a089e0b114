"""The model card: a model folder described for the people who find it on the Hub."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from audiotag.labels import Labels
from audiotag.tagger import Tagger

LIBRARY = "audiotag"
PLACEHOLDER = "OWNER/NAME"  # stands for the Hub id until there is one
PAPER_FRONT_END = "log_mel"  # that of the paper cited and of all its models
SHOWN_LABELS = 60
RECIPE_FILE, METRICS_FILE = "recipe.toml", "metrics.jsonl"

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

ONE_BY_ONE = "A score is a sigmoid between 0 and 1, one for each label on its own"
ONE_OF_ALL = "Scores are a softmax: each is between 0 and 1, and those of all labels add up to 1"
LIMITS = """\
{scores}; it is not calibrated, so pick a threshold on recordings like yours. A sound that no label
names still raises the scores of labels that sound alike. What the training data lacked, the model
has not learned."""

CITATION = """\
```bibtex
@article{khalfaouihassani2023audio,
  title   = {Audio classification with Dilated Convolution with Learnable Spacings},
  author  = {Khalfaoui-Hassani, Ismail and Masquelier, Timoth{\\'e}e and Pellegrini, Thomas},
  journal = {arXiv preprint arXiv:2309.13972},
  year    = {2023}
}
```"""


def model_card(folder: Path | str, repo_id: str | None = None) -> str:
    """The text of a model folder's `README.md`, metadata first.

    Args:
        folder: A model folder or a run folder.
        repo_id: Hub id that title and examples name.

    Raises:
        ModelError: If the folder does not hold a tagger.
    """
    folder = Path(folder)
    tagger = Tagger.load(folder)
    model = repo_id or PLACEHOLDER
    sections = {
        "Use": USE.format(model=model),
        "Model": _model_table(tagger),
        "Labels": _labels(tagger.labels),
        "Results": _results(folder / METRICS_FILE),
        "Training": _training(folder / RECIPE_FILE),
        "Limits": LIMITS.format(scores=ONE_OF_ALL if tagger.config.softmax else ONE_BY_ONE),
        "Citation": CITATION if tagger.config.front_end == PAPER_FRONT_END else "",
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items() if text)
    return f"---\n{_metadata(tagger).to_yaml()}\n---\n\n{_head(tagger, model)}\n\n{body}\n"


def _metadata(tagger: Tagger) -> ModelCardData:
    tags = [LIBRARY, "audio", "audio-tagging", tagger.config.architecture]
    if _is_dcls(tagger):
        tags.append("dcls")
    return ModelCardData(library_name=LIBRARY, pipeline_tag="audio-classification", tags=tags)


def _head(tagger: Tagger, model: str) -> str:
    kind = "DCLS (dilated convolution with learnable spacings) " if _is_dcls(tagger) else ""
    return (
        f"# {model}\n\nA {kind}model that tags audio with {len(tagger.labels)} labels, "
        f"for [{LIBRARY}](https://huggingface.co/models?library={LIBRARY})."
    )


def _is_dcls(tagger: Tagger) -> bool:
    return "dcls" in tagger.config.architecture


def _model_table(tagger: Tagger) -> str:
    parameters = sum(parameter.numel() for parameter in tagger.backbone.parameters())
    config = tagger.config
    return _table(
        {
            "Architecture": config.architecture,
            **({"Arguments": _arguments(config.model_args)} if config.model_args else {}),
            "Parameters": f"{parameters:,}",
            "Input": f"mono audio at {tagger.sample_rate:,} Hz, of any length",
            "Front end": f"{config.front_end}: {_arguments(config.front_end_args)}",
            "Shortest clip": f"{config.min_duration:g} s; a shorter one is repeated up to it",
        }
    )


def _labels(labels: Labels) -> str:
    if labels == Labels.audioset():
        return f"AudioSet's {len(labels)} classes, in the order of its class index."
    text = ", ".join(labels.names[:SHOWN_LABELS])
    more = len(labels) - SHOWN_LABELS
    return f"{text}, and {more} more in `config.json`." if more > 0 else f"{text}."


def _results(path: Path) -> str:
    """The numbers of the last line of `metrics.jsonl`; nothing without one."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    if not lines:
        return ""
    numbers = {
        key: f"{value:.4g}" if isinstance(value, float) else f"{value}"
        for key, value in json.loads(lines[-1]).items()
        if isinstance(value, int | float)
    }
    return f"The last row of `{path.name}`:\n\n{_table(numbers)}"


def _training(path: Path) -> str:
    return f"`{path.name}` holds every setting of the run." if path.is_file() else ""


def _arguments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _table(rows: Mapping[str, str]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items())])
