"""A run's parts: model, data, optimiser, and how they are shared between processes."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from audiotag.data.clips import Clips, open_clips
from audiotag.data.dataset import ClipDataset, read_labels
from audiotag.data.shards import hash_keys
from audiotag.data.targets import Targets
from audiotag.errors import DataError, RecipeError
from audiotag.freezing import freeze
from audiotag.labels import Labels
from audiotag.loading import load_tagger, to_device
from audiotag.optim import build_optimizer, learning_rate
from audiotag.precision import SCALED
from audiotag.recipe import Recipe
from audiotag.stored_scores import StoredScores, read_scores
from audiotag.tagger import Tagger
from audiotag.trained_on import Part, TrainedOn
from audiotag.training import hints
from audiotag.training.building import build_tagger, check_crops, check_erasing, set_priors
from audiotag.training.ensemble import OtherTeacher, load_others, mean_logits
from audiotag.training.matching import Matching, outputs

ACCURACY = "valid_accuracy"  # a metric of single labels alone


@dataclass
class Run:
    """A run's parts.

    Attributes:
        tagger: The model that learns.
        network: Its backbone as it computes: compiled, or itself.
        teacher: The model whose scores are learnt, or nothing.
        others: Teachers beside it, whose scores alone are learnt.
        matching: Measures how far the embeddings are from the teacher's, or nothing.
        layers: Names of the layers whose maps are learnt from the teacher.
        stored: Softened scores (N, classes) to learn of the training clips, or nothing.
        average: Running average of the weights, or nothing.
        scaler: Scales the loss where gradients are in half precision; else does nothing.
        clips, targets, keys: Training clips, their labels and names.
        valid, valid_targets, valid_stored: Clips, labels and stored scores of the validation split.
        is_single: Whether a clip has exactly one of the labels, and the loss is of softmax.
        weights: How often to draw each clip (N,), or nothing.
        trained_on: What the folder says of the clips.
        rank, processes: This process's number, and how many there are.
    """

    recipe: Recipe
    device: torch.device
    tagger: Tagger
    network: nn.Module
    teacher: Tagger | None
    others: tuple[OtherTeacher, ...]
    matching: Matching | None
    layers: tuple[str, ...]
    stored: Tensor | None
    average: AveragedModel | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    clips: Clips
    targets: Targets | None
    keys: np.ndarray
    valid: Clips
    valid_targets: Targets | None
    valid_stored: Tensor | None
    is_single: bool
    weights: Tensor | None
    trained_on: TrainedOn
    rank: int
    processes: int

    @property
    def batch_size(self) -> int:
        """Clips of a step."""
        return min(self.recipe.train.batch_size, len(self.clips))

    @property
    def micro_size(self) -> int:
        """Clips that go through the model at once."""
        wanted = self.recipe.train.micro_batch or math.ceil(self.batch_size / self.processes)
        return min(wanted, self.batch_size)

    @property
    def micro_batches(self) -> int:
        """How many micro batches make a step, over all processes."""
        return math.ceil(self.batch_size / self.micro_size)

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
        modules = {
            "model": self.tagger.backbone,
            "matching": self.matching,
            "average": self.average,
        }
        return {name: module for name, module in modules.items() if module is not None}

    @property
    def learner(self) -> nn.Module:
        """All that learns: the backbone, and with it what compares embeddings."""
        if self.matching is None:
            return self.tagger.backbone
        return nn.ModuleList([self.tagger.backbone, self.matching])

    @property
    def saved_tagger(self) -> Tagger:
        """The tagger with the weights that are saved: the average where there is one."""
        if self.average is None:
            return self.tagger
        average = self.average.module
        return Tagger(self.tagger.config, self.tagger.features, average, self.tagger.name)

    @property
    def blockwise_steps(self) -> int:
        """Steps at the start in which hinted layers go on from the teacher's maps."""
        distill = self.recipe.distill
        return 0 if distill is None else round(distill.blockwise_epochs * self.steps_per_epoch)

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        warmup = round(self.recipe.optim.warmup_epochs * self.steps_per_epoch)
        return learning_rate(step, warmup, self.total_steps, self.recipe.optim)

    def rows(self, targets: Targets | None, clips: Tensor) -> Tensor:
        """Labels (B, classes) of clips (B,); zeros where there are none."""
        if targets is None:
            return torch.zeros(len(clips), len(self.tagger.labels))
        return targets.rows(clips)

    @property
    def hears_alike(self) -> bool:
        """Whether the teacher's front end is the student's."""
        if self.teacher is None:
            return False
        ours, theirs = self.tagger.resolved_config(), self.teacher.resolved_config()
        return (ours.front_end, ours.front_end_args) == (theirs.front_end, theirs.front_end_args)

    def teacher_answer(
        self, waveform: Tensor, heard: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The teachers' softened scores (B, classes), and the first one's embeddings (B, D) and
        maps by layer, of waveforms (B, T) and what its front end made of them. In full precision:
        bfloat16 moves a MobileNet's scores by up to 0.07.
        """
        assert self.teacher is not None
        backbone = self.teacher.backbone
        with torch.no_grad(), hints.tapped(backbone, self.layers) as maps:
            embeddings, logits = outputs(backbone, heard)
            logits = mean_logits(logits, waveform, self.tagger.sample_rate, self.others)
            return (logits / _temperature(self.recipe)).sigmoid(), embeddings, maps

    def teacher_scores(self, waveform: Tensor) -> Tensor:
        """The teachers' scores (B, classes) of waveforms (B, T)."""
        assert self.teacher is not None
        logits = self.teacher(waveform)
        return mean_logits(logits, waveform, self.tagger.sample_rate, self.others).sigmoid()


def start(recipe: Recipe, data: Path, device: torch.device, rank: int = 0) -> Run:
    """Bring a run's parts together.

    Raises:
        RecipeError, DataError, ModelError: If they do not fit.
    """
    torch.backends.cudnn.benchmark = True
    teacher, stored = _load_teacher(recipe, device), _read_stored(recipe)
    follows = stored if teacher is None else teacher
    labels = _label_set(recipe, data) if follows is None else follows.labels
    torch.manual_seed(recipe.train.seed)  # after the teacher, whose building draws numbers too
    tagger, is_new_head = build_tagger(recipe, labels)
    tagger = to_device(tagger, device)
    freeze(tagger.backbone, recipe.model.freeze)
    parts = _parts(recipe)
    train_set, valid_set = (ClipDataset(data, **part) for part in parts)
    if train_set.sample_rate != tagger.sample_rate:
        raise DataError(
            f"{data} is at {train_set.sample_rate} Hz and the model takes {tagger.sample_rate} Hz; "
            f"prepare it with --sample-rate {tagger.sample_rate}"
        )
    check_crops(tagger, recipe)
    check_erasing(tagger, recipe)
    targets = _targets(recipe, train_set, labels)
    valid_targets = _targets(recipe, valid_set, labels)
    is_single = _is_single(recipe, targets)
    tagger.config = replace(tagger.config, softmax=is_single)
    run = Run(
        recipe=recipe,
        device=device,
        tagger=tagger,
        network=torch.compile(tagger.backbone) if recipe.train.compile else tagger.backbone,  # type: ignore[arg-type]
        teacher=teacher,
        others=load_others(_other_teachers(recipe), labels, device),
        matching=None,
        layers=_hinted_layers(recipe, tagger, teacher),
        stored=None if stored is None else _softened(stored.of(train_set.keys), recipe),
        average=_running_average(tagger.backbone, recipe.train.ema_decay),
        optimizer=build_optimizer(tagger.backbone, recipe.optim),
        scaler=torch.amp.GradScaler(device.type, enabled=recipe.train.precision == SCALED),
        clips=open_clips(train_set, device),
        targets=targets,
        keys=train_set.keys,
        valid=open_clips(valid_set, device),
        valid_targets=valid_targets,
        valid_stored=_valid_scores(stored, valid_set) if valid_targets is None else None,
        is_single=is_single,
        weights=None,
        trained_on=TrainedOn(
            Path(data).resolve().name,
            *(_described(x, part) for x, part in zip((train_set, valid_set), parts, strict=True)),
        ),
        rank=rank,
        processes=dist.get_world_size() if dist.is_initialized() else 1,
    )
    _check_shares(run)
    _look_at_clips(run, is_new_head)
    return run


def _parts(recipe: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    """Which clips to train on, and which to validate on, as arguments of `ClipDataset`."""
    fold = recipe.data.valid_fold
    if fold is not None:
        return {"without_fold": fold}, {"fold": fold}
    return {"split": recipe.data.train_split}, {"split": recipe.data.valid_split}


def _described(clips: ClipDataset, part: dict[str, Any]) -> Part:
    hours = float(clips.durations.sum()) / 3600
    return Part(len(clips), hours, hash_keys(clips.keys.tolist()), **part)


def _load_teacher(recipe: Recipe, device: torch.device) -> Tagger | None:
    if recipe.distill is None or not recipe.distill.teacher:
        return None
    whole = recipe.distill.layers is None  # else each layer's own map is wanted
    teacher = load_tagger(recipe.distill.teacher, device.type, folded=whole)
    if teacher.config.softmax:
        raise RecipeError(
            f"distill.teacher {recipe.distill.teacher} gives each clip one label; choose one that "
            'was trained with train.task = "multi"'
        )
    return teacher


def _other_teachers(recipe: Recipe) -> tuple[str, ...]:
    return () if recipe.distill is None else recipe.distill.other_teachers or ()


def _hinted_layers(recipe: Recipe, tagger: Tagger, teacher: Tagger | None) -> tuple[str, ...]:
    if recipe.distill is None or recipe.distill.layers is None or teacher is None:
        return ()
    count = round(min(recipe.data.crop_seconds) * tagger.sample_rate)
    silence = torch.zeros(1, count, device=tagger.device)
    maps = tagger.features(silence), teacher.features(silence)
    return hints.common_layers(tagger.backbone, teacher.backbone, recipe.distill.layers, maps)


def _read_stored(recipe: Recipe) -> StoredScores | None:
    if recipe.distill is None or not recipe.distill.scores:
        return None
    return read_scores(recipe.distill.scores)


def _softened(scores: np.ndarray, recipe: Recipe) -> Tensor:
    """Scores (N, classes) softened as a teacher's logits are; in double precision, where logits up
    to 36 still have scores of their own."""
    logits = torch.from_numpy(scores).double().logit()
    return (logits / _temperature(recipe)).sigmoid().float()


def _valid_scores(stored: StoredScores | None, clips: ClipDataset) -> Tensor | None:
    return None if stored is None else torch.from_numpy(stored.of(clips.keys)).float()


def _temperature(recipe: Recipe) -> float:
    return 1.0 if recipe.distill is None else recipe.distill.temperature


def _label_set(recipe: Recipe, data: Path) -> Labels:
    return Labels.audioset() if recipe.data.label_set == "audioset" else read_labels(data)


def _targets(recipe: Recipe, clips: ClipDataset, labels: Labels) -> Targets | None:
    """Labels of clips; none where only the teacher's scores are learnt."""
    if recipe.distill is not None and recipe.distill.weight == 1:
        return None
    return clips.targets(labels)


def _is_single(recipe: Recipe, targets: Targets | None) -> bool:
    """Whether the loss is that of one label a clip."""
    task, is_single = recipe.train.task, targets is not None and targets.is_single
    if task == "single" and not is_single:
        raise RecipeError(
            'train.task is "single", but some clips have no label or several; use "multi"'
        )
    is_single = is_single and task != "multi" and recipe.distill is None
    if recipe.train.metric == ACCURACY and not is_single:
        raise RecipeError(f'train.metric = "{ACCURACY}" needs clips with exactly one label each')
    return is_single


def _running_average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def _check_shares(run: Run) -> None:
    if run.micro_batches % run.processes:
        raise RecipeError(
            f"the {run.micro_batches} micro batches of a step cannot be shared equally by "
            f"{run.processes} processes; change train.batch_size or train.micro_batch"
        )


def _look_at_clips(run: Run, is_new_head: bool) -> None:
    """Start the head, weigh the clips and scale embeddings, by what the training clips hold."""
    distill, balance = run.recipe.distill, run.recipe.data.balance
    matches = distill is not None and distill.embedding_weight > 0
    if not (is_new_head or balance or matches):
        return
    scores, embeddings = (run.stored, None) if run.teacher is None else _answers_to_heads(run)
    if is_new_head:
        frequencies = _frequencies(run) if scores is None else scores.mean(0)
        set_priors(run.tagger.backbone, frequencies, _temperature(run.recipe))
    if balance:
        run.weights = _clip_weights(run, scores)
    if matches and embeddings is not None:
        _match(run, embeddings)


def _match(run: Run, embeddings: Tensor) -> None:
    """Have embeddings like the teacher's (N, D) learnt."""
    width = cast(Any, run.tagger.backbone).head_hidden_size
    run.matching = Matching(width, embeddings).to(run.device)
    parameters = list(run.matching.parameters())
    run.optimizer.add_param_group({"params": parameters, "weight_decay": 0.0, "lr_scale": 1.0})


def _frequencies(run: Run) -> Tensor:
    """Share of the clips that have each class, (classes,)."""
    assert run.targets is not None
    return run.targets.counts / len(run.targets)


def _answers_to_heads(run: Run) -> tuple[Tensor, Tensor]:
    """The teacher's softened scores (N, classes) and embeddings (N, D) for the beginning of each
    training clip."""
    assert run.teacher is not None
    seconds, features = min(run.recipe.data.crop_seconds), run.teacher.features
    batches = torch.arange(len(run.clips)).split(run.micro_size)
    heads = (run.clips.heads(clips, seconds) for clips in batches)
    answers = [[x.cpu() for x in run.teacher_answer(head, features(head))[:2]] for head in heads]
    scores, embeddings = (torch.cat(parts) for parts in zip(*answers, strict=True))
    return scores, embeddings


def _clip_weights(run: Run, scores: Tensor | None) -> Tensor:
    """Weight of each clip (N,), by its labels or else the teacher's scores (N, classes)."""
    data = run.recipe.data
    if scores is None:
        assert run.targets is not None
        return run.targets.weights(data.balance, data.balance_offset)
    # Undo the softening: a score of 0.001 must not weigh as a tenth of a class.
    scores = (scores.logit() * _temperature(run.recipe)).sigmoid().double()
    return scores @ (scores.sum(0) + data.balance_offset).clamp(min=1) ** -data.balance
