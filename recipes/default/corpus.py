"""Build a corpus of freely licensed recordings from Debian's packages and from public repositories.

    sudo apt-get update
    python recipes/default/corpus.py OUT

Beside this script, `packages.tsv` lists the packages and `repositories.tsv` the repositories of
github.com, each at one commit, with the licences of their sound. The script needs a Debian system
(apt-get, dpkg-deb), not its root, git, and soundfile and av from audiotag. It leaves `OUT/debs`
(the packages downloaded), `OUT/audio/<source>` (the sound files as they came), `OUT/licences` (what
the repositories say of their licences and authors), `OUT/index` (what was found in each source) and
`OUT/corpus.csv`, one row per clip:

    path   relative to the csv            label        empty: a teacher scores the clips
    split  train or dev, by source        group        the package or repository
    start, end   seconds; both empty where the clip is the whole file

A second run skips sources that are done: to read a source again, delete its file in `OUT/index`.
`held_out.txt` lists the freesound.org numbers of the recordings that the default model is tested on
(ESC-10) and of the rest of ESC-50: a sound with one of them in its file name is not used. To clone
repositories from elsewhere, give git another address:
`git config --global url.MIRROR.insteadOf https://github.com/`.
"""

import argparse
import csv
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
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
PIECES_PER_AMBIENCE = 30  # of sources whose note begins with "ambience": rain, waves, fire
SPLITS = ("test", "dev", "train")  # a sound in sources of two splits belongs to the first of them
SPEECH_CLIPS = 300  # per source whose note begins with "speech"
SITE = "https://github.com"
LARGEST = 4 << 20  # bytes: larger files of repositories are long tracks, and passed over
CREDITS = re.compile(r"licen[cs]e|copying|copyright|credit|attribution|author|source|readme", re.I)
CREDITS_SUFFIXES = frozenset(("", ".md", ".txt", ".yml", ".json"))


@dataclass(frozen=True)
class Source:
    """A row of packages.tsv or, with a commit, of repositories.tsv.

    `test` sources are listed only to keep their sounds out. A sound whose path contains a word of
    `without` is not used. A sound of a repository is only used if its path matches one of the
    patterns `paths`, where `*` stands for any characters and `?` for one, such as a space. A table
    holds the patterns themselves, or `@` and the name of a file with one pattern a line.
    """

    name: str
    licence: str
    minutes: float
    split: str
    note: str
    without: tuple[str, ...] = ()
    commit: str = ""
    paths: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The source's name as that of a folder."""
        return self.name.replace("/", "+")


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


def read_sources(path: Path) -> list[Source]:
    """Return the sources of a packages.tsv or a repositories.tsv, in its order."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        Source(
            name=next(iter(row.values())),
            licence=row["licence"],
            minutes=float(row["minutes"]),
            split=row["split"],
            note=row["note"],
            without=tuple(row["without"].split()),
            commit=row.get("commit", ""),
            paths=read_paths(row.get("paths", ""), path.parent),
        )
        for row in rows
    ]


def read_paths(text: str, folder: Path) -> tuple[str, ...]:
    """Return the patterns of a row; `@name` stands for the lines of a file in `folder`."""
    if text.startswith("@"):
        return tuple((folder / text[1:]).read_text(encoding="utf-8").splitlines())
    return tuple(text.split())


def read_held_out(path: Path) -> frozenset[str]:
    """Return the numbers of a held_out.txt, one a line, `#` beginning a comment."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return frozenset(line for line in lines if line)


def download(package: str, debs: Path) -> Path:
    """Return the package's .deb in `debs`, fetched from the system's archive if it is not there."""
    debs.mkdir(parents=True, exist_ok=True)
    if not list(debs.glob(f"{package}_*.deb")):
        done = subprocess.run(["apt-get", "download", "-qq", package], cwd=debs)
        if done.returncode:
            sys.exit(f"{package}: apt-get download failed; run apt-get update, or drop its row")
    return sorted(debs.glob(f"{package}_*.deb"))[-1]


def deb_sounds(deb: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each sound in a .deb, also those in archives inside it."""
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


def git(folder: Path, *arguments: str, given: str | None = None) -> str:
    """Return what a git command says in a repository's folder.

    Raises:
        subprocess.CalledProcessError: git failed; it said why.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        input=given,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        errors="surrogateescape",  # names of files need not be UTF-8
    )
    return done.stdout


def wanted(source: Source, name: str) -> bool:
    """Tell whether a repository's file is a sound, or an archive of them, that the row takes."""
    suffix = PurePosixPath(name.lower()).suffix
    return (
        (suffix in AUDIO | ZIPS or name.lower().endswith(TARS))
        and any(fnmatchcase(name, pattern) for pattern in source.paths)
        and not any(word in name for word in source.without)
    )


def tells_licence(name: str) -> bool:
    """Tell whether a repository's file is one that names licences, authors or sources."""
    path = PurePosixPath(name)
    return bool(CREDITS.search(path.stem)) and path.suffix.lower() in CREDITS_SUFFIXES


def check_out(source: Source, folder: Path) -> list[str]:
    """Fetch the wanted files of a repository's commit, and only those, into an empty folder.

    Returns the names of all the files there, sounds and licences, below `folder`.
    """
    git(folder, "init", "--quiet")
    git(folder, "remote", "add", "origin", f"{SITE}/{source.name}.git")
    fetch = ["fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", source.commit]
    git(folder, *fetch)
    names = git(folder, "ls-tree", "-r", "-z", "--name-only", "FETCH_HEAD").split("\0")
    names = [name for name in names if wanted(source, name) or tells_licence(name)]
    patterns = ("/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", name) for name in names)
    git(folder, "sparse-checkout", "set", "--no-cone", "--stdin", given="\n".join(patterns))
    git(folder, "checkout", "--quiet", "FETCH_HEAD")  # fetches all files of the patterns at once
    return names


