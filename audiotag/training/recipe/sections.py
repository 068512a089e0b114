"""The sections of a recipe, each a frozen dataclass: its values, their defaults and limits."""

from dataclasses import dataclass, field
from typing import Any

from audiotag.layers.swap import DclsArguments

BACKBONE = "backbone"  # model.freeze: all except the classifier

PROBE = "probe"  # model.head: logistic regression on the backbone's outputs


def _one_of(*names: str) -> Any:
    """A field that takes one of `names`; the first unless given."""
    return field(default=names[0], metadata={"choices": names})


def _number(default: float | None, low: float, high: float = float("inf")) -> Any:
    """A field that takes numbers from `low` to `high`."""
    return field(default=default, metadata={"limits": (low, high)})


@dataclass(frozen=True)
class ModelRecipe:
    """The backbone: an architecture name and its arguments, or a trained model to start from."""

    architecture: str = "convnext_dcls_audio_tiny"
    args: dict[str, Any] = field(default_factory=dict)
    init: str | None = None  # model folder, Hub id or name; its architecture and front end are used
    pretrained: bool = False  # start from the published image model's weights
    # "backbone": only the classifier learns; a number: the stem and that many stages do not.
    freeze: str | int = 0
    # How the head starts: random, with the frequencies of the classes; or fitted by logistic
    # regression to the backbone's outputs for the training clips, and measured before the first
    # step.
    head: str = _one_of("random", PROBE)
    keep_labels: bool = False  # add the labels of the data to those of model.init


@dataclass(frozen=True)
class DclsRecipe:
    """Which convolutions of the model become DCLS ones, and how (`layers.swap.swap_convs`)."""

    match_kernel: int | None = None  # only convolutions of this size; unless given, all above 1x1
    depthwise: bool = True  # only depthwise ones; false: all
    kernel_size: int = DclsArguments.kernel_size  # these five are explained there
    kernel_count: int | None = DclsArguments.kernel_count
    version: str = DclsArguments.version
    share: bool = DclsArguments.share
    init: str = DclsArguments.init


@dataclass(frozen=True)
class FeaturesRecipe:
    """The front end by name, and arguments that differ from its defaults."""

    name: str = "log_mel"
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DataRecipe:
    """Which clips are used, and how they are cropped and drawn."""

    train_split: str = "train"
    valid_split: str = "valid"
    valid_fold: int | None = None  # validate on this fold and train on all others, of any split
    # Validate on this percentage of the recordings of train_split, chosen by a hash of their names,
    # and train on the others.
    valid_percent: int | None = _number(None, 1, 99)
    negatives: bool = False  # labels called background, noise or none mean: no label
    label_set: str = _one_of("data", "audioset")  # the data set's own labels, or the 527 classes
    crop_seconds: tuple[float, ...] = (10.0,)  # each batch draws one of these lengths
    epoch_clips: int | None = _number(None, 1)  # clips drawn in an epoch; all of them unless given
    # The weight of a clip is the sum over its classes of (count(class) + offset) ** -balance.
    # 0: each clip once an epoch. 0.5: inverse square root. 1 with offset 100: arXiv 2309.13972.
    balance: float = _number(0.0, 0.0)
    balance_offset: float = _number(0.0, 0.0)
    # Clips with any of these labels (by a teacher: a score of 0.3 or more) are together at most
    # this fraction of the draws.
    limit_labels: tuple[str, ...] | None = None
    limit_share: float = _number(0.2, 0.0, 0.99)


@dataclass(frozen=True)
class AugmentRecipe:
    """Augmentations of waveforms (speed, roll, mix, reverb, filter, noise, gain, quiet), of power
    spectrograms (erasing) and of maps (masks, mixup), in this order."""

    roll: bool = False  # shift each waveform circularly by a random number of samples
    speed_prob: float = _number(0.0, 0.0, 1.0)  # chance that a clip is played faster or slower
    speed: tuple[float, float] = (0.5, 1.5)  # by a factor uniform between these
    mix_prob: float = _number(0.0, 0.0, 1.0)  # chance that other clips of the batch are added
    mix_db: tuple[float, float] = (-20.0, 0.0)  # level of an added clip against the first
    mix_clips: int = _number(2, 2, 64)  # most clips heard at once, the first among them
    reverb_prob: float = _number(0.0, 0.0, 1.0)  # chance of reverberation
    reverb_seconds: tuple[float, float] = (0.2, 1.0)  # in which it decays by 60 dB (RT60)
    reverb_db: tuple[float, float] = (-20.0, 0.0)  # its level against the clip
    filter_prob: float = _number(0.0, 0.0, 1.0)  # chance of a random frequency response
    filter_db: float = _number(6.0, 0.0, 100.0)  # its gain at each octave, uniform in +- this
    noise_prob: float = _number(0.0, 0.0, 1.0)  # chance of noise
    noise_db: tuple[float, float] = (-60.0, -20.0)  # its level against the clip
    noise_slope: tuple[float, float] = (0.0, 0.0)  # its colour: white 0, pink 1, brown 2
    gain_db: float = _number(0.0, 0.0, 100.0)  # louder or softer, uniform in +- this
    quiet_prob: float = _number(0.0, 0.0, 1.0)  # chance that a clip is also made softer
    quiet_db: tuple[float, float] = (-40.0, 0.0)  # by a level uniform between these
    erase_prob: float = _number(0.0, 0.0, 1.0)  # chance that a rectangle of the power is erased
    time_masks: int = _number(0, 0, 100)  # SpecAugment: number and largest width, in frames
    time_width: int = _number(0, 0)
    mel_masks: int = _number(0, 0, 100)  # and in mel bands
    mel_width: int = _number(0, 0)
    mixup_alpha: float = _number(0.0, 0.0)  # Beta parameter of mixup, one draw a batch; 0: no mixup


