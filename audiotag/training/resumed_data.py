"""The clips that a run is resumed with, which must be those that it began with."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from audiotag.data.dataset import ClipDataset
from audiotag.data.shards import hash_keys, hash_sorted
from audiotag.errors import DataError
from audiotag.label_set import Labels
from audiotag.models.config import read_config
from audiotag.models.folder import CONFIG_FILE
from audiotag.models.provenance import Part, TrainedOn, read_trained_on


def described(clips: ClipDataset, part: dict[str, Any]) -> Part:
    """What a run folder says of the clips that `part`, arguments of `ClipDataset`, has chosen."""
    keys = clips.keys.tolist()
    sounds = (f"{key} {sound}" for key, sound in zip(keys, clips.sounds, strict=True))
    return Part(
        clips=len(clips),
        hours=float(clips.durations.sum()) / 3600,
        keys=hash_keys(keys),
        sounds=hash_keys(sounds),
        hash=hash_keys(clips.hashes),
        **part,
    )


def hash_labels(labels: Labels) -> str:
    """Hash of label names in their order."""
    return hash_sorted(labels.names)


def check_data(run: Path, data: Path, now: TrainedOn) -> TrainedOn:
    """Check the clips that a run is to be resumed with.

    A run that an older version began says less of its clips; what it says is compared.

    Args:
        run: Its folder.
        data: The data set.
        now: What the folder would say of the data set's clips.

    Returns:
        What the folder is to say: that of the beginning, which may name more clips than the recipe
        does, as those that a probe has learnt in the end.

    Raises:
        DataError: If they are not what the run began with; it names what differs.
    """
    former = read_trained_on(run)
    if former is None:
        return now
    train, valid = (
        _chosen_again(data, *parts)
        for parts in ((former.train, now.train), (former.valid, now.valid))
    )
    changes = [*_changes("training", former.train, train)]
    changes += _changes("validation", former.valid, valid)
    if _labels_of(run, former) not in (None, now.labels):
        changes.append("labels of other names or in another order")
    if changes:
        raise DataError(
            f"the run in {run} is resumed with the data that it began with, not with "
            f"{', '.join(changes)}; give the data set that it began with, or choose another --out"
        )
    return replace(now, name=former.name, train=train, valid=valid)


def _chosen_again(data: Path, former: Part, now: Part) -> Part:
    """The clips that a part named at the beginning, as the data set has them now."""
    choice = {x: getattr(former, x) for x in ("split", "fold", "without_fold", "share")}
    if all(getattr(now, name) == value for name, value in choice.items()):
        return now
    return described(ClipDataset(data, **choice), choice)


def _changes(name: str, former: Part, now: Part) -> Iterator[str]:
    """How the clips of a part differ from those of the beginning."""
    if former.keys != now.keys:
        yield f"other {name} clips ({now.clips:,}; it began with {former.clips:,})"
    elif former.sounds not in (None, now.sounds):
        yield f"{name} clips that sound otherwise under the same names"
    elif former.hash not in (None, now.hash):
        yield f"other labels of its {name} clips"


def _labels_of(run: Path, former: TrainedOn) -> str | None:
    """Hash of the labels that a run began to learn, as far as its folder says."""
    if former.labels is None and (run / CONFIG_FILE).is_file():
        return hash_labels(read_config(run).labels)
    return former.labels
