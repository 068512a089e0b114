"""Micro batches: clips are cropped and augmented, and teachers computed, in the background."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from audiotag.training.distill.teachers import Answer
from audiotag.training.run import LabelledClips, Run
from audiotag.training.sampling import epoch_order

SEED_STRIDE = 1_000_003  # prime, keeps the seeds of steps apart
MICRO_STRIDE = 7_368_787  # and of their micro batches
AHEAD = 2  # micro batches prepared ahead


@dataclass(frozen=True)
class MicroBatch:
    """The clips that go through the model at once.

    Attributes:
        clips: Numbers of the clips (B,).
        waveform: Augmented clips (B, T).
        targets: Their labels (B, classes); zeros if only a teacher is learnt.
        answer: The outputs of teachers for them, or None.
        features: Log-mel maps (B, 1, mels, frames) of the teacher's front end, if the student's is
            the same.
        is_blockwise: Whether each layer takes the teacher's map of the layer before.
        generator: Generator for further random numbers.
        seed: Seed of the model's random numbers.
        fraction: Its fraction of the step's clips.
    """

    clips: Tensor
    waveform: Tensor
    targets: Tensor
    answer: Answer | None
    features: Tensor | None
    is_blockwise: bool
    generator: torch.Generator
    seed: int
    fraction: float


@dataclass(frozen=True)
class Draw:
    """The clips of a micro batch.

    Attributes:
        step: The step of the run that it is part of.
        number: Which of the step's micro batches it is.
        clips: Numbers of its clips (B,).
    """

    step: int
    number: int
    clips: Tensor


def prepared(run: Run, epoch: int, step: int) -> Iterator[MicroBatch]:
    """This process's micro batches of an epoch, from a step on, prepared in the background."""
    with ThreadPoolExecutor(1) as pool:
        pending: deque[Future[MicroBatch]] = deque()
        for draw in draws(run, epoch, step):
            pending.append(pool.submit(prepare, run, draw))
            if len(pending) > AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def draws(run: Run, epoch: int, step: int) -> Iterator[Draw]:
    """The clips of this process's micro batches of an epoch, from a step of the run on."""
    schedule = run.schedule
    count = schedule.steps_per_epoch * schedule.batch_size
    order = epoch_order(len(run.training), count, run.weights, run.recipe.train.seed, epoch)
    first = epoch * schedule.steps_per_epoch
    batches = order.split(schedule.batch_size)
    for i in range(step - first, len(batches)):
        for number, clips in enumerate(batches[i].split(schedule.micro_size)):
            if number % schedule.processes == schedule.rank:
                yield Draw(first + i, number, clips)


def prepare(run: Run, draw: Draw) -> MicroBatch:
    """Augment the clips on the device, and compute the teachers' outputs for them."""
    seed = _seed(run, draw.step) + draw.number * MICRO_STRIDE
    generator = torch.Generator().manual_seed(seed)
    waveform, targets = _augmented(run, draw, generator)
    answer = features = None
    if run.training.scores is not None:
        targets, scores = targets.chunk(2, dim=1)
        answer = Answer(scores)
    elif run.teachers is not None:
        heard = run.teachers.features(waveform)
        answer = run.teachers.answer(waveform, heard)
        features = heard if run.teachers.shares_front_end else None
    return MicroBatch(
        clips=draw.clips,
        waveform=waveform,
        targets=targets,
        answer=answer,
        features=features,
        is_blockwise=draw.step < run.schedule.blockwise_steps,
        generator=generator,
        seed=seed,
        fraction=len(draw.clips) / run.schedule.batch_size,
    )


def _augmented(run: Run, draw: Draw, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Waveforms (B, T) and targets, see `_targets`, of clips, cropped and augmented."""
    clips, seconds = draw.clips, _crop_seconds(run, draw.step)
    speeds = run.augmentations.speed.draw(len(clips), generator)
    waveform = run.training.clips.crops(clips, seconds, generator, speeds)
    targets = _targets(run.training, clips, len(run.student.tagger.labels))
    targets = targets.to(run.device, non_blocking=True)
    for augmentation in run.augmentations.waveform:
        waveform, targets = augmentation(waveform, targets, generator)
    return waveform, targets


def _targets(training: LabelledClips, clips: Tensor, classes: int) -> Tensor:
    """Labels (B, classes) of clips (B,), zeros if there are none. If scores are stored, they are
    appended, (B, 2 classes), so that augmentations mix them as they mix labels."""
    if training.targets is None:
        labels = torch.zeros(len(clips), classes)
    else:
        labels = torch.from_numpy(training.targets.rows(clips.numpy()))
    return labels if training.scores is None else torch.cat([labels, training.scores[clips]], dim=1)


def _crop_seconds(run: Run, step: int) -> float:
    """Length of the clips of a step."""
    generator = torch.Generator().manual_seed(_seed(run, step))
    lengths = run.recipe.data.crop_seconds
    return lengths[int(torch.randint(len(lengths), (), generator=generator))]


def _seed(run: Run, step: int) -> int:
    return run.recipe.train.seed + step * SEED_STRIDE
