"""Fit the default's thresholds on the corpus, and print how far its scores can be believed.

    python recipes/default/calibrate.py RUN DATA TEACHER...

A tag counts as there where the teacher scores it 0.5 or more; of several, the mean of their logits
is what the teacher says. Thresholds maximise F1 on training clips, within `BOUNDS`: a class that
the corpus hardly has would get any. What pure noise is scored is no tag either: only the names of
noise itself keep thresholds below that. They are written into RUN, and what they come to on the
development clips into its calibration.json. The table is of these clips: how often the teacher
agrees, by the student's score.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from audiotag.data.dataset import ClipDataset
from audiotag.data.loading.clips import open_clips
from audiotag.evaluation.metrics import mean_average_precision
from audiotag.evaluation.scoring import Scores
from audiotag.evaluation.thresholds import f1_scores, fit_thresholds
from audiotag.models.config import store_thresholds
from audiotag.models.model import Model
from audiotag.runtime.allocator import keep_freed_memory
from audiotag.runtime.files import replaced
from audiotag.tagging.load import load_tagger
from audiotag.training.distill.teachers import OtherTeacher, load_others, mean_logits

CALIBRATION_FILE = "calibration.json"
SECONDS = 5.0  # of each clip; silence follows shorter ones
TRAINING_CLIPS = 6000  # drawn at random
BATCH = 32
POSITIVE_SCORE = 0.5
BOUNDS = 0.03, 0.3
NOISE_NAMES = ("Silence", "Noise", "White noise", "Pink noise", "Static")
NOISE_SLOPES = (0.0, 1.0, 2.0)  # of the spectrum of the power: white, pink, brown
NOISE_LEVELS = (-60.0, -50.0, -40.0, -30.0, -20.0, -10.0)  # RMS, dB
NOISE_SECONDS = 10.0
NOISE_MARGIN = 1.1  # of a threshold over a score of noise
BINS = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])


def compare(
    student: Model,
    teacher: Model,
    others: Sequence[OtherTeacher],
    data: Path,
    split: str,
    most: int | None,
) -> Scores:
    """The student's scores of clips of a split, and what the teachers hear in them."""
    dataset = ClipDataset(data, split)
    clips = open_clips(dataset, torch.device("cpu"))
    chosen = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[:most]
    values, targets = [], []
    with torch.no_grad():  # clips that are read as wanted are filled in threads
        for batch in chosen.split(BATCH):
            waveform = clips.heads(batch, SECONDS)
            values.append(student(waveform).double().sigmoid())
            heard = mean_logits(teacher(waveform), waveform, teacher.sample_rate, others)
            targets.append(heard.sigmoid() >= POSITIVE_SCORE)
    return Scores(
        model=student.name,
        data=data.name,
        split=split,
        fold=None,
        labels=student.labels,
        keys=tuple(str(key) for key in dataset.keys[chosen.numpy()]),
        targets=torch.cat(targets).numpy(),
        values=torch.cat(values).numpy(),
    )


def noise_scores(student: Model) -> np.ndarray:
    """The highest score of each class for any noise, (classes,)."""
    count = round(NOISE_SECONDS * student.sample_rate)
    spectrum = torch.fft.rfft(torch.randn(count, generator=torch.Generator().manual_seed(0)))
    frequencies = torch.arange(len(spectrum)).clamp(min=1)
    noises = []
    for slope in NOISE_SLOPES:
        noise = torch.fft.irfft(spectrum * frequencies ** (-slope / 2), n=count)
        noises += [noise / noise.square().mean().sqrt() * 10 ** (x / 20) for x in NOISE_LEVELS]
    with torch.inference_mode():
        return student(torch.stack(noises)).double().sigmoid().amax(0).numpy()


def print_reliability(scores: Scores) -> None:
    """How often the teacher hears what the student scores within each bin."""
    bins = np.digitize(scores.values, BINS[1:-1])
    print(f"{'score':>11} {'tags':>8} {'mean':>6} {'heard':>6}")
    for i in range(len(BINS) - 1):
        chosen = bins == i
        mean, heard = scores.values[chosen].mean(), scores.targets[chosen].mean()
        print(f"{BINS[i]:5.2f}-{BINS[i + 1]:.2f} {chosen.sum():8} {mean:6.3f} {heard:6.3f}")


def main() -> None:
    """Read the command line, fit and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("teachers", nargs="+", metavar="TEACHER")
    arguments = parser.parse_args()
    keep_freed_memory()
    first, *more = arguments.teachers
    student, teacher = (load_tagger(x, "cpu").eval() for x in (arguments.run, first))
    others = load_others(more, teacher.labels, torch.device("cpu"))
    training = compare(student, teacher, others, arguments.data, "train", TRAINING_CLIPS)
    fitted = fit_thresholds(training)
    is_noise = np.isin(student.labels.names, NOISE_NAMES)
    unheard = np.where(is_noise, 0.0, noise_scores(student) * NOISE_MARGIN)
    thresholds = np.maximum(fitted.values.clip(*BOUNDS), unheard).clip(max=1.0)
    store_thresholds(arguments.run, thresholds.tolist())
    scores = compare(student, teacher, others, arguments.data, "dev", None)
    print_reliability(scores)
    heard = scores.values >= thresholds
    right = (heard & scores.targets).sum()
    figures = {
        "clips": len(scores.keys),
        "map": mean_average_precision(scores.targets, scores.values),
        "tags": heard.sum(1).mean(),
        "teacher_tags": scores.targets.sum(1).mean(),
        "precision": right / heard.sum(),
        "recall": right / scores.targets.sum(),
        "f1": np.nanmean(f1_scores(scores.targets, scores.values, thresholds)),
    }
    text = json.dumps({name: round(float(value), 4) for name, value in figures.items()})
    with replaced(arguments.run / CALIBRATION_FILE) as file:
        file.write(f"{text}\n".encode())
    print(text)


if __name__ == "__main__":
    main()
