"""The summary of a measurement: its figures with intervals, and the clips they were measured on."""

from collections.abc import Iterator
from dataclasses import astuple
from statistics import median

import numpy as np

from audiotag.data.shards import hash_keys
from audiotag.evaluation.bootstrap import Statistic
from audiotag.evaluation.measurement import Measurement
from audiotag.evaluation.metrics import confusion_matrix, d_prime
from audiotag.models.evaluation_record import ClassFigures, Confusion, Evaluation, Figure
from audiotag.runtime.version import __version__


def summarise(measurement: Measurement) -> Evaluation:
    """The figures of a measurement, without the scores and resamples behind them."""
    scores = measurement.scores
    return Evaluation(
        model=scores.model,
        data=scores.data,
        split=scores.split,
        fold=scores.fold,
        clips=len(scores.keys),
        keys=hash_keys(scores.keys),
        labels=len(scores.labels),
        resamples=len(measurement.figures["mAP"].draws),
        figures=dict(_named_figures(measurement)),
        classes=tuple(_classes(measurement)),
        confusion=tuple(_confusions(measurement)) if scores.is_single else None,
        learnt=scores.learnt,
        data_hash=scores.data_hash,
        weights_sha256=scores.weights_sha256,
        audiotag=__version__,
        heard_seconds=median(x.seconds for x in scores.about) if scores.about else None,
        shortest_crop=scores.crops[0] if scores.crops else None,
        longest_crop=scores.crops[1] if scores.crops else None,
    )


def _named_figures(measurement: Measurement) -> Iterator[tuple[str, Figure]]:
    for name, statistic in measurement.figures.items():
        (figure,) = _figures(statistic)
        yield name, figure
        if name == "AUC":
            yield "d_prime", Figure(*map(d_prime, astuple(figure)))


def _figures(statistic: Statistic) -> Iterator[Figure]:
    """Figures, with the ends of their intervals limited to [0, 1]."""
    ends = (np.clip(x, 0, 1) for x in statistic.interval())
    for row in zip(*(np.atleast_1d(x) for x in (statistic.value, *ends)), strict=True):
        yield Figure(*(float(x) for x in row))


def _classes(measurement: Measurement) -> Iterator[ClassFigures]:
    names, counts = measurement.scores.labels.names, measurement.scores.targets.sum(0)
    precision, auc = map(_figures, (measurement.average_precision, measurement.auc))
    for i, p, a in zip(measurement.present.tolist(), precision, auc, strict=True):
        yield ClassFigures(names[i], int(counts[i]), p, a)


def _confusions(measurement: Measurement) -> Iterator[Confusion]:
    names = measurement.scores.labels.names
    counts = confusion_matrix(measurement.scores.targets, measurement.scores.values)
    for label, heard in np.argwhere(counts).tolist():
        yield Confusion(names[label], names[heard], int(counts[label, heard]))
