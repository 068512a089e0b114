"""Bringing a run's parts together from a recipe and a data set."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from audiotag.data.dataset import ClipDataset, read_labels
from audiotag.data.loading.clips import open_clips
from audiotag.data.targets import Targets
from audiotag.errors import DataError, RecipeError
from audiotag.evaluation.stored_scores import StoredScores, read_scores
from audiotag.label_set import Label, Labels, is_negative
from audiotag.models.config import read_config
from audiotag.models.model import Model, to_device
from audiotag.models.provenance import TrainedOn
from audiotag.models.transformers.folder import USES
from audiotag.runtime.distributed import process_count
from audiotag.tagging.load import load_tagger
from audiotag.tagging.locate import model_folder
from audiotag.training.augment.build import build_augmentations
from audiotag.training.distill.embeddings import Matching
from audiotag.training.distill.feature_maps import common_layers
from audiotag.training.distill.teachers import Answer, Teachers, load_others
from audiotag.training.hearing import hearing_of
from audiotag.training.model import build_tagger, check_crops, check_erasing, set_priors
from audiotag.training.optim.freezing import freeze
from audiotag.training.probe.probe import Probe, fit_probe
from audiotag.training.recipe.sections import PROBE, Recipe
from audiotag.training.resumed_data import check_data, described, hash_labels
from audiotag.training.run import LabelledClips, Run
from audiotag.training.sampling import balancing_weights, limited_weights
from audiotag.training.schedule import plan_schedule
from audiotag.training.student import build_student

ACCURACY = "valid_accuracy"  # metric for clips with exactly one label
PRECISION = "valid_map"  # metric for clips of which some have labels
HEARD = 0.3  # a teacher's score at which a clip counts as one of data.limit_labels


def start(
    recipe: Recipe, data: Path, device: torch.device, rank: int = 0, resumed: Path | None = None
) -> Run:
    """Bring a run's parts together.

    Args:
        recipe: What to do.
        data: A prepared data set.
        device: Where to train.
        rank: Number of this process.
        resumed: Folder of the run that is to go on, or nothing.

    Raises:
        RecipeError, DataError, ModelError: If they do not fit.
    """
    teacher, stored = _load_teacher(recipe, device), _read_stored(recipe)
    labels = labels_of(recipe, data, stored if teacher is None else teacher)
    tagger, is_new_head = _build_model(recipe, labels, device)
    train_set, valid_set = (ClipDataset(data, **part) for part in data_parts(recipe))
    _check_fit(recipe, tagger, data, train_set)
    trained_on = _trained_on(recipe, data, train_set, valid_set, labels)
    if resumed is not None:
        trained_on = check_data(resumed, data, trained_on)
    if teacher is not None:
        check_crops(teacher, recipe)
    targets, valid_targets = _targets(recipe, train_set, valid_set, labels)
    _set_config(recipe, tagger, targets, valid_targets)
    schedule = plan_schedule(recipe, len(train_set), rank, process_count())
    teachers = None if teacher is None else _gather_teachers(recipe, teacher, tagger)
    training = _training_clips(recipe, train_set, targets, stored, device)
    answer, probe = None, None
    kept = kept_count(recipe)
    drawn_by_scores = recipe.data.balance or recipe.data.limit_labels
    if is_new_head or drawn_by_scores or _learns_embeddings(recipe):
        answer = _answer_to_beginnings(recipe, training, teachers, schedule.micro_size)
    if recipe.model.head == PROBE and targets is not None:
        probe = fit_probe(tagger, train_set, targets.dense()[:, kept:], kept)
        _set_thresholds(recipe, tagger, probe)
    elif is_new_head:
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
        trained_on=trained_on,
        probe=probe,
        kept=kept,
        former=deepcopy(tagger.backbone).eval() if kept and recipe.train.epochs else None,
    )


def _load_teacher(recipe: Recipe, device: torch.device) -> Model | None:
    if recipe.distill is None or not recipe.distill.teacher:
        return None
    whole = recipe.distill.layers is None  # else each layer's own map is wanted
    teacher = load_tagger(recipe.distill.teacher, device.type, folded=whole)
    if not isinstance(teacher, Model):
        raise RecipeError(f"distill.teacher {recipe.distill.teacher} {USES}")
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


def labels_of(recipe: Recipe, data: Path, source: Model | StoredScores | None = None) -> Labels:
    """The labels to learn: those of the scores that are learnt, or else of the data."""
    if source is not None:
        return source.labels
    if recipe.data.label_set == "audioset":
        return Labels.audioset()
    own = [x for x in read_labels(data) if not (recipe.data.negatives and is_negative(x.name))]
    kept = _kept_labels(recipe)
    if doubled := {x.name for x in kept} & {x.name for x in own}:
        raise DataError(
            f"{min(doubled)!r} is a label of {recipe.model.init} and of {data}; call yours by "
            f"another name, as 'my {min(doubled)}', to add it to those of the model"
        )
    return Labels([*kept, *own])


def _kept_labels(recipe: Recipe) -> tuple[Label, ...]:
    """The labels of the model to start from that new ones are added to."""
    if not recipe.model.keep_labels:
        return ()
    config = read_config(model_folder(recipe.model.init))
    if config.softmax:
        raise RecipeError(
            f"{recipe.model.init} gives each clip one of its labels, so none can be added; leave "
            "out --keep, or start from a model that scores each label by itself"
        )
    return tuple(config.labels)


def kept_count(recipe: Recipe) -> int:
    """How many labels of the model to start from are kept."""
    return len(_kept_labels(recipe))


def _set_config(
    recipe: Recipe, tagger: Model, targets: Targets | None, valid_targets: Targets | None
) -> None:
    """Set in a model's config how it will hear and score clips."""
    is_single = _is_single(recipe, targets, valid_targets)
    shortest, window = hearing_of(tagger, recipe.data.crop_seconds)
    if recipe.model.keep_labels:  # their scores depend on how clips are heard
        shortest, window = tagger.min_duration, tagger.window
    tagger.config = replace(tagger.config, softmax=is_single, min_duration=shortest, window=window)


