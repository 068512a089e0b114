"""Published models by name: where their weights are, how good they are, and on what terms.

Sizes are those of the tensors in single precision, from which a file differs by little.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from types import MappingProxyType

HUB, ZENODO, GITHUB = "https://huggingface.co", "https://zenodo.org", "https://github.com"
MIRROR = "AUDIOTAG_MIRROR"  # variable with an address that stands for all three
DCLS, EFFICIENTAT = "arXiv 2309.13972", "arXiv 2211.04772"
CED, TOPEL = "arXiv 2308.11957", "arXiv 2306.00830"
CED_REPOSITORY = "mispeech"
EFFICIENTAT_REPOSITORY, EFFICIENTAT_RELEASE = "fschmid56/EfficientAT", "v0.0.1"
DCLS_RECORD = "8370979"
SAFETENSORS = "model.safetensors"
LIKENESS = 0.75  # of two names, from which on one may be meant by the other
# Of mn10_as: mAP with frames every so many ms, not 10, or with so many bands, not 128.
OTHER_MAPS = {
    **{"hop_5": 47.5, "hop_15": 46.3, "hop_20": 45.6, "hop_25": 44.7},
    **{"mels_40": 45.3, "mels_64": 46.1, "mels_256": 47.4},
}
# Of files whose place states none, as far as they are known.
CHECKSUMS = {
    "mn04_as_mAP_432.pt": (
        "sha256:899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c"
    ),
}


@dataclass(frozen=True)
class PublishedModel:
    """A model whose weights others have published.

    Attributes:
        name: What `--model` calls it.
        host: HUB, ZENODO or GITHUB.
        place: The repository, or the record's number.
        version: Tag of the release, or the record's number; empty on the Hub, which has commits.
        file: Name of the file.
        megabytes: About how large it is.
        licence: Of the weights, as their page states it.
        score: mAP in % on AudioSet's evaluation clips, as its authors state it.
        paper: Where they state it.
        purpose: What it is good for, in a few words.
        checksum: Of the file, as "md5:..." or "sha256:..."; None if the place says it, or nobody.
    """

    name: str
    host: str
    place: str
    version: str
    file: str
    megabytes: float
    licence: str
    score: float
    paper: str
    purpose: str
    checksum: str | None = None

    @property
    def page(self) -> str:
        """Where people read of it."""
        return f"{base(self.host)}/{_page(self)}"

    @property
    def url(self) -> str:
        """Address of its file."""
        if self.host == ZENODO:
            return f"{base(ZENODO)}/records/{self.place}/files/{self.file}?download=1"
        if self.host == GITHUB:
            return f"{base(GITHUB)}/{self.place}/releases/download/{self.version}/{self.file}"
        return f"{base(HUB)}/{self.place}/resolve/main/{self.file}"


def nearest(name: str) -> list[str]:
    """The names of published models that somebody who writes this one may mean."""
    return get_close_matches(name.lower(), MODELS, cutoff=LIKENESS)


def architecture_of(name: str) -> str:
    """What the architecture of a published model is called, where that has a name like it."""
    return name.replace("-", "_")


def base(host: str) -> str:
    """Address of a host, or of the mirror that stands for it."""
    return os.environ.get(MIRROR, "").strip().rstrip("/") or host


def _page(model: PublishedModel) -> str:
    if model.host == ZENODO:
        return f"records/{model.place}"
    if model.host == GITHUB:
        return f"{model.place}/releases/tag/{model.version}"
    return model.place


_Ced = partial(
    PublishedModel, host=HUB, version="", file=SAFETENSORS, licence="Apache-2.0", paper=CED
)
_Dcls = partial(
    PublishedModel,
    host=ZENODO,
    place=DCLS_RECORD,
    version=DCLS_RECORD,
    licence="MIT",
    paper=DCLS,
)
_EfficientAT = partial(
    PublishedModel,
    host=GITHUB,
    place=EFFICIENTAT_REPOSITORY,
    version=EFFICIENTAT_RELEASE,
    licence="MIT",
    paper=EFFICIENTAT,
)
_CONVNEXT_AT = PublishedModel(
    "convnext_tiny_at",
    host=HUB,
    place="topel/ConvNeXt-Tiny-AT",
    version="",
    file=SAFETENSORS,
    megabytes=112.9,
    licence="see its page",
    score=47.1,
    paper=TOPEL,
    purpose="a plain ConvNeXt, to compare DCLS with",
)


def _ced() -> Iterator[PublishedModel]:
    for size, megabytes, score, purpose in (
        ("tiny", 22.0, 48.1, "good tags at little cost"),
        ("mini", 38.8, 49.0, "between ced-tiny and ced-small"),
        ("small", 86.5, 49.6, "nearly the best, at a quarter of the size"),
        ("base", 342.8, 50.0, "the best tags; a teacher"),
    ):
        place = f"{CED_REPOSITORY}/ced-{size}"
        yield _Ced(f"ced-{size}", place=place, megabytes=megabytes, score=score, purpose=purpose)


def _dcls() -> Iterator[PublishedModel]:
    for name, megabytes, score, purpose in (
        ("convnext_dcls_audio_tiny", 115.0, 45.52, "the DCLS paper's best; to fine-tune"),
        ("convformer_audio_s18", 103.2, 43.14, "the paper's, without DCLS"),
        ("convformer_dcls_audio_s18", 106.4, 43.68, "the paper's, DCLS beside attention"),
        ("fastvit_dcls_audio_sa24", 86.6, 44.4, "the paper's, of the fewest parameters"),
    ):
        file = f"{name}.pth"
        yield _Dcls(name, file=file, megabytes=megabytes, score=score, purpose=purpose)


def _efficientat() -> Iterator[PublishedModel]:
    for name, megabytes, score, purpose in (
        ("mn01_as", 0.5, 29.8, "the smallest"),
        ("mn02_as", 1.3, 37.8, "very small"),
        ("mn04_as", 4.0, 43.2, "small; the default model's teacher"),
        ("mn05_as", 5.8, 44.3, "small"),
        ("mn10_as", 19.6, 47.1, "many files on a CPU"),
        ("mn20_as", 71.8, 47.8, "between mn10_as and mn30_as"),
        ("mn30_as", 156.6, 48.2, "between mn20_as and mn40_as"),
        ("mn40_as", 274.1, 48.4, "as mn40_as_ext, trained for less time"),
        ("mn40_as_ext", 274.1, 48.7, "the best tags of convolutions alone"),
    ):
        file = f"{name}_mAP_{round(10 * score)}.pt"
        checksum = CHECKSUMS.get(file)
        yield _EfficientAT(
            name,
            file=file,
            megabytes=megabytes,
            score=score,
            purpose=purpose,
            checksum=checksum,
        )


def _other_front_ends() -> Iterator[PublishedModel]:
    """mn10_as on maps of other frames, or of other bands, which its name tells."""
    for suffix, score in OTHER_MAPS.items():
        name = f"mn10_as_{suffix}"
        file = f"{name}_mAP_{round(10 * score)}.pt"
        purpose = "mn10_as on other maps"
        yield _EfficientAT(name, file=file, megabytes=19.6, score=score, purpose=purpose)


MODELS: Mapping[str, PublishedModel] = MappingProxyType(
    {
        model.name: model
        for model in (*_ced(), _CONVNEXT_AT, *_dcls(), *_efficientat(), *_other_front_ends())
    }
)


# Those that somebody who chooses one has to know.
LADDER = (
    *("ced-base", "ced-small", "mn40_as_ext", "ced-tiny", "mn10_as"),
    *("convnext_dcls_audio_tiny", "mn04_as"),
)


def _untold(name: str, other: str) -> str:
    return (
        f"{name} is an architecture without weights: its authors' README links it to the file of "
        f"{other}, from which its own cannot be told; name {other}, or train {name}"
    )


# Why weights that a paper speaks of are not to be had by name.
NOT_OFFERED: Mapping[str, str] = MappingProxyType(
    {
        dense: _untold(dense, dense.replace("_audio_", "_dcls_audio_"))
        for dense in ("convnext_audio_tiny", "fastvit_audio_sa24")
    }
)
