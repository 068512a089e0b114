"""The training loop: one device, resumable, from labels or from a teacher's scores.

Every step draws all its randomness from a seed made of the recipe's seed and the step's number, so
that a resumed run repeats the uninterrupted one.
"""

import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from audiotag.checkpoint import load_state, save_state
from audiotag.config import TaggerConfig
from audiotag.data import augment
from audiotag.data.dataset import ClipDataset, read_labels
from audiotag.data.resident import ResidentClips
from audiotag.dcls import clamp_positions
from audiotag.errors import DataError, ModelError, RecipeError
from audiotag.labels import Labels
from audiotag.loading import load_tagger, to_device
from audiotag.locate import model_folder
from audiotag.metrics import mean_average_precision
from audiotag.optim import build_optimizer, learning_rate, set_learning_rate
from audiotag.recipe import Recipe, dump_recipe
from audiotag.replacing import replaced
from audiotag.swap import swap_convs
from audiotag.tagger import Tagger

RECIPE_FILE, METRICS_FILE = "recipe.toml", "metrics.jsonl"
LABEL_SETS = ("data", "audioset")
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}
POSITIVE_SCORE = 0.5  # a teacher's score from which its tag counts as true in validation
RAREST = 1e-4  # a class is taken to be at least this frequent when the head starts
REPORT_STEPS = 20  # reading the loss waits for the device: not every step
SEED_STRIDE = 1_000_003  # prime, keeps the seeds of steps and epochs apart


@dataclass(frozen=True)
class Batch:
    """What a step learns from.

    Attributes:
        waveform: Augmented clips (B, T).
        targets: Their labels (B, classes).
        teacher: The teacher's logits for the same audio (B, classes), or nothing.
        generator: Source of the step's further random numbers.
    """

    waveform: Tensor
    targets: Tensor
    teacher: Tensor | None
    generator: torch.Generator


@dataclass
class Run:
    """A run's parts.

    Attributes:
        tagger: The model that learns.
        teacher: The model whose scores are learnt, or nothing.
        average: Running average of the weights, or nothing.
        clips, targets: Training clips and their labels (N, classes).
        valid, valid_targets: The same of the validation split.
    """

    recipe: Recipe
    device: torch.device
    tagger: Tagger
    teacher: Tagger | None
    average: AveragedModel | None
    optimizer: torch.optim.Optimizer
    clips: ResidentClips
    targets: Tensor
    valid: ResidentClips
    valid_targets: Tensor
    weights: Tensor | None

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

    Raises:
        RecipeError, DataError, ModelError: If the parts do not fit, or the loss is not finite.
    """
    if (out / RECIPE_FILE).exists() and not resume:
        raise DataError(f"{out} holds a run already; add --resume or choose another folder")
    run = _start(recipe, data, device)
    step = load_state(out, run.modules, run.optimizer) if resume else 0
    out.mkdir(parents=True, exist_ok=True)
    with replaced(out / RECIPE_FILE) as file:
        file.write(dump_recipe(recipe).encode())
    _drop_later_metrics(out / METRICS_FILE, step)
    size = recipe.train.batch_size
    bar = tqdm(
        total=run.total_steps * size, initial=step * size, unit="clip", desc="train", disable=None
    )
    while step < run.total_steps:
        epoch = step // run.steps_per_epoch
        began, loss = time.monotonic(), _train_epoch(run, epoch, bar)
        step = (epoch + 1) * run.steps_per_epoch
        clips = run.steps_per_epoch * size
        if (epoch + 1) % recipe.train.save_every == 0 or step == run.total_steps:
            row = {"epoch": epoch + 1, "step": step, "train_loss": loss}
            row |= {"lr": _rate(run, step), "clips_per_second": clips / (time.monotonic() - began)}
            _save(run, out, step, row | validate(run))
    bar.close()
    return out


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
    for clips in torch.arange(len(run.valid)).split(run.recipe.train.batch_size):
        waveform, targets = run.valid.heads(clips, seconds), run.valid_targets[clips]
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


def _start(recipe: Recipe, data: Path, device: torch.device) -> Run:
    if recipe.train.precision not in PRECISIONS:
        raise RecipeError(f"recipe: train.precision must be one of {', '.join(PRECISIONS)}")
    torch.manual_seed(recipe.train.seed)
    torch.backends.cudnn.benchmark = True
    teacher = _load_teacher(recipe, device)
    labels = teacher.labels if teacher is not None else _label_set(recipe, data)
    tagger, is_new_head = build_tagger(recipe, labels)
    tagger = to_device(tagger, device)
    train_set = ClipDataset(data, recipe.data.train_split)
    valid_set = ClipDataset(data, recipe.data.valid_split)
    if train_set.sample_rate != tagger.sample_rate:
        raise DataError(
            f"{data} is at {train_set.sample_rate} Hz and the model takes {tagger.sample_rate} Hz; "
            f"prepare it with --sample-rate {tagger.sample_rate}"
        )
    _check_crops(tagger, recipe)
    run = Run(
        recipe,
        device,
        tagger,
        teacher,
        _running_average(tagger.backbone, recipe.train.ema_decay),
        build_optimizer(tagger.backbone, recipe.optim),
        ResidentClips(train_set, device),
        _targets(recipe, train_set, labels),
        ResidentClips(valid_set, device),
        _targets(recipe, valid_set, labels),
        None,
    )
    known = run.targets if teacher is None else _teacher_scores(run, teacher)
    if is_new_head:
        _set_priors(run, known)
    run.weights = _clip_weights(run, known) if recipe.data.balance else None
    return run


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
    if not recipe.distill.teacher:
        raise RecipeError("recipe: distill.teacher must name a model folder or Hub id")
    return load_tagger(recipe.distill.teacher, device.type)


def _targets(recipe: Recipe, clips: ClipDataset, labels: Labels) -> Tensor:
    """Labels (N, classes) of clips; none where only the teacher's scores are learnt."""
    if recipe.distill is not None and recipe.distill.weight == 1:
        return torch.zeros(len(clips), len(labels))
    return torch.from_numpy(clips.targets(labels).dense())