def repository_sounds(source: Source, out: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each sound of a repository, also those in archives in it.

    The files that name licences and authors are left in `out/licences`.
    """
    with tempfile.TemporaryDirectory(dir=out) as temporary:
        folder = Path(temporary)
        try:
            names = check_out(source, folder)
        except subprocess.CalledProcessError:
            sys.exit(f"{source.name}: git cannot fetch {source.commit}; try again, or drop its row")
        licences = out / "licences" / source.folder
        unpack(((n, (folder / n).read_bytes()) for n in names if not wanted(source, n)), licences)
        for name in filter(lambda name: wanted(source, name), names):
            if (folder / name).stat().st_size < LARGEST:
                with (folder / name).open("rb") as file:
                    yield from sounds(name, file)


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
    """Return the readable sounds of a source's folder, in the order of their paths."""
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


def fetched(source: Source, out: Path) -> Iterator[tuple[str, bytes]]:
    """Return the names and the bytes of a source's sounds, downloading them."""
    if source.commit:
        return repository_sounds(source, out)
    return deb_sounds(download(source.name, out / "debs"))


def source_sounds(source: Source, out: Path) -> list[Sound]:
    """Return a source's sounds; they are downloaded, unpacked and measured if it has no index."""
    index = out / "index" / f"{source.folder}.csv"
    if not index.exists():
        folder = out / "audio" / source.folder
        unpack(fetched(source, out), folder)
        index.parent.mkdir(parents=True, exist_ok=True)
        rows = ([s.path, s.digest, str(s.seconds)] for s in scan(folder))
        write_csv(index, ["path", "digest", "seconds"], rows)
    with index.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [Sound(r["path"], r["digest"], float(r["seconds"])) for r in csv.DictReader(file)]


def cut(sound: Sound, pieces: int) -> list[Clip]:
    """Return the whole of a short sound, or at most `pieces` of a long one, spread over it."""
    if sound.seconds <= PIECE:
        return [Clip(sound, None, sound.seconds, 0)]
    count = min(pieces, round(sound.seconds / PIECE))
    step = (sound.seconds - PIECE) / max(1, count - 1)
    return [Clip(sound, round(rank * step, 3), PIECE, rank) for rank in range(count)]


def usable(sound: Sound, source: Source, held_out: frozenset[str]) -> bool:
    """Tell whether a sound is long enough, wanted by its row and not one of the test recordings."""
    name = PurePosixPath(sound.path).name
    return (
        sound.seconds >= SHORTEST
        and not any(word in sound.path for word in source.without)
        and held_out.isdisjoint(re.findall(r"\d+", name))
    )


def select(
    source: Source, found: list[Sound], seen: set[str], held_out: frozenset[str] = frozenset()
) -> list[Clip]:
    """Return a source's clips, limited to its cap; adds their digests to those in `seen`.

    First pieces of all sounds come before second ones, in an order that depends only on the sounds'
    bytes, so that a cap takes clips from all of a source and not only from its first folder.
    """
    fresh = list({s.digest: s for s in found if s.digest not in seen}.values())
    seen.update(s.digest for s in fresh)
    pieces = PIECES_PER_AMBIENCE if source.note.startswith("ambience") else PIECES_PER_TRACK
    clips = [clip for s in fresh if usable(s, source, held_out) for clip in cut(s, pieces)]
    clips.sort(key=lambda clip: (clip.rank, clip.sound.digest))
    if source.note.startswith("speech"):
        clips = clips[:SPEECH_CLIPS]
    kept, total = [], 0.0
    for clip in clips:
        total += clip.seconds
        if total <= 60 * source.minutes:
            kept.append(clip)
    return sorted(kept, key=lambda clip: (clip.sound.path, clip.rank))


def clip_row(clip: Clip, source: Source) -> list[str]:
    """Return a clip's row of corpus.csv."""
    times = ["", ""] if clip.start is None else [str(clip.start), str(clip.start + PIECE)]
    return [f"audio/{clip.sound.path}", "", source.split, source.name, *times]


def build(sources: list[Source], out: Path, held_out: frozenset[str] = frozenset()) -> None:
    """Make `out/corpus.csv` and print what each source gave."""
    out.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    rows: list[list[str]] = []
    print(f"{'source':40} {'split':5} {'files':>6} {'clips':>6} {'hours':>6}")
    for source in sorted(sources, key=lambda s: (SPLITS.index(s.split), bool(s.commit), s.name)):
        found = source_sounds(source, out)
        clips = select(source, found, seen, held_out)
        hours = sum(clip.seconds for clip in clips) / 3600
        print(f"{source.name:40} {source.split:5} {len(found):6} {len(clips):6} {hours:6.2f}")
        if source.split != "test":
            rows += [clip_row(clip, source) for clip in clips]
    write_csv(out / "corpus.csv", ["path", "label", "split", "group", "start", "end"], rows)


def main() -> None:
    """Read the command line and build the corpus."""
    beside = Path(__file__).parent
    tables = [beside / "packages.tsv", beside / "repositories.tsv"]
    parser = argparse.ArgumentParser(description="Build a corpus of freely licensed recordings.")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for audio and corpus.csv")
    parser.add_argument(
        "--sources", type=Path, nargs="+", default=tables, metavar="TSV", help="other tables"
    )
    arguments = parser.parse_args()
    sources = [source for table in arguments.sources for source in read_sources(table)]
    build(sources, arguments.out, read_held_out(beside / "held_out.txt"))


if __name__ == "__main__":
    main()
