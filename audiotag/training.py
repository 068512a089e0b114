"""The training loop: resumable, on one process or many, from labels or from a teacher's scores.

A step's batch is made of micro batches. Each draws all its randomness from a seed made of the
recipe's seed, the step's number and its own, so that a resumed run repeats the uninterrupted one,
and that it makes no difference which process computes it.
"""

import json
import math
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from audiotag.checkpoint import load_state, save_state
from audiotag.config import TaggerConfig
from audiotag.data import augment
from audiotag.data.clips import Clips, open_clips
from audiotag.data.dataset import ClipDataset, read_labels
from audiotag.data.sampling import epoch_order
from audiotag.data.targets import Targets
from audiotag.dcls import clamp_positions
from audiotag.errors import DataError, ModelError, RecipeError
from audiotag.freezing import freeze, set_training
from audiotag.labels import Labels
from audiotag.loading import load_tagger, to_device
from audiotag.locate import model_folder
from audiotag.metrics import mean_average_precision
from audiotag.optim import build_optimizer, learning_rate, set_learning_rate
from audiotag.processes import joined_processes
from audiotag.recipe import Recipe, dump_recipe
from audiotag.replacing import replaced
from audiotag.swap import swap_convs
from audiotag.tagger import Tagger

RECIPE_FILE, METRICS_FILE = "recipe.toml", "metrics.jsonl"
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}
POSITIVE_SCORE = 0.5  # a teacher's score from which its tag counts as true in validation
RAREST = 1e-4  # a class is taken to be at least this frequent when the head starts
REPORT_STEPS = 20  # reading the loss waits for the device: not every step
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
        teacher: The teacher's logits for the same audio (B, classes), or nothing.
        generator: Source of further random numbers.
        seed: Of the model's random numbers.
        share: Of the step's clips that it has.
    """

    clips: Tensor
    waveform: Tensor
    targets: Tensor
    teacher: Tensor | None
    generator: torch.Generator
    seed: int
    share: float


@dataclass
class Run:
    """A run's parts.

    Attributes:
        tagger: The model that learns.
        teacher: The model whose scores are learnt, or nothing.
        average: Running average of the weights, or nothing.
        clips, targets, keys: Training clips, their labels and names.
        valid, valid_targets: Clips and labels of the validation split.
        weights: How often to draw each clip (N,), or nothing.
        rank, processes: This process's number, and how many there are.
    """

    recipe: Recipe
    device: torch.device
    tagger: Tagger
    teacher: Tagger | None
    average: AveragedModel | None
    optimizer: torch.optim.Optimizer
    clips: Clips
    targets: Targets | None
    keys: np.ndarray
    valid: Clips
    valid_targets: Targets | None
    weights: Tensor | None
    rank: int
    processes: int

    @property
    def batch_size(self) -> int:
        """Clips of a step."""
        return min(self.recipe.train.batch_size, len(self.clips))

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in an epoch."""
        clips = self.recipe.data.epoch_clips or len(self.clips)
        return max(1, clips // self.recipe.train.batch_size)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.recipe.train.epochs

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What a checkpoint holds beside the optimiser."""
        modules: dict[str, nn.Module] = {"model": self.tagger.backbone}
        return modules if self.average is None else {**modules, "average": self.average}


@dataclass
class Progress:
    """How an epoch goes.

    Attributes:
        loss: Sum over its steps, of this process's share.
        began: When it began, in seconds.
        waited: Seconds spent waiting for data.
    """

    loss: Tensor
    began: float
    waited: float = 0.0


def train(
    recipe: Recipe, data: Path, out: Path, device: torch.device, resume: bool = False
) -> Path:
    """Train a model and write its run folder.

    Args:
        recipe: What to do.
        data: A prepared data set.
        out: The run folder: model, resolved recipe, `metrics.jsonl`, resumable state.
        device: Where to train.
        resume: Go on from the state in `out`.

    Returns:
        `out`.

    Under torchrun all processes work on each batch, and the first one writes.

    Raises:
        RecipeError, DataError, ModelError: If the parts do not fit, the loss is not finite, or the
            device's memory does not do.
    """
    if (out / RECIPE_FILE).exists() and not resume:
        raise DataError(f"{out} holds a run already; add --resume or choose another folder")
    with joined_processes() as rank:
        run = _start(recipe, data, device, rank)
        step = load_state(out, run.modules, run.optimizer) if resume else 0
        if rank == 0:
            out.mkdir(parents=True, exist_ok=True)
            with replaced(out / RECIPE_FILE) as file:
                file.write(dump_recipe(recipe).encode())
            _drop_later_metrics(out / METRICS_FILE, step)
        try:
            _train_epochs(run, out, step)
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"out of memory on {device}; lower train.micro_batch (now "
                f"{_micro_size(run)}) with --set, which changes no other value"
            ) from error
    return out


def _train_epochs(run: Run, out: Path, step: int) -> None:
    size, steps = run.batch_size, run.steps_per_epoch
    with tqdm(
        total=run.total_steps * size,
        initial=step * size,
        unit="clip",
        desc="train",
        disable=True if run.rank else None,
    ) as bar:
        while step < run.total_steps:
            epoch = step // steps
            row = {"epoch": epoch + 1, "step": step + steps} | _train_epoch(run, epoch, bar)
            step += steps
            ends = step == run.total_steps or (epoch + 1) % run.recipe.train.save_every == 0
            if ends and run.rank == 0:
                _save(run, out, step, row | validate(run))
            if ends and run.processes > 1:
                dist.barrier()  # the others wait for the validation


def build_tagger(recipe: Recipe, labels: Labels) -> tuple[Tagger, bool]:
    """The model of a recipe, and whether its head is a new one.

    With `model.init` the body is that model's, and its head too where the labels are the same.

    Raises:
        ModelError: As `Tagger.create` and `Tagger.load`.
        RecipeError: If the recipe replaces what has been replaced before.
    """
    model, features = recipe.model, recipe.features
    dcls = None if recipe.dcls is None else asdict(recipe.dcls)
    if model.init is None:
        config = TaggerConfig(
            model.architecture, labels, model.args, dcls, features.name, features.args
        )
        return Tagger.create(config, pretrained=model.pretrained), True
    tagger = Tagger.load(model_folder(model.init))
    tagger.config = replace(tagger.config, thresholds=None)  # those of the weights before training
    if dcls is not None:
        if tagger.config.dcls is not None:
            raise RecipeError(f"{model.init} has [dcls] already; leave it out of the recipe")
        swap_convs(tagger.backbone, **dcls)
        tagger.config = replace(tagger.config, dcls=dcls)
    if tagger.labels == labels:
        return tagger, False
    cast(Any, tagger.backbone).reset_classifier(len(labels))
    tagger.config = replace(tagger.config, labels=labels)
    tagger.labels = labels
    return tagger, True


def validate(run: Run) -> dict[str, float]:
    """Loss and mean average precision on the validation split, with the weights that are saved.

    Where a teacher is followed alone, its scores from 0.5 count as the truth.
    """
    tagger, teacher = _saved_tagger(run).eval(), run.teacher
    seconds = max(run.recipe.data.crop_seconds)
    losses, scores, truths = [], [], []
    for clips in torch.arange(len(run.valid)).split(_micro_size(run)):
        waveform = run.valid.heads(clips, seconds)
        targets = _rows(run, run.valid_targets, clips)
        with torch.inference_mode():
            logits = _logits(run, tagger, waveform)
            if teacher is not None:
                targets = teacher(waveform).sigmoid()
            targets = targets.to(logits.device)
            losses.append(F.binary_cross_entropy_with_logits(logits, targets) * len(clips))
        scores.append(logits.cpu().numpy())
        truths.append(targets.cpu().numpy() >= POSITIVE_SCORE)
    truth, score = np.concatenate(truths), np.concatenate(scores)
    return {
        "valid_loss": float(torch.stack(losses).sum()) / len(run.valid),
        "valid_map": mean_average_precision(truth, score),
    }


def _start(recipe: Recipe, data: Path, device: torch.device, rank: int = 0) -> Run:
    torch.manual_seed(recipe.train.seed)
    torch.backends.cudnn.benchmark = True
    teacher = _load_teacher(recipe, device)
    labels = teacher.labels if teacher is not None else _label_set(recipe, data)
    tagger, is_new_head = build_tagger(recipe, labels)
    tagger = to_device(tagger, device)
    freeze(tagger.backbone, recipe.model.freeze)
    train_set, valid_set = _datasets(recipe, data)
    if train_set.sample_rate != tagger.sample_rate:
        raise DataError(
            f"{data} is at {train_set.sample_rate} Hz and the model takes {tagger.sample_rate} Hz; "
            f"prepare it with --sample-rate {tagger.sample_rate}"
        )
    _check_crops(tagger, recipe)
    _check_erasing(tagger, recipe)
    run = Run(
        recipe=recipe,
        device=device,
        tagger=tagger,
        teacher=teacher,
        average=_running_average(tagger.backbone, recipe.train.ema_decay),
        optimizer=build_optimizer(tagger.backbone, recipe.optim),
        clips=open_clips(train_set, device),
        targets=_targets(recipe, train_set, labels),
        keys=train_set.keys,
        valid=open_clips(valid_set, device),
        valid_targets=_targets(recipe, valid_set, labels),
        weights=None,
        rank=rank,
        processes=dist.get_world_size() if dist.is_initialized() else 1,
    )
    _check_shares(run)
    _look_at_classes(run, is_new_head)
    return run


def _datasets(recipe: Recipe, data: Path) -> tuple[ClipDataset, ClipDataset]:
    """The clips to train on, and those to validate on."""
    fold = recipe.data.valid_fold
    if fold is not None:
        return ClipDataset(data, without_fold=fold), ClipDataset(data, fold=fold)
    return ClipDataset(data, recipe.data.train_split), ClipDataset(data, recipe.data.valid_split)


def _look_at_classes(run: Run, is_new_head: bool) -> None:
    """Start the head, and weigh the clips, by how frequent the classes are."""
    if not is_new_head and not run.recipe.data.balance:
        return
    scores = None if run.teacher is None else _teacher_scores(run, run.teacher)
    if is_new_head:
        _set_priors(run, _frequencies(run) if scores is None else scores.mean(0))
    if run.recipe.data.balance:
        run.weights = _clip_weights(run, scores)


def _frequencies(run: Run) -> Tensor:
    """Share of the clips that have each class, (classes,)."""
    assert run.targets is not None
    return run.targets.counts / len(run.targets)


def _micro_size(run: Run) -> int:
    """Clips that go through the model at once."""
    wanted = run.recipe.train.micro_batch or math.ceil(run.batch_size / run.processes)
    return min(wanted, run.batch_size)


def _check_shares(run: Run) -> None:
    micro_batches = math.ceil(run.batch_size / _micro_size(run))
    if micro_batches % run.processes:
        raise RecipeError(
            f"the {micro_batches} micro batches of a step cannot be shared equally by "
            f"{run.processes} processes; change train.batch_size or train.micro_batch"
        )


def _check_erasing(tagger: Tagger, recipe: Recipe) -> None:
    if recipe.augment.erase_prob and not hasattr(tagger.features, "from_power"):
        raise RecipeError(
            f"augment.erase_prob needs the front end log_mel; {tagger.name} has another"
        )


def _check_crops(tagger: Tagger, recipe: Recipe) -> None:
    """Raise a ModelError if the model does not take crops of every length."""
    for seconds in recipe.data.crop_seconds:
        silence = torch.zeros(1, round(seconds * tagger.sample_rate), device=tagger.device)
        maps = tagger.features(silence)
        try:
            with torch.inference_mode():
                tagger.eval().backbone(maps)
        except (RuntimeError, AssertionError, ValueError) as error:
            rows, columns = maps.shape[2:]
            raise ModelError(
                f"{tagger.name} does not take a crop of {seconds:g} s, {rows} mels x {columns} "
                f"frames ({error}); change data.crop_seconds, [features] or model.args (a vision "
                f"transformer takes img_size = [{rows}, {columns}])"
            ) from error


def _running_average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def _load_teacher(recipe: Recipe, device: torch.device) -> Tagger | None:
    if recipe.distill is None:
        return None
    return load_tagger(recipe.distill.teacher, device.type)


def _targets(recipe: Recipe, clips: ClipDataset, labels: Labels) -> Targets | None:
    """Labels of clips; none where only the teacher's scores are learnt."""
    if recipe.distill is not None and recipe.distill.weight == 1:
        return None
    return clips.targets(labels)


def _rows(run: Run, targets: Targets | None, clips: Tensor) -> Tensor:
    """Labels (B, classes) of clips (B,)."""
    if targets is None:
        return torch.zeros(len(clips), len(run.tagger.labels))
    return targets.rows(clips)


def _label_set(recipe: Recipe, data: Path) -> Labels:
    return Labels.audioset() if recipe.data.label_set == "audioset" else read_labels(data)


def _teacher_scores(run: Run, teacher: Tagger) -> Tensor:
    """The teacher's softened scores (N, classes) for the beginning of each training clip."""
    seconds = min(run.recipe.data.crop_seconds)
    temperature = 1.0 if run.recipe.distill is None else run.recipe.distill.temperature
    batches = torch.arange(len(run.clips)).split(_micro_size(run))
    with torch.inference_mode():
        return torch.cat(
            [(teacher(run.clips.heads(b, seconds)) / temperature).sigmoid().cpu() for b in batches]
        )


def _set_priors(run: Run, frequencies: Tensor) -> None:
    """Start each class at its frequency, (classes,): learning it, as the head's bias moves one
    learning rate a step, would take the first thousands of steps (arXiv 1708.02002, 4.1)."""
    temperature = 1.0 if run.recipe.distill is None else run.recipe.distill.temperature
    head = cast(Any, run.tagger.backbone).get_classifier()  # a layer, or a small network
    last = [layer for layer in head.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
    with torch.no_grad():
        cast(Tensor, last.bias).copy_(frequencies.clamp(RAREST, 1 - RAREST).logit() * temperature)


def _clip_weights(run: Run, scores: Tensor | None) -> Tensor:
    """Weight of each clip (N,), by its labels or else the teacher's scores (N, classes)."""
    data, distill = run.recipe.data, run.recipe.distill
    if scores is None or distill is None:
        assert run.targets is not None
        return run.targets.weights(data.balance, data.balance_offset)
    # Undo the softening: a score of 0.001 must not weigh as a tenth of a class.
    scores = (scores.logit() * distill.temperature).sigmoid().double()
    return scores @ (scores.sum(0) + data.balance_offset).clamp(min=1) ** -data.balance


def _train_epoch(run: Run, epoch: int, bar: tqdm) -> dict[str, float]:
    """One pass over the clips; returns what there is to tell of it."""
    set_training(run.tagger)
    progress = Progress(torch.zeros((), device=run.device), time.monotonic())
    first = epoch * run.steps_per_epoch
    micro_batches = _prepared(run, epoch)
    for step in range(first, first + run.steps_per_epoch):
        loss = _step(run, _of_step(run, micro_batches, progress), step)
        progress.loss += loss
        bar.update(run.batch_size)
        if step % REPORT_STEPS == 0:
            bar.set_postfix(loss=f"{float(loss):.4f}", lr=f"{_rate(run, step):.2e}")
    loss = _sum_over_processes(run, progress.loss)
    seconds = time.monotonic() - progress.began
    return {
        "train_loss": float(loss) / run.steps_per_epoch,
        "lr": _rate(run, first + run.steps_per_epoch),
        "clips_per_second": run.steps_per_epoch * run.batch_size / seconds,
        "data_wait": progress.waited / seconds,
    }


def _of_step(
    run: Run, micro_batches: Iterator[MicroBatch], progress: Progress
) -> Iterator[MicroBatch]:
    """This process's micro batches of a step, the time that they are waited for measured."""
    for _ in range(math.ceil(run.batch_size / _micro_size(run)) // run.processes):
        began = time.monotonic()
        micro_batch = next(micro_batches)
        progress.waited += time.monotonic() - began
        yield micro_batch


def _prepared(run: Run, epoch: int) -> Iterator[MicroBatch]:
    """This process's micro batches of an epoch, prepared in a thread while others are learnt."""
    with ThreadPoolExecutor(1) as pool:
        pending: deque[Future[MicroBatch]] = deque()
        for step, number, clips in _draws(run, epoch):
            pending.append(pool.submit(_prepare, run, clips, step, number))
            if len(pending) > AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _draws(run: Run, epoch: int) -> Iterator[tuple[int, int, Tensor]]:
    """Step, number and clips (B,) of this process's micro batches of an epoch."""
    count = run.steps_per_epoch * run.batch_size
    order = epoch_order(len(run.clips), count, run.weights, run.recipe.train.seed, epoch)
    for i, batch in enumerate(order.split(run.batch_size)):
        for number, clips in enumerate(batch.split(_micro_size(run))):
            if number % run.processes == run.rank:
                yield epoch * run.steps_per_epoch + i, number, clips


def _prepare(run: Run, clips: Tensor, step: int, number: int) -> MicroBatch:
    """Clips (B,) as they are learnt at a step, on the device, with the teacher's answer to them."""
    recipe, seed = run.recipe.augment, _seed(run, step) + number * MICRO_STRIDE
    generator = torch.Generator().manual_seed(seed)
    seconds = _crop_seconds(run, step)
    speeds = augment.speeds(len(clips), recipe.speed_prob, recipe.speed, generator)
    waveform = run.clips.crops(clips, seconds, generator, speeds)
    targets = _rows(run, run.targets, clips).to(run.device, non_blocking=True)
    if recipe.roll:
        waveform = augment.roll(waveform, generator)
    if recipe.mix_prob:
        waveform, targets = augment.mix(
            waveform, targets, recipe.mix_prob, recipe.mix_db, generator
        )
    if recipe.noise_prob:
        waveform = augment.add_noise(waveform, recipe.noise_prob, recipe.noise_db, generator)
    waveform = augment.gain(waveform, recipe.gain_db, generator)
    with torch.no_grad():  # in full precision: bfloat16 moves a MobileNet's scores by up to 0.07
        teacher = None if run.teacher is None else run.teacher(waveform)
    share = len(clips) / run.batch_size
    return MicroBatch(clips, waveform, targets, teacher, generator, seed, share)


def _crop_seconds(run: Run, step: int) -> float:
    """Length of the clips of a step."""
    generator = torch.Generator().manual_seed(_seed(run, step))
    lengths = run.recipe.data.crop_seconds
    return lengths[int(torch.randint(len(lengths), (), generator=generator))]


def _step(run: Run, micro_batches: Iterator[MicroBatch], step: int) -> Tensor:
    """Learn from a batch; returns this process's share of the loss, on the device."""
    set_learning_rate(run.optimizer, _rate(run, step))
    run.optimizer.zero_grad()
    total, losses = torch.zeros((), device=run.device), []
    for micro_batch in micro_batches:
        torch.manual_seed(micro_batch.seed)
        loss = _loss(run, micro_batch) * micro_batch.share
        loss.backward()
        total += loss.detach()
        losses.append((micro_batch.clips, loss.detach()))
    if not math.isfinite(float(total)):
        raise _not_finite(run, step, losses)
    _sum_gradients(run)
    clip = run.recipe.optim.clip_grad
    if clip is not None:
        nn.utils.clip_grad_norm_(run.tagger.backbone.parameters(), clip)
    run.optimizer.step()
    clamp_positions(run.tagger.backbone)
    if run.average is not None:
        run.average.update_parameters(run.tagger.backbone)
    return total


def _not_finite(run: Run, step: int, losses: list[tuple[Tensor, Tensor]]) -> RecipeError:
    clips = next(clips for clips, loss in losses if not math.isfinite(float(loss)))
    keys = ", ".join(str(run.keys[i]) for i in clips.tolist())
    return RecipeError(
        f"the loss is not a number at step {step}, clips {keys}; lower optim.lr, set "
        "optim.clip_grad, or look at these clips"
    )


def _sum_gradients(run: Run) -> None:
    """Add up what the processes have; each has computed its share of the loss."""
    if run.processes == 1:
        return
    tensors = [p.grad for p in run.tagger.backbone.parameters() if p.grad is not None]
    flat = torch._utils._flatten_dense_tensors(tensors)
    dist.all_reduce(flat)
    for tensor, part in zip(
        tensors, torch._utils._unflatten_dense_tensors(flat, tensors), strict=True
    ):
        tensor.copy_(part)
    for buffer in run.tagger.backbone.buffers():  # running statistics of batch norms
        if buffer.is_floating_point():
            dist.all_reduce(buffer)
            buffer /= run.processes


def _sum_over_processes(run: Run, value: Tensor) -> Tensor:
    if run.processes > 1:
        dist.all_reduce(value)
    return value


def _seed(run: Run, step: int) -> int:
    return run.recipe.train.seed + step * SEED_STRIDE


def _loss(run: Run, batch: MicroBatch) -> Tensor:
    """Binary cross-entropy against labels, teacher, or both by `distill.weight`."""
    distill = run.recipe.distill
    if batch.teacher is None or distill is None:
        return _label_loss(run, batch)
    with _autocast(run):
        logits = run.tagger.backbone(_maps(run, batch)).float()
    soft = (batch.teacher / distill.temperature).sigmoid()
    softened = F.binary_cross_entropy_with_logits(logits / distill.temperature, soft)
    # The gradient of a softened loss shrinks with the square of the temperature.
    loss = softened * distill.temperature**2
    if distill.weight == 1:
        return loss
    hard = F.binary_cross_entropy_with_logits(logits, batch.targets)
    return distill.weight * loss + (1 - distill.weight) * hard


def _label_loss(run: Run, batch: MicroBatch) -> Tensor:
    smoothing, alpha = run.recipe.train.label_smoothing, run.recipe.augment.mixup_alpha
    targets = batch.targets * (1 - smoothing) + smoothing / batch.targets.shape[1]
    with _autocast(run):
        maps = _maps(run, batch)
        if alpha:
            maps, targets = augment.mixup(maps, targets, alpha, batch.generator)
        logits = run.tagger.backbone(maps).float()
    return F.binary_cross_entropy_with_logits(logits, targets)


def _maps(run: Run, batch: MicroBatch) -> Tensor:
    """Maps of a micro batch as the model gets them, parts of them erased or masked."""
    recipe, features = run.recipe.augment, cast(Any, run.tagger.features)
    if recipe.erase_prob:
        power = augment.erase(features.power(batch.waveform), recipe.erase_prob, batch.generator)
        maps = features.from_power(power)
    else:
        maps = features(batch.waveform)
    if recipe.time_masks or recipe.mel_masks:
        masks = recipe.time_masks, recipe.time_width, recipe.mel_masks, recipe.mel_width
        maps = augment.mask(maps, *masks, batch.generator)
    return maps


def _logits(run: Run, tagger: Tagger, waveform: Tensor) -> Tensor:
    with _autocast(run):
        return tagger(waveform).float()


def _autocast(run: Run) -> torch.autocast:
    dtype = PRECISIONS[run.recipe.train.precision]
    return torch.autocast(run.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def _rate(run: Run, step: int) -> float:
    warmup = round(run.recipe.optim.warmup_epochs * run.steps_per_epoch)
    return learning_rate(step, warmup, run.total_steps, run.recipe.optim)


def _saved_tagger(run: Run) -> Tagger:
    """The tagger with the weights that go into the run folder: the average where there is one."""
    if run.average is None:
        return run.tagger
    average = run.average.module
    return Tagger(run.tagger.config, run.tagger.features, average, run.tagger.name)


def _save(run: Run, out: Path, step: int, row: dict) -> None:
    _saved_tagger(run).save(out)
    with (out / METRICS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    save_state(out, step, run.modules, run.optimizer)
    tqdm.write("  ".join(f"{k} {v:.4g}" for k, v in row.items()))


def _drop_later_metrics(path: Path, step: int) -> None:
    """Remove rows that a killed run wrote after the state it left."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [x for x in lines if x.endswith("\n") and json.loads(x)["step"] <= step]
        with replaced(path) as file:
            file.write("".join(kept).encode())
