"""Bringing a run's parts together from a recipe and a data set."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from audiotag.data.dataset import ClipDataset, read_labels
from audiotag.data.loading.clips import open_clips
from audiotag.data.shards import hash_keys
from audiotag.data.targets import Targets
from audiotag.errors import DataError, RecipeError
from audiotag.evaluation.stored_scores import StoredScores, read_scores
from audiotag.labels import Labels
from audiotag.models.model import Model, to_device
from audiotag.models.provenance import Part, TrainedOn
from audiotag.runtime.precision import SCALED
from audiotag.tagging.tagger import load_tagger
from audiotag.training.distill import feature_maps
from audiotag.training.distill.embeddings import Matching
from audiotag.training.distill.teachers import load_others
from audiotag.training.model import build_tagger, check_crops, check_erasing, set_priors
from audiotag.training.optim.freezing import freeze
from audiotag.training.optim.optim import build_optimizer
from audiotag.training.recipe.toml import Recipe
from audiotag.training.run import ACCURACY, Run, temperature


def start(recipe: Recipe, data: Path, device: torch.device, rank: int = 0) -> Run:
    """Bring a run's parts together.

    Raises:
        RecipeError, DataError, ModelError: If they do not fit.
    """
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


def _load_teacher(recipe: Recipe, device: torch.device) -> Model | None:
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


def _hinted_layers(recipe: Recipe, tagger: Model, teacher: Model | None) -> tuple[str, ...]:
    if recipe.distill is None or recipe.distill.layers is None or teacher is None:
        return ()
    count = round(min(recipe.data.crop_seconds) * tagger.sample_rate)
    silence = torch.zeros(1, count, device=tagger.device)
    maps = tagger.features(silence), teacher.features(silence)
    return feature_maps.common_layers(
        tagger.backbone, teacher.backbone, recipe.distill.layers, maps
    )


def _read_stored(recipe: Recipe) -> StoredScores | None:
    if recipe.distill is None or not recipe.distill.scores:
        return None
    return read_scores(recipe.distill.scores)


def _softened(scores: np.ndarray, recipe: Recipe) -> Tensor:
    """Scores (N, classes) softened as a teacher's logits are; in double precision, where logits up
    to 36 still have scores of their own."""
    logits = torch.from_numpy(scores).double().logit()
    return (logits / temperature(recipe)).sigmoid().float()


def _valid_scores(stored: StoredScores | None, clips: ClipDataset) -> Tensor | None:
    return None if stored is None else torch.from_numpy(stored.of(clips.keys)).float()


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
        set_priors(run.tagger.backbone, frequencies, temperature(run.recipe))
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
    scores = (scores.logit() * temperature(run.recipe)).sigmoid().double()
    return scores @ (scores.sum(0) + data.balance_offset).clamp(min=1) ** -data.balance
