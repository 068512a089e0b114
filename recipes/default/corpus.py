"""Build a corpus of freely licensed recordings from the sound in Debian's packages.

    sudo apt-get update
    python recipes/default/corpus.py OUT

`packages.tsv`, beside this script, lists the packages with the licences of their sound. The script
needs a Debian system (apt-get, dpkg-deb), not its root, and soundfile and av from audiotag. It
leaves `OUT/debs` (what was downloaded), `OUT/audio/<package>` (the sound files as they came),
`OUT/index` (what was found in each package) and `OUT/corpus.csv`, one row per clip:

    path   relative to the csv            label        empty: a teacher scores the clips
    split  train or dev, by package       group        the package
    start, end   seconds; both empty where the clip is the whole file

A second run repeats nothing that is done: to take a package anew, delete its file in `OUT/index`.
"""

import argparse
import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import av
import soundfile

AUDIO = frozenset(".wav .ogg .oga .opus .mp3 .flac .aiff .aif .au .m4a .mp2 .wv .spx".split())
ZIPS = frozenset(".zip .pk3 .pk4 .pkz .wz .opk .love .orgue .jar".split())
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".h2drumkit")
SHORTEST = 0.3  # s: below it there is little to hear
PIECE = 10.0  # s: the length of AudioSet's clips
PIECES_PER_TRACK = 6
SPLITS = ("test", "dev", "train")  # a sound in packages of two splits belongs to the first of them
SPEECH_CLIPS = 300  # per package whose note begins with "speech"


@dataclass(frozen=True)
class Package:
    """A row of packages.tsv; `test` packages only serve to keep their sounds out.

    A sound whose path contains a word of `without` is not used.
    """

    name: str
    licence: str
    minutes: float
    split: str
    note: str
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sound:
    """A sound file: its path below `OUT/audio`, the SHA-256 of its bytes and its length in s."""

    path: str
    digest: str
    seconds: float


@dataclass(frozen=True)
class Clip:
    """A piece of a sound; a `start` of None is the whole file, `rank` counts a track's pieces."""

    sound: Sound
    start: float | None
    seconds: float
    rank: int


def read_packages(path: Path) -> list[Package]:
    """Return the packages of a packages.tsv, in its order."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    return [
        Package(name, licence, float(minutes), split, note, tuple(without.split()))
        for name, licence, minutes, split, note, without in rows[1:]
    ]


def download(package: str, debs: Path) -> Path:
    """Return the package's .deb in `debs`, fetched from the system's archive if it is not there."""
    debs.mkdir(parents=True, exist_ok=True)
    if not list(debs.glob(f"{package}_*.deb")):
        done = subprocess.run(["apt-get", "download", "-qq", package], cwd=debs)
        if done.returncode:
            sys.exit(f"{package}: apt-get download failed; run apt-get update, or drop its row")
    return sorted(debs.glob(f"{package}_*.deb"))[-1]


def deb_sounds(deb: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each sound in a .deb, archives inside it opened."""
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            yield from tar_sounds(archive, "")
    if process.returncode:
        sys.exit(f"{deb}: dpkg-deb cannot read it; delete it and run again")


def tar_sounds(archive: tarfile.TarFile, prefix: str) -> Iterator[tuple[str, bytes]]:
    """Yield the name, below `prefix`, and the bytes of each sound in a tar archive."""
    for member in archive:
        file = archive.extractfile(member) if member.isfile() else None
        if file is not None:
            yield from sounds(prefix + member.name, file)


