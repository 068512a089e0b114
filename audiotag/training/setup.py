"""Bringing a run's parts together from a recipe and a data set."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from audiotag.data.dataset import ClipDataset, read_labels
from audiotag.data.loading.clips import open_clips
from audiotag.data.shards import hash_keys
from audiotag.data.targets import Targets
from audiotag.errors import DataError, RecipeError
from audiotag.evaluation.stored_scores import StoredScores, read_scores
from audiotag.label_set import Labels
from audiotag.models.model import Model, to_device
from audiotag.models.provenance import Part, TrainedOn
from audiotag.runtime.distributed import process_count
from audiotag.tagging.tagger import load_tagger
from audiotag.training.augment.build import build_augmentations
from audiotag.training.distill.embeddings import Matching
from audiotag.training.distill.feature_maps import common_layers
from audiotag.training.distill.teachers import Answer, Teachers, load_others
from audiotag.training.model import build_tagger, check_crops, check_erasing, set_priors
from audiotag.training.optim.freezing import freeze
from audiotag.training.recipe.sections import Recipe
from audiotag.training.run import LabelledClips, Run
from audiotag.training.sampling import balancing_weights, limited_weights
from audiotag.training.schedule import plan_schedule
from audiotag.training.student import build_student

ACCURACY = "valid_accuracy"  # a metric of single labels alone
HEARD = 0.3  # a teacher's score from which on a clip counts as one of data.limit_labels


def start(recipe: Recipe, data: Path, device: torch.device, rank: int = 0) -> Run:
    """Bring a run's parts together.

    Raises:
        RecipeError, DataError, ModelError: If they do not fit.
    """
    teacher, stored = _load_teacher(recipe, device), _read_stored(recipe)
    labels = _labels(recipe, data, stored if teacher is None else teacher)
    tagger, is_new_head = _build_model(recipe, labels, device)
    train_set, valid_set = (ClipDataset(data, **part) for part in _parts(recipe))
    _check_fit(recipe, tagger, data, train_set)
    targets, valid_targets = (_targets(recipe, x, labels) for x in (train_set, valid_set))
    tagger.config = replace(tagger.config, softmax=_is_single(recipe, targets))
    schedule = plan_schedule(recipe, len(train_set), rank, process_count())
    teachers = None if teacher is None else _gather_teachers(recipe, teacher, tagger)
    training = _training_clips(recipe, train_set, targets, stored, device)
    answer = None
    drawn_by_scores = recipe.data.balance or recipe.data.limit_labels
    if is_new_head or drawn_by_scores or _learns_embeddings(recipe):
        answer = _answer_to_beginnings(recipe, training, teachers, schedule.micro_size)
    if is_new_head:
        set_priors(tagger.backbone, _frequencies(training, answer), _temperature(recipe))
    return Run(
        recipe=recipe,
        device=device,
        schedule=schedule,
        student=build_student(recipe, tagger, _matching(recipe, tagger, answer)),
        teachers=teachers,
        training=training,
        validation=_validation_clips(valid_set, valid_targets, stored, device),
        weights=_clip_weights(recipe, training, answer, labels),
        augmentations=build_augmentations(recipe.augment, tagger.sample_rate),
        trained_on=_trained_on(recipe, data, train_set, valid_set),
    )


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


def _read_stored(recipe: Recipe) -> StoredScores | None:
    if recipe.distill is None or not recipe.distill.scores:
        return None
    return read_scores(recipe.distill.scores)


def _labels(recipe: Recipe, data: Path, source: Model | StoredScores | None) -> Labels:
    """The labels to learn: those of the scores that are learnt, or else of the data."""
    if source is not None:
        return source.labels
    return Labels.audioset() if recipe.data.label_set == "audioset" else read_labels(data)


def _build_model(recipe: Recipe, labels: Labels, device: torch.device) -> tuple[Model, bool]:
    """The model on its device, parts of it frozen, and whether its head is a new one."""
    torch.manual_seed(recipe.train.seed)  # after the teacher, whose building draws numbers too
    tagger, is_new_head = build_tagger(recipe, labels)
    tagger = to_device(tagger, device)
    freeze(tagger.backbone, recipe.model.freeze)
    return tagger, is_new_head


def _parts(recipe: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    """Which clips to train on, and which to validate on, as arguments of `ClipDataset`."""
    fold = recipe.data.valid_fold
    if fold is not None:
        return {"without_fold": fold}, {"fold": fold}
    return {"split": recipe.data.train_split}, {"split": recipe.data.valid_split}


def _check_fit(recipe: Recipe, tagger: Model, data: Path, clips: ClipDataset) -> None:
    """Refuse clips at another sample rate, and a recipe that the model cannot follow."""
    if clips.sample_rate != tagger.sample_rate:
        raise DataError(
            f"{data} is at {clips.sample_rate} Hz and the model takes {tagger.sample_rate} Hz; "
            f"prepare it with --sample-rate {tagger.sample_rate}"
        )
    check_crops(tagger, recipe)
    check_erasing(tagger, recipe)


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


def _gather_teachers(recipe: Recipe, first: Model, student: Model) -> Teachers:
    """The first teacher with those besides it."""
    distill = recipe.distill
    assert distill is not None
    front_ends = [
        (config.front_end, config.front_end_args)
        for config in (student.resolved_config(), first.resolved_config())
    ]
    return Teachers(
        first=first,
        others=load_others(distill.other_teachers or (), first.labels, student.device),
        layers=_learnt_layers(recipe, student, first),
        temperature=distill.temperature,
        sample_rate=student.sample_rate,
        shares_front_end=front_ends[0] == front_ends[1],
    )


def _learnt_layers(recipe: Recipe, student: Model, teacher: Model) -> tuple[str, ...]:
    """Names of the layers whose maps are learnt, which both models have in the same shape."""
    if recipe.distill is None or recipe.distill.layers is None:
        return ()
    count = round(min(recipe.data.crop_seconds) * student.sample_rate)
    silence = torch.zeros(1, count, device=student.device)
    maps = student.features(silence), teacher.features(silence)
    return common_layers(student.backbone, teacher.backbone, recipe.distill.layers, maps)


def _training_clips(
    recipe: Recipe,
    dataset: ClipDataset,
    targets: Targets | None,
    stored: StoredScores | None,
    device: torch.device,
) -> LabelledClips:
    scores = None if stored is None else _softened(stored.of(dataset.keys), recipe)
    return LabelledClips(open_clips(dataset, device), dataset.keys, targets, scores)


def _validation_clips(
    dataset: ClipDataset,
    targets: Targets | None,
    stored: StoredScores | None,
    device: torch.device,
) -> LabelledClips:
    """The clips to measure on, by stored scores where they have no labels."""
    scores = None
    if targets is None and stored is not None:
        scores = torch.from_numpy(stored.of(dataset.keys)).float()
    return LabelledClips(open_clips(dataset, device), dataset.keys, targets, scores)


def _softened(scores: np.ndarray, recipe: Recipe) -> Tensor:
    """Scores (N, classes) softened as a teacher's logits are; in double precision, where logits up
    to 36 still have scores of their own."""
    logits = torch.from_numpy(scores).double().logit()
    return (logits / _temperature(recipe)).sigmoid().float()


def _temperature(recipe: Recipe) -> float:
    return 1.0 if recipe.distill is None else recipe.distill.temperature


def _learns_embeddings(recipe: Recipe) -> bool:
    return recipe.distill is not None and recipe.distill.embedding_weight > 0


def _answer_to_beginnings(
    recipe: Recipe, training: LabelledClips, teachers: Teachers | None, batch_size: int
) -> Answer | None:
    """What teachers say of the beginning of each training clip; nothing without a teacher."""
    if teachers is None:
        return None if training.scores is None else Answer(training.scores)
    seconds, features = min(recipe.data.crop_seconds), teachers.first.features
    scores, embeddings = [], []
    for clips in torch.arange(len(training)).split(batch_size):
        head = training.clips.heads(clips, seconds)
        answer = teachers.answer(head, features(head))
        scores.append(answer.scores.cpu())
        embeddings.append(cast(Tensor, answer.embeddings).cpu())
    return Answer(torch.cat(scores), torch.cat(embeddings))


def _frequencies(training: LabelledClips, answer: Answer | None) -> Tensor:
    """Fraction of the clips that have each class, (classes,), by the teacher or else the labels."""
    if answer is not None:
        return answer.scores.mean(0)
    assert training.targets is not None
    return torch.from_numpy(training.targets.counts) / len(training)


def _clip_weights(
    recipe: Recipe, training: LabelledClips, answer: Answer | None, labels: Labels
) -> Tensor | None:
    """How often to draw each clip (N,), by the teacher's scores or else its labels; nothing where
    all are drawn equally often."""
    data = recipe.data
    if not data.balance and not data.limit_labels:
        return None
    columns = [_column(name, labels) for name in data.limit_labels or ()]
    if answer is None:
        assert training.targets is not None
        weights = balancing_weights(training.targets, data.balance, data.balance_offset)
        common = _has_any(training.targets, columns)
    else:
        # Undo the softening: a score of 0.001 must not weigh as a tenth of a class.
        scores = (answer.scores.logit() * _temperature(recipe)).sigmoid().double()
        weights = scores @ (scores.sum(0) + data.balance_offset).clamp(min=1) ** -data.balance
        common = (scores[:, columns] >= HEARD).any(1)
    if not data.balance:
        weights = torch.ones_like(weights)
    return limited_weights(weights, common, data.limit_share) if columns else weights


def _column(name: str, labels: Labels) -> int:
    """Where a label of data.limit_labels stands.

    Raises:
        RecipeError: If nothing that is learnt has that name.
    """
    try:
        return labels.index(name)
    except KeyError:
        raise RecipeError(f"data.limit_labels: no label is named {name!r}") from None


def _has_any(targets: Targets, columns: list[int]) -> Tensor:
    """Which clips have one of the labels, (N,) bool."""
    clips = np.arange(len(targets)).repeat(targets.sizes)[np.isin(targets.columns, columns)]
    found = torch.zeros(len(targets), dtype=torch.bool)
    found[torch.from_numpy(clips)] = True
    return found


def _matching(recipe: Recipe, tagger: Model, answer: Answer | None) -> Matching | None:
    """What compares embeddings with the teacher's, where these are learnt."""
    if answer is None or answer.embeddings is None or not _learns_embeddings(recipe):
        return None
    width = cast(Any, tagger.backbone).head_hidden_size
    return Matching(width, answer.embeddings).to(tagger.device)


def _trained_on(
    recipe: Recipe, data: Path, train_set: ClipDataset, valid_set: ClipDataset
) -> TrainedOn:
    """What the run folder says of the clips."""
    described = (
        Part(len(x), float(x.durations.sum()) / 3600, hash_keys(x.keys.tolist()), **part)
        for x, part in zip((train_set, valid_set), _parts(recipe), strict=True)
    )
    return TrainedOn(Path(data).resolve().name, *described)
