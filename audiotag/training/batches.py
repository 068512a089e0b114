"""Micro batches as they are learnt, prepared in the background."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from audiotag.data import augment
from audiotag.data.sampling import epoch_order
from audiotag.training.run import Run

SEED_STRIDE = 1_000_003  # prime, keeps the seeds of steps apart
MICRO_STRIDE = 7_368_787  # and of their micro batches
AHEAD = 2  # micro batches that are prepared while one is learnt


@dataclass(frozen=True)
class MicroBatch:
    """What goes through the model at once.

    Attributes:
        clips: Numbers of the clips (B,).
        waveform: Augmented clips (B, T).
        targets: Their labels (B, classes).
        taught: A teacher's scores for them (B, classes), softened, or nothing.
        embedding: Its embeddings of them (B, D), where these are learnt.
        maps: Its maps of the layers that are learnt, by name.
        heard: What it made of the waveform, (B, 1, mels, frames), where the student hears the same.
        is_blockwise: Whether these layers go on from them.
        generator: Source of further random numbers.
        seed: Of the model's random numbers.
        share: Of the step's clips that it has.
    """

    clips: Tensor
    waveform: Tensor
    targets: Tensor
    taught: Tensor | None
    embedding: Tensor | None
    maps: dict[str, Tensor]
    heard: Tensor | None
    is_blockwise: bool
    generator: torch.Generator
    seed: int
    share: float


@dataclass(frozen=True)
class Draw:
    """Which clips (B,) make a micro batch, and of which step it is which."""

    step: int
    number: int
    clips: Tensor


def prepared(run: Run, epoch: int, step: int) -> Iterator[MicroBatch]:
    """This process's micro batches of an epoch from a step on, while others are learnt."""
    with ThreadPoolExecutor(1) as pool:
        pending: deque[Future[MicroBatch]] = deque()
        for draw in draws(run, epoch, step):
            pending.append(pool.submit(prepare, run, draw))
            if len(pending) > AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def draws(run: Run, epoch: int, step: int) -> Iterator[Draw]:
    """What this process's micro batches of an epoch are made of, from a step of the run on."""
    count = run.steps_per_epoch * run.batch_size
    order = epoch_order(len(run.clips), count, run.weights, run.recipe.train.seed, epoch)
    first = epoch * run.steps_per_epoch
    batches = order.split(run.batch_size)
    for i in range(step - first, len(batches)):
        for number, clips in enumerate(batches[i].split(run.micro_size)):
            if number % run.processes == run.rank:
                yield Draw(first + i, number, clips)


def prepare(run: Run, draw: Draw) -> MicroBatch:
    """The clips as they are learnt at a step, on the device, with what the teacher says of them."""
    recipe, seed = run.recipe.augment, _seed(run, draw.step) + draw.number * MICRO_STRIDE
    clips, generator = draw.clips, torch.Generator().manual_seed(seed)
    speeds = augment.speeds(len(clips), recipe.speed_prob, recipe.speed, generator)
    waveform = run.clips.crops(clips, _crop_seconds(run, draw.step), generator, speeds)
    targets = run.rows(run.targets, clips)
    if run.stored is not None:  # of the clips, as the labels are, and mixed as they are
        targets = torch.cat([targets, run.stored[clips]], dim=1)
    targets = targets.to(run.device, non_blocking=True)
    if recipe.roll:
        waveform = augment.roll(waveform, generator)
    if recipe.mix_prob:
        mixing = recipe.mix_prob, recipe.mix_db, recipe.mix_clips
        waveform, targets = augment.mix(waveform, targets, *mixing, generator)
    if recipe.reverb_prob:
        room = recipe.reverb_prob, recipe.reverb_seconds, recipe.reverb_db, run.tagger.sample_rate
        waveform = augment.reverberate(waveform, *room, generator)
    if recipe.filter_prob:
        filtering = recipe.filter_prob, recipe.filter_db
        waveform = augment.equalise(waveform, *filtering, generator)
    if recipe.noise_prob:
        noise = recipe.noise_prob, recipe.noise_db, recipe.noise_slope
        waveform = augment.add_noise(waveform, *noise, generator)
    waveform = augment.gain(waveform, recipe.gain_db, generator)
    if recipe.quiet_prob:
        waveform = augment.soften(waveform, recipe.quiet_prob, recipe.quiet_db, generator)
    taught = embedding = heard = None
    maps: dict[str, Tensor] = {}
    if run.stored is not None:
        targets, taught = targets.chunk(2, dim=1)
    elif run.teacher is not None:
        heard = run.teacher.features(waveform)
        taught, embedding, maps = run.teacher_answer(waveform, heard)
    return MicroBatch(
        clips=clips,
        waveform=waveform,
        targets=targets,
        taught=taught,
        embedding=embedding,
        maps=maps,
        heard=heard if run.hears_alike else None,
        is_blockwise=draw.step < run.blockwise_steps,
        generator=generator,
        seed=seed,
        share=len(clips) / run.batch_size,
    )


def _crop_seconds(run: Run, step: int) -> float:
    """Length of the clips of a step."""
    generator = torch.Generator().manual_seed(_seed(run, step))
    lengths = run.recipe.data.crop_seconds
    return lengths[int(torch.randint(len(lengths), (), generator=generator))]


def _seed(run: Run, step: int) -> int:
    return run.recipe.train.seed + step * SEED_STRIDE
