"""The plan of a preparation: its source and settings, stored with its parts."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from audiotag.data.encoding import FLAC
from audiotag.data.info import read_info
from audiotag.data.prepare.clips import VALID_PERCENT
from audiotag.data.prepare.parts import PARTS_FOLDER
from audiotag.data.shards import DATASET_FILE, REMEDY, SHARDS_FOLDER, SOURCE_FILES
from audiotag.errors import DataError
from audiotag.runtime.files import make_folder, replaced
from audiotag.runtime.json_text import parse_json
from audiotag.runtime.lock import locked

PLAN_FILE = "settings.json"
# Settings of data sets that are older than these settings.
FORMER = {"encoding": FLAC, "valid_percent": VALID_PERCENT}
SOURCE = ("recordings", "fingerprint")  # not shown to users: one sentence stands for both


@dataclass(frozen=True)
class PreparationPlan:
    """Everything that the bytes of a data set depend on.

    Attributes:
        sample_rate: Hz.
        clip_seconds: Largest length of a clip.
        encoding: Encoding of the clips in the shards.
        shard_bytes: A shard ends with the clip that reaches this size.
        limit: Number of recordings of the source to use; all if None.
        keep_silence: Whether silent clips are kept.
        keep_duplicates: Whether clips with the same samples as another are kept.
        valid_percent: Share of the groups of recordings without a split that is for validation.
        num_shards: Number of shares that the source is divided into.
        source: Name of the kind of source.
        recordings: Number of recordings of the source.
        fingerprint: Fingerprint of the source.
        labels: The label set; if None, the labels that the clips have.
    """

    sample_rate: int
    clip_seconds: float
    encoding: str
    shard_bytes: int
    limit: int | None
    keep_silence: bool
    keep_duplicates: bool
    valid_percent: int
    num_shards: int
    source: str
    recordings: int
    fingerprint: str
    labels: tuple[str, ...] | None

    @property
    def settings(self) -> dict:
        """All settings except the labels, which have a file of their own."""
        return {name: value for name, value in asdict(self).items() if name != "labels"}


def read_plan(out: Path) -> PreparationPlan | None:
    """The plan of a folder that is being prepared; None if there is none.

    Raises:
        DataError: If it is damaged.
    """
    path = out / PARTS_FOLDER / PLAN_FILE
    try:
        values = FORMER | parse_json(path.read_text(encoding="utf-8"))
        labels = values.pop("labels")
        return PreparationPlan(**values, labels=None if labels is None else tuple(labels))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path} cannot be read ({error}); remove {out} to start anew") from error


def is_finished(out: Path, plan: PreparationPlan) -> bool:
    """Whether the folder holds the finished data set of a plan.

    Raises:
        DataError: If it holds the data set of another plan, or something else.
    """
    if (out / DATASET_FILE).exists():
        _compare(out, FORMER | read_info(out).settings, plan.settings, "holds a data set")
        return True
    started = read_plan(out)
    if started is not None:
        _compare(out, started.settings, plan.settings, "was started")
        if started.labels != plan.labels:
            raise DataError(f"{out} was started with other labels; choose another folder")
    elif out.exists() and set(os.listdir(out)) - {PARTS_FOLDER, SHARDS_FOLDER, SOURCE_FILES}:
        raise DataError(f"{out} exists and is not a prepared data set; choose another folder")
    return False


def begin(out: Path, plan: PreparationPlan) -> None:
    """Make the folder, and write the plan first.

    Raises:
        OutputError: If it cannot be written.
    """
    make_folder(out / PARTS_FOLDER, REMEDY)
    path = out / PARTS_FOLDER / PLAN_FILE
    if not path.exists():
        text = json.dumps(asdict(plan), indent=1, ensure_ascii=False) + "\n"
        with replaced(path, REMEDY) as file:  # other processes may be writing the same file
            file.write(text.encode())
    make_folder(out / SHARDS_FOLDER, REMEDY)


@contextmanager
def claimed(out: Path, rank: int) -> Iterator[None]:
    """A context in which no other process prepares the same share; a kill releases it too.

    Raises:
        OutputError: If another process does, or the lock cannot be written.
    """
    path = out / PARTS_FOLDER / f"{rank:04d}.lock"
    held = f"{out}: another process prepares share {rank}; wait for it or end it"
    with locked(path, held, REMEDY):
        yield


def _compare(out: Path, old: dict, new: dict, what: str) -> None:
    names = [name for name in new if old.get(name) != new[name]]
    if not names:
        return
    changes = [f"{name} {old.get(name)}, now {new[name]}" for name in names if name not in SOURCE]
    changes += ["other recordings, labels or splits"] * ("fingerprint" in names)
    raise DataError(
        f"{out} {what} with other settings ({'; '.join(changes)}); "
        "use those, choose another folder, or remove this one"
    )
