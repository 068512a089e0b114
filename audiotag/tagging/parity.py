"""Whether a published model is what its authors published: its file, and the scores it gives here.

The scores of the package's sample clips are stored for models whose own code they were compared
with (`assets/parity.json`). Of others the file's checksum is looked at, where one is stated.
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from audiotag.errors import ModelError
from audiotag.hub.published import published_folder
from audiotag.models.engine import Engine
from audiotag.models.published.names import GITHUB, MODELS, PublishedModel
from audiotag.tagging.open import open_engine
from audiotag.tagging.tag import TagOptions, tag_file

PARITY_FILE, SAMPLES = "parity.json", "samples"  # in assets
TOLERANCE = 1e-3  # of a score; engines and processors differ by far less


@dataclass(frozen=True)
class Verification:
    """What was compared of a published model.

    Attributes:
        model: What is known of it.
        folder: Its model folder.
        is_file_checked: Whether its file was compared with a stated checksum; nobody states one of
            some.
        clips: Sample clips whose scores were compared with stored ones.
        difference: Largest difference of a score; None where none are stored.
    """

    model: PublishedModel
    folder: Path
    is_file_checked: bool
    clips: int = 0
    difference: float | None = None


def verify(name: str, token: str | None = None) -> Verification:
    """Compare a published model with what is known of it; it is downloaded if it is not there, and
    again if its file differs.

    Args:
        name: A key of `MODELS`.
        token: As for `published_folder`.

    Raises:
        HubError: If its file cannot be had, or differs from its checksum.
        ModelError: If it scores a sample clip otherwise than stored.
    """
    model = MODELS[name]
    has_checksum = model.host != GITHUB or model.checksum is not None
    folder = published_folder(model, verify=has_checksum, token=token)
    stored = stored_scores().get(name)
    if stored is None:
        return Verification(model, folder, has_checksum)
    difference = compare(open_engine(folder, "cpu", name=name), stored)
    return Verification(model, folder, has_checksum, len(stored), difference)


def stored_scores() -> dict[str, dict[str, dict[str, float]]]:
    """By model and sample clip: scores of labels."""
    return json.loads((_assets() / PARITY_FILE).read_text(encoding="utf-8"))


def compare(engine: Engine, stored: dict[str, dict[str, float]]) -> float:
    """Largest difference of an engine's scores of the sample clips from stored ones.

    Raises:
        ModelError: If it is larger than `TOLERANCE`; names the clip and the label.
    """
    largest = 0.0
    for clip, expected in stored.items():
        tags = tag_file(engine, _assets() / SAMPLES / clip, TagOptions(0, 0.0)).tags
        scores = {tag.label: tag.score for tag in tags}
        for label, score in expected.items():
            difference = abs(scores.get(label, 0.0) - score)
            if not difference <= TOLERANCE:
                raise ModelError(
                    f"{engine.name} is not what was published: it scores {label!r} in {clip} with "
                    f"{scores.get(label, 0.0):.4f}, not {score:.4f}; get it again: audiotag models "
                    f"--remove {engine.name}"
                )
            largest = max(largest, difference)
    return largest


def _assets() -> Path:
    return Path(str(files("audiotag"))) / "assets"
