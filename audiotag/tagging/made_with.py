"""What results were made with. It stands in their file, so that one found next year explains itself
and is never continued with something else."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from audiotag.errors import DataError
from audiotag.models.folder import WEIGHTS_FILE
from audiotag.models.weights_file import readable

CHANGEABLE = ("model",)  # a name alone: the same weights may lie elsewhere now


@dataclass(frozen=True)
class MadeWith:
    """What the values in a file depend on, besides the recordings.

    Attributes:
        audiotag: The version.
        model: How messages call the model.
        weights: SHA-256 of its file of weights, in hexadecimal digits.
        window: Length of a window in seconds.
        hop: Seconds from one window's start to the next.
        precision: What the model computed in, such as "fp32".
    """

    audiotag: str
    model: str
    weights: str
    window: float
    hop: float
    precision: str

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "MadeWith | None":
        """What `to_json` wrote; None if the text is something else."""
        try:
            values = json.loads(text)
            return cls(**{field.name: values[field.name] for field in fields(cls)})
        except (ValueError, TypeError, KeyError):
            return None

    def check_resumable(self, earlier: "MadeWith | None", output: Path) -> None:
        """Check that an output can be continued with this.

        Args:
            earlier: What is in it was made with this; None if it does not say.
            output: The output.

        Raises:
            DataError: If the values would not be alike.
        """
        if earlier is None:
            raise DataError(
                f"{output} does not say what it was made with, so it cannot be resumed; "
                "choose another --output"
            )
        if changes := _changes(asdict(earlier), asdict(self)):
            raise DataError(
                f"{output} was made with {'; '.join(changes)}; "
                "use the former, or choose another --output"
            )


def weights_hash(model: Path) -> str:
    """SHA-256, in hexadecimal digits, of the weights of a model folder or of an `.onnx` file.

    Raises:
        ModelError: If they cannot be read.
    """
    path = model / WEIGHTS_FILE if model.is_dir() else model
    with readable(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs, such as "window 10.0, now 5.0"."""
    names = [name for name in old if name not in CHANGEABLE and old[name] != new[name]]
    return [f"{name} {_short(old[name])}, now {_short(new[name])}" for name in names]


def _short(value: object) -> str:
    return f"{value[:12]}..." if isinstance(value, str) and len(value) > 20 else str(value)
