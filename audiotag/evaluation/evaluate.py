"""Evaluation: models are scored on a prepared data set, measured, compared; results are stored."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from audiotag.evaluation.calibration import (
    LEAST_POSITIVES,
    StoredCalibration,
    calibrated_scores,
    store_fitted_calibration,
)
from audiotag.evaluation.comparison import Comparison, compare
from audiotag.evaluation.folds import fold_runs, is_cross_validation, score_folds
from audiotag.evaluation.held_out import count_learnt, read_crops, validation_part
from audiotag.evaluation.measurement import RESAMPLES, measure
from audiotag.evaluation.scoring import Scores, score
from audiotag.evaluation.summary import summarise
from audiotag.evaluation.thresholds import StoredThresholds, store_fitted_thresholds
from audiotag.models.engine import Configured
from audiotag.models.evaluation_record import Evaluation
from audiotag.models.transformers.folder import USES, is_classifier
from audiotag.runtime.distributed import joined_processes, launched_rank
from audiotag.runtime.lock import lock_of, locked, locked_folder
from audiotag.tagging.locate import model_folder, published_model
from audiotag.tagging.open import open_engine


@dataclass(frozen=True)
class EvaluationPlan:
    """What to measure, how, and what to store.

    Attributes:
        models: Model folders, `.onnx` files, Hub ids, and folders of cross-validations.
        data: A prepared data set.
        compared: Runs of a second model; `models` are then the runs of the first.
        split: The split to measure on. If neither split nor fold is given, each model is measured
            on the clips that its run was validated on, or as `validation_part` says.
        fold: The fold to measure on.
        resamples: Resamples for intervals and p-values; 0 for none.
        save: Whether to write `evaluation.json` into the models' folders.
        fit_thresholds: Whether to fit thresholds on these clips and store them in the folders.
        calibrate: Whether to fit calibrations first, and store them too; the figures are then
            those of calibrated scores.
        least_positives: The least number of clips with which a class gets its own threshold and
            bias.
        scores: File for the scores of one model; the clips may then have no labels.
        batch_size: Clips scored at once.
        device: "auto", "cpu" or "cuda".
        engine: What computes a model folder: "torch", or "onnx" with its `model.onnx`.
        precision: "fp32" or "bf16".

    Raises:
        ValueError: If these exclude each other.
    """

    models: tuple[str, ...]
    data: Path
    compared: tuple[str, ...] = ()
    split: str | None = None
    fold: int | None = None
    resamples: int = RESAMPLES
    save: bool = False
    fit_thresholds: bool = False
    calibrate: bool = False
    least_positives: int = LEAST_POSITIVES
    scores: Path | None = None
    batch_size: int = 16
    device: str = "auto"
    engine: str = "torch"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if self.save and self.precision != "fp32":
            raise ValueError(
                f"--save keeps figures of fp32; leave out --precision {self.precision}"
            )
        if self.compared and not self.resamples:
            raise ValueError("--compare judges by resamples; leave out --resamples 0")
        if self.scores is not None and len(self.models + self.compared) > 1:
            raise ValueError("--scores takes the scores of one MODEL; leave out the others")
        if self.save or self.fit_thresholds or self.calibrate:
            check_folders(self.models)
        if self.split is not None or self.fold is not None:
            _check_no_cross_validation(self.models + self.compared)


@dataclass(frozen=True)
class EvaluationResults:
    """What was measured.

    Attributes:
        clips: How many clips the first model was measured on.
        evaluations: One for each model, then for each compared one; none if no clip has a label.
        comparison: The comparison of the two models; None if there is only one.
        thresholds: The thresholds that were stored, for each model.
        calibrations: The calibrations that were stored, for each model.
    """

    clips: int
    evaluations: tuple[Evaluation, ...] = ()
    comparison: Comparison | None = None
    thresholds: tuple[StoredThresholds, ...] = ()
    calibrations: tuple[StoredCalibration, ...] = ()


def evaluate(plan: EvaluationPlan) -> EvaluationResults | None:
    """Measure models, and store what the plan says.

    Returns:
        The results. If torchrun started several processes, they share the work, and all except
        the first return None.

    Raises:
        DataError, ModelError, HubError: As `scoring.score`, `open_engine` and `comparison.compare`.
    """
    with _locked(plan):
        return _evaluate(plan)


@contextmanager
def _locked(plan: EvaluationPlan) -> Iterator[None]:
    """A context in which no other process writes what the plan writes. Of processes that torchrun
    started, the first one writes."""
    with ExitStack() as stack:
        if not launched_rank():
            is_written = plan.save or plan.fit_thresholds or plan.calibrate
            folders = {Path(model).resolve() for model in plan.models if is_written}
            for folder in sorted(folders):
                held = f"another process writes into {folder}; wait for it"
                stack.enter_context(locked_folder(folder, held))
            if plan.scores is not None:
                held = f"another process writes {plan.scores}; wait for it, or choose another file"
                stack.enter_context(locked(lock_of(plan.scores), held, name=plan.scores))
        yield


def _evaluate(plan: EvaluationPlan) -> EvaluationResults | None:
    with joined_processes() as rank:
        scored = [_score(plan, model) for model in plan.models + plan.compared]
    if rank:
        return None
    calibrations: tuple[StoredCalibration, ...] = ()
    if plan.calibrate:
        scored, calibrations = _calibrate(plan, scored)
    clips = len(scored[0].keys)
    if plan.scores is not None:
        scored[0].save(plan.scores)
        if not scored[0].targets.any():
            return EvaluationResults(clips)
    measured = [measure(scores, plan.resamples) for scores in scored]
    names = plan.models + plan.compared
    evaluations = tuple(map(_beside_published, map(summarise, measured), names))
    first, second = measured[: len(plan.models)], measured[len(plan.models) :]
    thresholds = _store(plan, evaluations, scored)
    return EvaluationResults(
        clips,
        evaluations,
        compare(first, second) if second else None,
        thresholds,
        calibrations,
    )


def _beside_published(evaluation: Evaluation, model: str) -> Evaluation:
    """An evaluation with what a model's authors published, where it is theirs, by name."""
    found = published_model(model)
    if found is None:
        return evaluation
    published = round(found.score / 100, 6)
    return replace(evaluation, published_map=published, published_in=found.paper)


