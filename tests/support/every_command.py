"""Every command that writes or prints, with small inputs; and each of them under a fault.

`python -m tests.support.every_command FILES FAULT RESULTS` runs every line of `LINES` in one
process, with the files of `make_files` in the folder FILES, and writes how each ended to RESULTS.
"""

import io
import json
import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ARCHITECTURE = "convnext_dcls_audio_atto"
RECIPE = {
    "model": {"architecture": ARCHITECTURE},
    "data": {"crop_seconds": [1.5]},
    "optim": {"warmup_epochs": 0.5},
    "train": {"epochs": 1, "batch_size": 2, "task": "single", "metric": "valid_accuracy"},
}
ROW = {"step": 1, "epoch": 1, "lr": 0.1, "train_loss": 0.5, "valid_loss": 0.4, "valid_map": 0.3}
ROW |= {"clips_per_second": 2.0}
# What each command is given. Words in capitals stand for files, PLACE for what it is to write.
WRITES = {
    "tag": (
        "AUDIO --model MODEL --output PLACE.jsonl",
        "AUDIO --model MODEL --output PLACE.html",
        "AUDIO --model MODEL --output PLACE/",
    ),
    "embed": (
        "AUDIO --model MODEL --output PLACE.npz",
        "AUDIO --model MODEL --output PLACE.parquet",
    ),
    "clips": ("EVENTS --out PLACE",),
    "prepare": ("csv TABLE PLACE",),
    "data": ("DATA --plot PLACE.png", "DATA --plot PLACE.svg"),
    "train": ("RECIPE --data DATA --out PLACE",),
    "finetune": ("MODEL --data DATA --out PLACE --epochs 1 --set train.batch_size=2",),
    "evaluate": ("MODEL DATA --scores PLACE.npz",),
    "convert": ("CHECKPOINT PLACE",),
    "export": ("MODEL PLACE.onnx",),
    "plot": ("AUDIO PLACE.png --model MODEL", "kernels MODEL PLACE.png", "run RUN PLACE.pdf"),
    "bench": (f"{ARCHITECTURE} --batch-size 1 --batch-size 2 --plot PLACE.png",),
}
# What each command is given that prints its results.
PRINTS = {
    "tag": ("AUDIO --model MODEL", "AUDIO --model MODEL --format jsonl"),
    "prepare": ("verify DATA", "csv TABLE PLACE"),
    "data": ("DATA", "DATA --json", "DATA --markdown"),
    "train": ("RECIPE --data DATA --out PLACE",),
    "evaluate": ("MODEL DATA", "MODEL DATA --json"),
    "convert": ("CHECKPOINT PLACE",),
    "export": ("MODEL PLACE.onnx",),
    "plot": ("kernels MODEL PLACE.png",),
    "models": ("", "--all"),
    "labels": ("dog",),
    "find": ("a EVENTS", "a EVENTS --format csv", "a EVENTS --count"),
    "similar": ("EMBEDDINGS --duplicates --least -1",),
    "push": ("MODEL me/birds --dry-run",),
    "": ("--version", "--help"),
}


def lines_of(table: dict[str, tuple[str, ...]]) -> list[str]:
    """The command lines of a table."""
    return [f"{command} {words}".strip() for command, lines in table.items() for words in lines]