def _set_thresholds(recipe: Recipe, tagger: Model, probe: Probe) -> None:
    """Note from which score on each label counts as heard, where clips may have several or none;
    beside thresholds of labels that are kept, if these have such."""
    thresholds: tuple[float, ...] | None = None if tagger.config.softmax else probe.thresholds
    if recipe.model.keep_labels:
        former = read_config(model_folder(recipe.model.init)).thresholds
        thresholds = None if former is None else (*former, *probe.thresholds)
    tagger.config = replace(tagger.config, thresholds=thresholds)


def _build_model(recipe: Recipe, labels: Labels, device: torch.device) -> tuple[Model, bool]:
    """The model on its device, parts of it frozen, and whether its head is a new one."""
    torch.manual_seed(recipe.train.seed)  # after the teacher, as building it draws numbers too
    tagger, is_new_head = build_tagger(recipe, labels)
    tagger = to_device(tagger, device)
    freeze(tagger.backbone, recipe.model.freeze)
    return tagger, is_new_head


def data_parts(recipe: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    """The training clips and the validation clips, as arguments of `ClipDataset`."""
    fold = recipe.data.valid_fold
    if fold is not None:
        return {"without_fold": fold}, {"fold": fold}
    if recipe.data.valid_percent is not None:
        split, percent = recipe.data.train_split, recipe.data.valid_percent
        return {"split": split, "share": (percent, 100)}, {"split": split, "share": (0, percent)}
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


def _targets(
    recipe: Recipe, training: ClipDataset, validation: ClipDataset, labels: Labels
) -> tuple[Targets | None, Targets | None]:
    """Labels of the training clips, None if only the teacher's scores are learnt, and of the
    validation clips, None if these are compared with the teacher's scores.

    Raises:
        RecipeError: If `distill.least_score` finds no labels.
    """
    distill = recipe.distill
    if distill is None or distill.weight < 1:
        return training.targets(labels), validation.targets(labels)
    if not distill.least_score:
        return None, None
    targets = training.targets(labels)
    if not targets.counts.any():
        raise RecipeError(
            "distill.least_score is for labels that the teacher hears too, but no training clip "
            "has a label; leave it out, or prepare the clips with labels"
        )
    return targets, None


def _is_single(recipe: Recipe, targets: Targets | None, valid_targets: Targets | None) -> bool:
    """Whether the loss is that of exactly one label a clip: all clips of both parts have one."""
    is_single = not recipe.model.keep_labels and all(
        x is not None and x.is_single for x in (targets, valid_targets)
    )
    if recipe.train.task == "single" and not is_single:
        raise RecipeError(f'train.task is "single", but {_not_single(targets, valid_targets)}')
    is_single = is_single and recipe.train.task != "multi" and recipe.distill is None
    if recipe.train.metric == ACCURACY and not is_single:
        raise RecipeError(f'train.metric = "{ACCURACY}" needs clips with exactly one label each')
    if recipe.train.metric == PRECISION and valid_targets is not None:
        if not valid_targets.counts.any():
            raise DataError(
                f"none of the {len(valid_targets)} validation clips has a label, so nothing can be "
                'measured; give them labels, or set train.metric = "valid_loss"'
            )
    return is_single


def _not_single(targets: Targets | None, valid_targets: Targets | None) -> str:
    """The message about clips that do not have exactly one label, with the remedy."""
    for part, found in (("training", targets), ("validation", valid_targets)):
        if found is not None and not found.is_single:
            bare, several = int((found.sizes == 0).sum()), int((found.sizes > 1).sum())
            return (
                f"{bare} {part} clips have no label and {several} have several; give each "
                'exactly one, or use train.task = "multi"'
            )
    return 'the labels are not learnt; use "multi"'


def _gather_teachers(recipe: Recipe, first: Model, student: Model) -> Teachers:
    """The first teacher and the further ones."""
    distill = recipe.distill
    assert distill is not None
    front_ends = [
        (config.front_end, config.front_end_args)
        for config in (student.resolved_config(), first.resolved_config())
    ]
    return Teachers(
        first=first,
        others=load_others(
            distill.other_teachers or (), first.labels, student.device, distill.other_weight
        ),
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
    scores = None if stored is None else _softened(stored.of(dataset), recipe)
    return LabelledClips(open_clips(dataset, device), dataset.keys, targets, scores)


def _validation_clips(
    dataset: ClipDataset,
    targets: Targets | None,
    stored: StoredScores | None,
    device: torch.device,
) -> LabelledClips:
    """The validation clips, with stored scores if they have no labels."""
    scores = None
    if targets is None and stored is not None:
        scores = torch.from_numpy(stored.of(dataset)).float()
    return LabelledClips(open_clips(dataset, device), dataset.keys, targets, scores)


def _softened(scores: np.ndarray, recipe: Recipe) -> Tensor:
    """Scores (N, classes), softened as a teacher's are; in double precision, in which logits up to
    36 still have different scores."""
    logits = torch.from_numpy(scores).double().logit()
    return (logits / _temperature(recipe)).sigmoid().float()


def _temperature(recipe: Recipe) -> float:
    return 1.0 if recipe.distill is None else recipe.distill.temperature


def _learns_embeddings(recipe: Recipe) -> bool:
    return recipe.distill is not None and recipe.distill.embedding_weight > 0


def _answer_to_beginnings(
    recipe: Recipe, training: LabelledClips, teachers: Teachers | None, batch_size: int
) -> Answer | None:
    """The outputs of the first teacher, or else the stored scores, for the beginning of each
    training clip; None without a teacher. How often clips are drawn needs no second opinion."""
    if teachers is None:
        return None if training.scores is None else Answer(training.scores)
    seconds, first = min(recipe.data.crop_seconds), replace(teachers, others=())
    scores, embeddings = [], []
    for clips in torch.arange(len(training)).split(batch_size):
        head = training.clips.heads(clips, seconds)
        answer = first.answer(head, first.features(head))
        scores.append(answer.scores.cpu())
        embeddings.append(cast(Tensor, answer.embeddings).cpu())
    return Answer(torch.cat(scores), torch.cat(embeddings))


def _frequencies(training: LabelledClips, answer: Answer | None) -> Tensor:
    """Fraction of the clips that have each class (classes,), by the teacher, or by the labels."""
    if answer is not None:
        return answer.scores.mean(0)
    assert training.targets is not None
    return torch.from_numpy(training.targets.counts) / len(training)


def _clip_weights(
    recipe: Recipe, training: LabelledClips, answer: Answer | None, labels: Labels
) -> Tensor | None:
    """How often to draw each clip (N,), by the teacher's scores, or by its labels; None if all are
    drawn equally often."""
    data = recipe.data
    if not data.balance and not data.limit_labels:
        return None
    columns = [_column(name, labels) for name in data.limit_labels or ()]
    if answer is None:
        assert training.targets is not None
        weights = balancing_weights(training.targets, data.balance, data.balance_offset)
        common = _has_any(training.targets, columns)
    else:
        # Undo the softening: a score of 0.001 must not count as a tenth of a class.
        scores = (answer.scores.logit() * _temperature(recipe)).sigmoid().double()
        weights = scores @ (scores.sum(0) + data.balance_offset).clamp(min=1) ** -data.balance
        common = (scores[:, columns] >= HEARD).any(1)
    if not data.balance:
        weights = torch.ones_like(weights)
    return limited_weights(weights, common, data.limit_share) if columns else weights


def _column(name: str, labels: Labels) -> int:
    """The position of a label of data.limit_labels.

    Raises:
        RecipeError: If no label has that name.
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
    """The distance to the teacher's embeddings, if these are learnt."""
    if answer is None or answer.embeddings is None or not _learns_embeddings(recipe):
        return None
    width = cast(Any, tagger.backbone).head_hidden_size
    return Matching(width, answer.embeddings).to(tagger.device)


def _trained_on(
    recipe: Recipe, data: Path, train_set: ClipDataset, valid_set: ClipDataset, labels: Labels
) -> TrainedOn:
    """What the run folder says of the clips."""
    sets = zip((train_set, valid_set), data_parts(recipe), strict=True)
    train, valid = (described(clips, part) for clips, part in sets)
    return TrainedOn(Path(data).resolve().name, train, valid, hash_labels(labels))