def _label_set(recipe: Recipe, data: Path) -> Labels:
    if recipe.data.label_set not in LABEL_SETS:
        raise RecipeError(f"recipe: data.label_set must be one of {', '.join(LABEL_SETS)}")
    return Labels.audioset() if recipe.data.label_set == "audioset" else read_labels(data)


def _teacher_scores(run: Run, teacher: Tagger) -> Tensor:
    """The teacher's softened scores (N, classes) for the beginning of each training clip."""
    seconds = min(run.recipe.data.crop_seconds)
    temperature = 1.0 if run.recipe.distill is None else run.recipe.distill.temperature
    batches = torch.arange(len(run.clips)).split(run.recipe.train.batch_size)
    with torch.inference_mode():
        return torch.cat(
            [(teacher(run.clips.heads(b, seconds)) / temperature).sigmoid().cpu() for b in batches]
        )


def _set_priors(run: Run, known: Tensor) -> None:
    """Start each class at its frequency (arXiv 1708.02002, 4.1): learning it, as the head's bias
    moves one learning rate a step, would take the first thousands of steps."""
    temperature = 1.0 if run.recipe.distill is None else run.recipe.distill.temperature
    head = cast(Any, run.tagger.backbone).get_classifier()  # a layer, or a small network
    last = [layer for layer in head.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
    with torch.no_grad():
        cast(Tensor, last.bias).copy_(known.mean(0).clamp(RAREST, 1 - RAREST).logit() * temperature)


def _clip_weights(run: Run, known: Tensor) -> Tensor:
    """Weight of each clip (N,): the sum over its classes of count(class) ** -balance."""
    if run.recipe.distill is not None:
        # Undo the softening: a score of 0.001 must not weigh as a tenth of a class.
        known = (known.logit() * run.recipe.distill.temperature).sigmoid()
    return known @ known.sum(0).clamp(min=1) ** -run.recipe.data.balance


def _train_epoch(run: Run, epoch: int, bar: tqdm) -> float:
    """One pass over the clips; returns the mean loss."""
    run.tagger.train()
    total = torch.zeros((), device=run.device)
    for step, batch in _batches(run, epoch):
        loss = _step(run, batch, step)
        total += loss
        bar.update(run.recipe.train.batch_size)
        if step % REPORT_STEPS == 0:
            bar.set_postfix(loss=f"{_finite(loss, step):.4f}", lr=f"{_rate(run, step):.2e}")
    return _finite(total, step) / run.steps_per_epoch


def _batches(run: Run, epoch: int) -> Iterator[tuple[int, Batch]]:
    """Steps and batches of an epoch, each prepared in a thread while the one before is learnt."""
    draws = enumerate(_draw(run, epoch), epoch * run.steps_per_epoch)
    with ThreadPoolExecutor(1) as pool:
        ahead: Future[Batch] | None = None
        ready = 0
        for step, clips in draws:
            upcoming = pool.submit(_prepare, run, clips, step)
            if ahead is not None:
                yield ready, ahead.result()
            ready, ahead = step, upcoming
        if ahead is not None:
            yield ready, ahead.result()


def _draw(run: Run, epoch: int) -> tuple[Tensor, ...]:
    """The batches of clip numbers of an epoch."""
    generator = torch.Generator().manual_seed(run.recipe.train.seed - (epoch + 1) * SEED_STRIDE)
    size = min(run.recipe.train.batch_size, len(run.clips))
    count = run.steps_per_epoch * size
    if run.weights is None and count <= len(run.clips):
        order = torch.randperm(len(run.clips), generator=generator)[:count]
    else:
        weights = torch.ones(len(run.clips)) if run.weights is None else run.weights
        order = torch.multinomial(weights, count, replacement=True, generator=generator)
    return order.split(size)


def _prepare(run: Run, clips: Tensor, step: int) -> Batch:
    """The batch of clips (B,) at a step, on the device, with the teacher's answer to it."""
    recipe = run.recipe.augment
    generator = torch.Generator().manual_seed(_seed(run, step))
    lengths = run.recipe.data.crop_seconds
    seconds = lengths[int(torch.randint(len(lengths), (), generator=generator))]
    speeds = augment.speeds(len(clips), recipe.speed_prob, recipe.speed, generator)
    waveform = run.clips.crops(clips, seconds, generator, speeds)
    targets = run.targets[clips].to(run.device, non_blocking=True)
    if recipe.mix_prob:
        waveform, targets = augment.mix(
            waveform, targets, recipe.mix_prob, recipe.mix_db, generator
        )
    if recipe.noise_prob:
        waveform = augment.add_noise(waveform, recipe.noise_prob, recipe.noise_db, generator)
    waveform = augment.gain(waveform, recipe.gain_db, generator)
    with torch.no_grad():  # in full precision: bfloat16 moves a MobileNet's scores by up to 0.07
        teacher = None if run.teacher is None else run.teacher(waveform)
    return Batch(waveform, targets, teacher, generator)


def _step(run: Run, batch: Batch, step: int) -> Tensor:
    """Learn from a batch; returns the loss, on the device."""
    torch.manual_seed(_seed(run, step))
    set_learning_rate(run.optimizer, _rate(run, step))
    run.optimizer.zero_grad()
    loss = _loss(run, batch)
    loss.backward()
    clip = run.recipe.optim.clip_grad
    if clip is not None:
        nn.utils.clip_grad_norm_(run.tagger.backbone.parameters(), clip)
    run.optimizer.step()
    clamp_positions(run.tagger.backbone)
    if run.average is not None:
        run.average.update_parameters(run.tagger.backbone)
    return loss.detach()


def _seed(run: Run, step: int) -> int:
    return run.recipe.train.seed + step * SEED_STRIDE


def _loss(run: Run, batch: Batch) -> Tensor:
    """Binary cross-entropy against labels, teacher, or both by `distill.weight`."""
    distill = run.recipe.distill
    if batch.teacher is None or distill is None:
        return _label_loss(run, batch)
    with _autocast(run):
        logits = run.tagger(batch.waveform).float()
    soft = (batch.teacher / distill.temperature).sigmoid()
    softened = F.binary_cross_entropy_with_logits(logits / distill.temperature, soft)
    # The gradient of a softened loss shrinks with the square of the temperature.
    loss = softened * distill.temperature**2
    if distill.weight == 1:
        return loss
    hard = F.binary_cross_entropy_with_logits(logits, batch.targets)
    return distill.weight * loss + (1 - distill.weight) * hard


def _label_loss(run: Run, batch: Batch) -> Tensor:
    smoothing, alpha = run.recipe.train.label_smoothing, run.recipe.augment.mixup_alpha
    targets = batch.targets * (1 - smoothing) + smoothing / batch.targets.shape[1]
    with _autocast(run):
        maps = run.tagger.features(batch.waveform)
        if alpha:
            maps, targets = augment.mixup(maps, targets, alpha, batch.generator)
        logits = run.tagger.backbone(maps).float()
    return F.binary_cross_entropy_with_logits(logits, targets)


def _logits(run: Run, tagger: Tagger, waveform: Tensor) -> Tensor:
    with _autocast(run):
        return tagger(waveform).float()


def _autocast(run: Run) -> torch.autocast:
    dtype = PRECISIONS[run.recipe.train.precision]
    return torch.autocast(run.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def _rate(run: Run, step: int) -> float:
    warmup = round(run.recipe.optim.warmup_epochs * run.steps_per_epoch)
    return learning_rate(step, warmup, run.total_steps, run.recipe.optim)


def _finite(loss: Tensor, step: int) -> float:
    value = float(loss)
    if not math.isfinite(value):
        raise RecipeError(f"the loss is {value} at step {step}; lower optim.lr or use clip_grad")
    return value


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