def check_folders(models: tuple[str, ...]) -> None:
    """Raise a ValueError if not all models are folders that values can be stored in."""
    for model in models:
        if not Path(model).is_dir():
            raise ValueError(
                "--save, --fit-thresholds and --calibrate write into a model folder, and "
                f"{model} is not one; get one with audiotag pull or train"
            )
        if is_classifier(Path(model)):
            raise ValueError(f"{model} {USES}; --save, --fit-thresholds and --calibrate change it")


def _check_no_cross_validation(models: tuple[str, ...]) -> None:
    for model in models:
        if is_cross_validation(Path(model)):
            raise ValueError(
                f"{model} is a cross-validation, measured on all clips; leave out --split and "
                "--fold, or name one of its runs"
            )


def _score(plan: EvaluationPlan, model: str) -> Scores:
    """The scores of one model, or those of the runs of a cross-validation, joined."""
    if is_cross_validation(Path(model)):
        how = plan.device, plan.batch_size, plan.precision, plan.engine
        joined = Scores.join(score_folds(Path(model), plan.data, *how))
        return replace(joined, crops=read_crops(next(iter(fold_runs(Path(model)).values()))))
    folder = Path(model) if model.endswith(".onnx") else model_folder(model)
    split, fold, share = plan.split, plan.fold, None
    if split is None and fold is None:
        split, fold, share = validation_part(folder, plan.data)
    engine = "onnx" if folder.suffix == ".onnx" else plan.engine
    tagger = open_engine(str(folder), plan.device, engine, plan.precision, name=model)
    if plan.calibrate and model in plan.models:
        assert isinstance(tagger, Configured)
        tagger.config = replace(tagger.config, calibration=None)
    unlabelled = plan.scores is not None
    scores = score(tagger, plan.data, split, fold, plan.batch_size, unlabelled, share)
    learnt = count_learnt(folder, plan.data, scores.keys)
    return replace(scores, learnt=learnt, crops=read_crops(folder))


def _calibrate(
    plan: EvaluationPlan, scored: list[Scores]
) -> tuple[list[Scores], tuple[StoredCalibration, ...]]:
    """Store calibrations in the models' folders. Returns the scores, calibrated except for the
    compared models, and the calibrations."""
    folders = [Path(model) for model in plan.models]
    pairs = list(zip(folders, scored, strict=False))
    stored = tuple(store_fitted_calibration(x, y, plan.least_positives) for x, y in pairs)
    calibrated = [replace(y, values=calibrated_scores(x, y.values)) for x, y in pairs]
    return [*calibrated, *scored[len(folders) :]], stored


def _store(
    plan: EvaluationPlan, evaluations: tuple[Evaluation, ...], scored: list[Scores]
) -> tuple[StoredThresholds, ...]:
    """Write evaluations and thresholds into the models' folders, as the plan says; returns the
    thresholds."""
    folders = [Path(model) for model in plan.models]
    if plan.save:
        for folder, evaluation in zip(folders, evaluations, strict=False):
            evaluation.save(folder)
    if not plan.fit_thresholds:
        return ()
    pairs = zip(folders, scored, strict=False)
    least = plan.least_positives
    return tuple(store_fitted_thresholds(folder, scores, least) for folder, scores in pairs)