def sounds(name: str, file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the file itself if it is a sound, or the sounds in it if it is an archive."""
    suffix = PurePosixPath(name.lower()).suffix
    if suffix in AUDIO:
        yield name, file.read()
    elif suffix in ZIPS:
        yield from zip_sounds(name, file.read())
    elif name.lower().endswith(TARS):
        with tarfile.open(fileobj=io.BytesIO(file.read())) as archive:
            yield from tar_sounds(archive, name + "/")


def zip_sounds(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the name, below the archive's, and the bytes of each sound in a zip archive."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            if PurePosixPath(member.filename.lower()).suffix in AUDIO:
                yield f"{name}/{member.filename}", archive.read(member)


def place(folder: Path, name: str) -> Path | None:
    """Return where a member of an archive goes in `folder`; None if its name points outside."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or name.startswith("/"):
        return None
    return folder.joinpath(*parts)


def unpack(found: Iterable[tuple[str, bytes]], folder: Path) -> None:
    """Write sounds into `folder`, which appears whole or not at all."""
    partial = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, data in found:
        target = place(partial, name)
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    partial.rename(folder)


def measure(path: Path) -> float | None:
    """Return a sound file's length in seconds; None if nothing can read it."""
    try:
        return float(soundfile.info(str(path)).duration)
    except soundfile.LibsndfileError:
        pass  # not its format: PyAV may know it
    try:
        with av.open(str(path)) as container:
            has_audio = bool(container.streams.audio)
            return container.duration / av.time_base if has_audio and container.duration else None
    except av.FFmpegError:
        return None


def scan(folder: Path) -> list[Sound]:
    """Return the readable sounds of a package's folder, in the order of their paths."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lengths = [(path, measure(path)) for path in files]
    return [
        Sound(
            path.relative_to(folder.parent).as_posix(),
            hashlib.sha256(path.read_bytes()).hexdigest(),
            round(seconds, 3),
        )
        for path, seconds in lengths
        if seconds is not None
    ]


def write_csv(path: Path, header: list[str], rows: Iterable[list[str]]) -> None:
    """Write a csv file, whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    os.replace(partial, path)


def package_sounds(package: Package, out: Path) -> list[Sound]:
    """Return a package's sounds, downloaded, unpacked and measured unless its index is there."""
    index = out / "index" / f"{package.name}.csv"
    if not index.exists():
        folder = out / "audio" / package.name
        unpack(deb_sounds(download(package.name, out / "debs")), folder)
        index.parent.mkdir(parents=True, exist_ok=True)
        rows = ([s.path, s.digest, str(s.seconds)] for s in scan(folder))
        write_csv(index, ["path", "digest", "seconds"], rows)
    with index.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [Sound(r["path"], r["digest"], float(r["seconds"])) for r in csv.DictReader(file)]


def cut(sound: Sound) -> list[Clip]:
    """Return the whole of a short sound, or pieces of a long one spread evenly over it."""
    if sound.seconds <= PIECE:
        return [Clip(sound, None, sound.seconds, 0)]
    count = min(PIECES_PER_TRACK, round(sound.seconds / PIECE))
    step = (sound.seconds - PIECE) / max(1, count - 1)
    return [Clip(sound, round(rank * step, 3), PIECE, rank) for rank in range(count)]


def select(package: Package, found: list[Sound], seen: set[str]) -> list[Clip]:
    """Return a package's clips within its cap; `seen` holds digests taken, and gains these.

    Every sound comes before any sound's second piece, in an order that depends on nothing but the
    sounds' bytes, so that a cap takes from all of a package rather than from its first folder.
    """
    fresh = list({s.digest: s for s in found if s.digest not in seen}.values())
    fresh = [s for s in fresh if not any(word in s.path for word in package.without)]
    seen.update(s.digest for s in fresh)
    clips = [clip for sound in fresh if sound.seconds >= SHORTEST for clip in cut(sound)]
    clips.sort(key=lambda clip: (clip.rank, clip.sound.digest))
    if package.note.startswith("speech"):
        clips = clips[:SPEECH_CLIPS]
    kept, total = [], 0.0
    for clip in clips:
        total += clip.seconds
        if total <= 60 * package.minutes:
            kept.append(clip)
    return sorted(kept, key=lambda clip: (clip.sound.path, clip.rank))


def clip_row(clip: Clip, package: Package) -> list[str]:
    """Return a clip's row of corpus.csv."""
    times = ["", ""] if clip.start is None else [str(clip.start), str(clip.start + PIECE)]
    return [f"audio/{clip.sound.path}", "", package.split, package.name, *times]


def build(packages: list[Package], out: Path) -> None:
    """Make `out/corpus.csv` and print what each package gave."""
    seen: set[str] = set()
    rows: list[list[str]] = []
    print(f"{'package':32} {'split':5} {'files':>6} {'clips':>6} {'hours':>6}")
    for package in sorted(packages, key=lambda p: (SPLITS.index(p.split), p.name)):
        found = package_sounds(package, out)
        clips = select(package, found, seen)
        hours = sum(clip.seconds for clip in clips) / 3600
        print(f"{package.name:32} {package.split:5} {len(found):6} {len(clips):6} {hours:6.2f}")
        if package.split != "test":
            rows += [clip_row(clip, package) for clip in clips]
    write_csv(out / "corpus.csv", ["path", "label", "split", "group", "start", "end"], rows)


def main() -> None:
    """Read the command line and build the corpus."""
    parser = argparse.ArgumentParser(description="Build a corpus from Debian's sound packages.")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for debs, audio, corpus.csv")
    table = Path(__file__).with_name("packages.tsv")
    parser.add_argument("--packages", type=Path, default=table, help="another packages.tsv")
    arguments = parser.parse_args()
    build(read_packages(arguments.packages), arguments.out)


if __name__ == "__main__":
    main()
