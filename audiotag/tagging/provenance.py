"""What an output was made with: so that a table can be explained a year later, and so that a run
is not resumed with another model or other options.

It is written to NAME.audiotag.json beside the output NAME, or to `_audiotag.json` in a folder of
results, so the outputs themselves keep their formats. A page of results has it at its end, too.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiotag.errors import DataError
from audiotag.models.engine import Configured
from audiotag.runtime.files import REMEDY, replaced
from audiotag.runtime.hashes import sha256_of
from audiotag.runtime.version import __version__

if TYPE_CHECKING:
    from audiotag.models.engine import Engine
    from audiotag.tagging.tag import TagOptions

SUFFIX = ".audiotag.json"
IN_FOLDER = "_audiotag.json"
# Keys that no result depends on: the model's name, and the folder that paths are relative to.
ABOUT = ("model", "folder")
IN_PASSING = ("batch_size", "workers", "spectrogram")  # options that no result depends on
SPOKEN = {
    "weights_sha256": "other weights",
    "classes_sha256": "other classes, thresholds or calibration",
}


@dataclass(frozen=True)
class Provenance:
    """Everything that results depend on, besides the recordings.

    Attributes:
        values: The values in the file; those of `ABOUT` are not compared.
    """

    values: dict[str, Any]

    @property
    def title(self) -> str:
        """A short text for people."""
        return f"Made with audiotag {self.values['audiotag']}, model {self.values['model']}"

    @property
    def folder(self) -> str | None:
        """The folder that paths are relative to, or whose tree an output folder mirrors."""
        return self.values.get("folder")

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(self.values, indent=1, ensure_ascii=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Provenance":
        """What `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: If the text is something else.
        """
        values = json.loads(text)
        return cls({"audiotag": values["audiotag"], "model": values["model"], **values})

    def changes(self, now: "Provenance") -> list[str]:
        """The differences that results depend on, such as "window 10.0, now 5.0"."""
        return list(_changes(self.values, now.values))

    def save(self, path: Path, remedy: str = REMEDY) -> None:
        """Write the file.

        Raises:
            OutputError: If it cannot be written.
        """
        with replaced(path, remedy) as file:
            file.write(self.to_json().encode())

    def check(self, now: "Provenance", output: Path, path: Path) -> None:
        """Refuse to add results to an output that was made with another model or options.

        Args:
            now: What the new results are made with.
            output: The output.
            path: The file that says what the output was made with.

        Raises:
            DataError: If they differ; names the differences and the remedies.
        """
        if changes := self.changes(now):
            raise DataError(
                f"{output} was made with {', '.join(changes)}; resume it as it was begun, choose "
                f"another --output, or remove {path} to mix them"
            )


def provenance_of(engine: "Engine", options: dict[str, Any], format: str) -> Provenance:
    """What an output of a model is made with.

    Args:
        engine: The model.
        options: The options that results depend on, by name.
        format: Name of the output's format.
    """
    weights = engine.weights
    return Provenance(
        {
            "audiotag": __version__,
            "model": engine.name,
            "weights": None if weights is None else weights.name,
            "weights_sha256": None if weights is None else sha256_of(weights),
            "classes_sha256": _sha256_of_classes(engine),
            "precision": engine.precision,
            "format": format,
            **options,
        }
    )


def settings_of(options: "TagOptions") -> dict[str, Any]:
    """The options of tagging that results depend on."""
    settings = asdict(options)
    for name in IN_PASSING:
        del settings[name]
    if not options.events:
        for name in ("events", "go_on", "bridged", "shortest"):
            del settings[name]
    settings |= {"window": options.length, "hop": options.step, "label": list(options.label)}
    return settings


def read_provenance(path: Path) -> Provenance | None:
    """Read what `Provenance.save` wrote; None if there is no such file.

    Raises:
        DataError: If the file holds something else.
    """
    try:
        return Provenance.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); remove it to resume without knowing what the output "
            "was made with"
        ) from error


def provenance_file(output: Path, is_folder: bool) -> Path:
    """The file that says what an output was made with."""
    return output / IN_FOLDER if is_folder else output.with_name(output.name + SUFFIX)


def _changes(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys([*old, *new]):
        if name not in ABOUT and old.get(name) != new.get(name):
            yield SPOKEN.get(name) or f"{name} {_said(old.get(name))}, now {_said(new.get(name))}"


def _said(value: Any) -> str:
    return "none" if value is None else str(value)


def _sha256_of_classes(engine: "Engine") -> str:
    thresholds = None if engine.thresholds is None else engine.thresholds.tolist()
    labels = [(label.name, label.mid) for label in engine.labels]
    calibration = engine.config.calibration if isinstance(engine, Configured) else None
    lines = None if calibration is None else calibration.to_json()
    values = (labels, thresholds, lines, engine.min_duration, engine.sample_rate)
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