def make_files(folder: Path) -> dict[str, Path]:
    """What commands read, by the words that stand for it."""
    import numpy as np
    import soundfile
    import timm
    import torch

    from audiotag.data.prepare.prepare import prepare
    from audiotag.data.sources.csv_table import CsvSource
    from audiotag.label_set import Labels
    from audiotag.models.config import ModelConfig
    from audiotag.models.model import Model
    from audiotag.training.recipe.toml import dump_recipe, parse_recipe
    from tests.support.published_models import efficientat
    from tests.support.tiny_models import TINY

    rng, rows = np.random.default_rng(0), ["path,label,split"]
    for i in range(8):
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.standard_normal(32_000), 32_000)
        rows.append(f"{i}.wav,{'ab'[i % 2]},{'train' if i < 6 else 'valid'}")
    (folder / "t.csv").write_text("\n".join(rows))
    recipe = RECIPE | {"model": {"architecture": ARCHITECTURE, "args": TINY}}
    (folder / "recipe.toml").write_text(dump_recipe(parse_recipe(recipe)))
    torch.manual_seed(0)
    model = Model.create(ModelConfig(ARCHITECTURE, Labels("ab"), model_args=dict(TINY)))
    model.save(folder / "model")
    torch.save(efficientat(timm.create_model("mn01_as")), folder / "mn01_as.pt")
    (folder / "run").mkdir()
    (folder / "run" / "metrics.jsonl").write_text(json.dumps(ROW) + "\n")
    prepare(CsvSource(folder / "t.csv"), folder / "data")
    event = {"label": "a", "start": 0.1, "end": 0.9, "score": 0.5}
    record = {"path": str(folder / "0.wav"), "tags": [], "events": [event]}
    (folder / "events.jsonl").write_text(json.dumps(record) + "\n")
    np.savez(
        folder / "e.npz",
        paths=["0.wav", "1.wav"],
        durations=[1.0, 1.0],
        windows=rng.standard_normal((2, 8)).astype(np.float32),
        window_starts=np.zeros(2),
        window_files=np.arange(2),
        made_with=json.dumps({"audiotag": "0", "model": "default"}),
    )
    return named_files(folder)


def named_files(folder: Path) -> dict[str, Path]:
    """Where `make_files` has put them."""
    names = {"AUDIO": "0.wav", "CHECKPOINT": "mn01_as.pt", "DATA": "data", "MODEL": "model"}
    names |= {"RECIPE": "recipe.toml", "RUN": "run", "TABLE": "t.csv"}
    names |= {"EVENTS": "events.jsonl", "EMBEDDINGS": "e.npz"}
    return {word: folder / name for word, name in names.items()}


def arguments_of(line: str, files: dict[str, Path], place: Path | str) -> list[str]:
    """The arguments of a command line, whose words in capitals stand for files."""
    for word, path in {**files, "PLACE": place}.items():
        line = line.replace(word, str(path))
    return line.split()


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        line: The command line.
        code: Its exit code.
        errors: What it wrote on standard error, and the traceback of what it did not catch.
        left: Names of files in the folder that it was to write into.
    """

    line: str
    code: int
    errors: str
    left: list[str]


def run_all(folder: Path, fault: str) -> Iterator[Outcome]:
    """Run every command line under a fault, which is there already for the whole process."""
    table = WRITES if fault == "disk" else PRINTS
    files = named_files(folder)
    for number, line in enumerate(lines_of(table)):
        if fault == "disk" and line.startswith("bench"):
            continue  # what it measures takes minutes
        place = Path("place") / f"{number:02}"
        if fault != "disk":
            place.parent.mkdir(exist_ok=True)
        code, errors = _run(arguments_of(line, files, place), fault)
        left = sorted(path.name for path in Path("place").glob(f"*{number:02}*"))
        yield Outcome(line, code, errors, left)


def _run(arguments: list[str], fault: str) -> tuple[int, str]:
    """Exit code and standard error of a command in this process, as if it had just begun."""
    from audiotag.cli import main

    log = open("log", "w+b", buffering=0)
    os.dup2(log.fileno(), 2)
    sys.argv = ["audiotag", *arguments]
    sys.stderr = sys.__stderr__ = io.TextIOWrapper(io.FileIO(2, "w", closefd=False))
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(io.FileIO(1, "w", closefd=False))
    if fault == "closed":
        os.close(1)
        sys.stdout = sys.__stdout__ = None
    try:
        main()
        code: object = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = -1
    sys.stderr.flush()
    log.seek(0)
    return int(code or 0), log.read().decode()


if __name__ == "__main__":
    with open(sys.argv[3], "w", buffering=1) as results:
        for outcome in run_all(Path(sys.argv[1]), sys.argv[2]):
            results.write(json.dumps(asdict(outcome)) + "\n")