@dataclass(frozen=True)
class OptimRecipe:
    """The optimiser, its parameter groups and the schedule (arXiv 2309.13972)."""

    name: str = _one_of("adamw", "lamb")
    lr: float = _number(4e-3, 0.0)
    min_lr: float = _number(1e-6, 0.0)
    warmup_epochs: float = _number(20.0, 0.0)
    weight_decay: float = _number(0.05, 0.0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = _number(1e-8, 0.0)
    position_lr_scale: float = _number(5.0, 0.0)  # factor of lr for DCLS positions, sigmas
    # Instead of falling as a cosine, the rate is halved at the end of this epoch and of each one
    # after it, as in arXiv 2104.01778.
    halve_after: int | None = _number(None, 1)
    layer_decay: float = _number(1.0, 0.0, 1.0)  # a layer's learning rate over the next one's
    clip_grad: float | None = _number(None, 0.0)  # largest norm of the gradient


@dataclass(frozen=True)
class TrainRecipe:
    """Length and arithmetic of the run."""

    epochs: int = _number(60, 0)  # 0: only fit the head with model.head = "probe"
    batch_size: int = _number(128, 1)  # clips of a step, over all processes
    # Clips that go through the model at once, and among which clips are mixed; unless given, a
    # process's share of the batch. Other clips of the batch follow, or other processes take them.
    micro_batch: int | None = _number(None, 1)
    precision: str = _one_of("fp32", "bf16", "fp16")
    compile: bool = False  # by torch.compile: minutes at the start, faster steps after
    # "multi": any number of labels (binary cross-entropy); "single": exactly one label a clip
    # (cross-entropy of a softmax); "auto": single if every clip, also for validation, has one.
    task: str = _one_of("multi", "single", "auto")
    label_smoothing: float = _number(0.1, 0.0, 1.0)
    ema_decay: float | None = _number(None, 0.0, 1.0)  # decay of a running average, which is saved
    save_every: int = _number(1, 1)  # epochs from one validation and checkpoint to the next
    save_steps: int | None = _number(None, 1)  # steps from one resumable state to the next
    keep: int = _number(1, 1)  # keep the weights of this many last and best validations
    # The figure that decides which validation is best.
    metric: str = _one_of("valid_map", "valid_accuracy", "valid_loss")
    patience: int | None = _number(None, 1)  # validations without a better one that end the run
    # The final weights; the averages are of the `keep` last or best ones.
    final: str = _one_of("last", "best", "average_last", "average_best")
    wandb_project: str | None = None  # also log to this project of Weights & Biases
    seed: int = _number(0, 0)


@dataclass(frozen=True)
class DistillRecipe:
    """Learning from a trained model's scores: those of the augmented crops, computed during
    training (`teacher`), or those of the whole clips, stored before (`scores`)."""

    teacher: str | None = None  # model folder, Hub id or name
    # Further teachers. For each label, the mean logit of the teachers that have it is learnt.
    # Embeddings and maps are those of `teacher`.
    other_teachers: tuple[str, ...] | None = None
    other_weight: float = _number(1.0, 0.0)  # of each further teacher's logits; the first has 1
    # Files of `audiotag evaluate --scores` with the scores of all training clips; with a weight of
    # 1, also of the validation clips. Augmentations blend these scores as they blend labels.
    scores: tuple[str, ...] | None = None
    temperature: float = _number(1.0, 0.01, 100.0)  # divides the logits of student and teacher
    # Compare the softmax of all classes (Kullback-Leibler divergence) instead of each class's own
    # score (binary cross-entropy).
    softmax: bool = False
    weight: float = _number(1.0, 0.0, 1.0)  # of the teacher's loss; the rest is the labels'
    # Least score to learn of a label that the teachers hear too; see distill.confirmed. 0: theirs.
    least_score: float = _number(0.0, 0.0, 0.99)
    # Weight of the distance to the teacher's embeddings, added to the loss; see distill.embeddings.
    embedding_weight: float = _number(0.0, 0.0)
    # Modules of both backbones whose maps are learnt too: a dotted name in which * stands for any
    # part; see distill.feature_maps. In the first `blockwise_epochs`, each takes the teacher's map
    # of the module before.
    layers: str | None = None
    layer_weight: float = _number(1.0, 0.0)
    blockwise_epochs: float = _number(0.0, 0.0)


@dataclass(frozen=True)
class Recipe:
    """All values of a training run."""

    model: ModelRecipe = ModelRecipe()
    dcls: DclsRecipe | None = None
    features: FeaturesRecipe = FeaturesRecipe()
    data: DataRecipe = DataRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    optim: OptimRecipe = OptimRecipe()
    train: TrainRecipe = TrainRecipe()
    distill: DistillRecipe | None = None
