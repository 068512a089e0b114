"""The plan of a preparation: what is prepared and how, kept beside its parts."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from audiotag.data.encoding import FLAC
from audiotag.data.info import read_info
from audiotag.data.prepare.parts import PARTS_FOLDER
from audiotag.data.shards import DATASET_FILE, REMEDY, SHARDS_FOLDER
from audiotag.errors import DataError
from audiotag.runtime.files import explained, make_folder, replaced

PLAN_FILE = "settings.json"
FORMER = {"encoding": FLAC}  # of data sets from before there was a choice
SOURCE = ("recordings", "fingerprint")  # say nothing to a reader that one sentence does not


@dataclass(frozen=True)
class Plan:
    """What decides on the bytes of a data set.

    Attributes:
        sample_rate: Hz.
        clip_seconds: Of a clip at most.
        encoding: Of the clips in the shards.
        shard_bytes: A shard ends with the clip that reaches it.
        limit: Recordings taken into account, all if None.
        keep_silence: Whether silent clips are taken.
        keep_duplicates: Whether clips that are there already are taken.
        num_shards: Between how many processes the source is divided.
        source: Name of the kind of source.
        recordings: How many the source has.
        fingerprint: The source's.
        labels: The label set, None if it is what the clips have.
    """

    sample_rate: int
    clip_seconds: float
    encoding: str
    shard_bytes: int
    limit: int | None
    keep_silence: bool
    keep_duplicates: bool
    num_shards: int
    source: str
    recordings: int
    fingerprint: str
    labels: tuple[str, ...] | None

    @property
    def settings(self) -> dict:
        """All but the labels, which have a file of their own."""
        return {name: value for name, value in asdict(self).items() if name != "labels"}


def read_plan(out: Path) -> Plan | None:
    """The plan of a folder that is being prepared; None if there is none.

    Raises:
        DataError: If it is damaged.
    """
    path = out / PARTS_FOLDER / PLAN_FILE
    try:
        values = FORMER | json.loads(path.read_text(encoding="utf-8"))
        labels = values.pop("labels")
        return Plan(**values, labels=None if labels is None else tuple(labels))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path} cannot be read ({error}); remove {out} to begin anew") from error


def is_finished(out: Path, plan: Plan) -> bool:
    """Whether the folder holds the finished data set of a plan.

    Raises:
        DataError: If it holds that of another plan, or something else.
    """
    if (out / DATASET_FILE).exists():
        _compare(out, FORMER | read_info(out).settings, plan.settings, "holds a data set")
        return True
    begun = read_plan(out)
    if begun is not None:
        _compare(out, begun.settings, plan.settings, "was begun")
        if begun.labels != plan.labels:
            raise DataError(f"{out} was begun with other labels; choose another folder")
    elif out.exists() and set(os.listdir(out)) - {PARTS_FOLDER, SHARDS_FOLDER}:
        raise DataError(f"{out} exists and is not a prepared data set; choose another folder")
    return False


def begin(out: Path, plan: Plan) -> None:
    """Make the folder, its plan first.

    Raises:
        OutputError: If it cannot be written.
    """
    make_folder(out / PARTS_FOLDER, REMEDY)
    path = out / PARTS_FOLDER / PLAN_FILE
    if not path.exists():
        text = json.dumps(asdict(plan), indent=1, ensure_ascii=False) + "\n"
        with replaced(path, REMEDY) as file:  # other processes may write the same just now
            file.write(text.encode())
    make_folder(out / SHARDS_FOLDER, REMEDY)


@contextmanager
def claimed(out: Path, rank: int) -> Iterator[None]:
    """Keep other processes from doing the same share; a killed one holds nothing back.

    Raises:
        DataError: If one is doing it.
        OutputError: If the lock cannot be written.
    """
    path = out / PARTS_FOLDER / f"{rank:04d}.lock"
    with explained(path, REMEDY):
        file = path.open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                f"{out}: another process prepares share {rank}; wait for it or end it"
            ) from error
        except OSError:
            pass  # a network's file system without locks: then it is the user's care
        yield


def _compare(out: Path, old: dict, new: dict, what: str) -> None:
    names = [name for name in new if old.get(name) != new[name]]
    if not names:
        return
    changes = [f"{name} {old.get(name)}, now {new[name]}" for name in names if name not in SOURCE]
    changes += ["other recordings, labels or splits"] * ("fingerprint" in names)
    raise DataError(
        f"{out} {what} with other settings ({'; '.join(changes)}); "
        "repeat them, choose another folder, or remove this one"
    )
