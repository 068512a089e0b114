"""Fixtures: audiotag's commands in processes of their own, against a Hub on the loopback."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.hub_server import OWNER, READ_TOKEN, WRITE_TOKEN, LoopbackHub

CLOSED_PORT = "http://127.0.0.1:9"  # discard: nothing listens there
WRONG_TOKEN = "hf_" + "x" * 34
NUMBERS = itertools.count()
TIMEOUT = 600  # seconds, after which a process is taken to hang

# Runs one command line after another: the client reads HF_ENDPOINT at its import, so it needs a
# process of its own, and importing torch for each command would take seconds.
WORKER = """
import json, os, sys, tempfile, traceback
from audiotag.hub import failures
from audiotag.cli import main
failures.WAITS = (0.01, 0.01, 0.01)
answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    sys.argv, os.environ["HF_TOKEN"] = json.loads(line)
    files = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
    for number, file in enumerate(files, 1):
        os.dup2(file.fileno(), number)
    try:
        code = exec(sys.argv[2], {}) if sys.argv[1] == "-c" else main()
        code = code or 0
    except SystemExit as end:
        code = end.code or 0
    except Exception:
        code = traceback.print_exc()
    sys.stdout.flush()
    print(json.dumps([code, *(file.seek(0) or file.read() for file in files)]), file=answers)
    answers.flush()
"""


@dataclass(frozen=True)
class Ended:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        """No command ever shows a token or a traceback."""
        shown = self.out + self.err
        assert not any(token in shown for token in (WRITE_TOKEN, READ_TOKEN, WRONG_TOKEN))
        assert "Traceback" not in shown

    @property
    def error(self) -> str:
        """The one line of an error, which must be all that says so."""
        assert self.code == 1 and not self.out and "Usage:" not in self.err
        return next(x for x in self.err.splitlines() if x.startswith("Error: "))

    @property
    def usage_error(self) -> str:
        """The line that says what is wrong with the arguments."""
        assert self.code == 2 and not self.out and self.err.startswith("Usage: ")
        return self.err.splitlines()[-1]


@pytest.fixture(scope="session")
def hub():
    with LoopbackHub() as server:
        yield server


@pytest.fixture(scope="session")
def environment(hub, tmp_path_factory) -> dict[str, str]:
    """Variables of a client that knows only this Hub and an empty cache."""
    return variables(tmp_path_factory.mktemp("hf")) | {"HF_ENDPOINT": hub.url}


def variables(home: Path) -> dict[str, str]:
    """Those of this process, but of the Hub only that its caches lie here."""
    ours = ("HF_", "HUGG", "AUDIOTAG_MIRROR")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return kept | {
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONUTF8": "1",
    }


@pytest.fixture(scope="session")
def run(environment):
    """A function (*arguments, token) that runs an audiotag command or, after "-c", Python code."""
    with commands(environment) as command:
        yield command


@contextmanager
def commands(environment: dict[str, str]) -> Iterator[Callable[..., "Ended"]]:
    """A context with the function of `run`, in a process with these variables."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def command(*arguments: object, token: str = "") -> Ended:
        line = [["audiotag", *map(str, arguments)], token]
        worker.stdin.write(json.dumps(line) + "\n")
        worker.stdin.flush()
        return Ended(*json.loads(worker.stdout.readline()))

    try:
        yield command
    finally:
        worker.terminate()
        worker.wait(TIMEOUT)


def run_alone(environment: dict[str, str], *arguments: str) -> Ended:
    """An audiotag command in a process of its own, as a user starts it."""
    return Ended(*_run(environment, "-m", "audiotag", *arguments))


def run_python(environment: dict[str, str], code: str, *arguments: str) -> Ended:
    """Code in a process of its own; of an error only the last line is kept."""
    status, out, err = _run(environment, "-c", code, *arguments)
    return Ended(status, out, err if status == 0 else err.splitlines()[-1])


def _run(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    ended = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture
def folder(tiny_tagger, tmp_path) -> Path:
    """A run folder: model, recipe, metrics, and files that must stay."""
    path = tmp_path / "run"
    tiny_tagger.save(path)
    recipe = '[distill]\nteacher = "/home/someone/models/mn04"\ntemperature = 1.0\n'
    (path / "recipe.toml").write_text(recipe)
    rows = [{"epoch": 1, "mAP": 0.1}, {"epoch": 2, "mAP": 0.23456, "lr": 1e-3}]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("state.safetensors", "optimizer.pt", "notes.txt"):
        (path / name).write_bytes(b"stays here")
    return path


@pytest.fixture
def name() -> str:
    """A repository's name that no other test uses."""
    return f"{OWNER}/model-{next(NUMBERS)}"


@pytest.fixture
def published(hub, folder, name) -> str:
    """Name of a repository that holds the model of `folder`."""
    sent = ("config.json", "model.safetensors", "recipe.toml")
    hub.add(name, {file: (folder / file).read_bytes() for file in sent})
    return name


@pytest.fixture(scope="session")
def theirs() -> bytes:
    """The model.safetensors of a small EfficientAT model."""
    import timm
    import torch
    from safetensors.torch import save as to_bytes

    import audiotag.backbones  # noqa: F401  its models are timm's then
    from tests.support.published_models import efficientat

    torch.manual_seed(0)
    state = efficientat(timm.create_model("mn01_as"))
    return to_bytes({key: x.detach().contiguous() for key, x in state.items()})


@pytest.fixture
def foreign(hub, theirs, name) -> str:
    """Name of a repository that another publisher made, with no config of audiotag's."""
    files = {"model.safetensors": theirs, "config.yaml": b"a: 1", "old.pth": b"pickle"}
    hub.add(f"{name}-mn01_as", files)
    return f"{name}-mn01_as"


def downloads(requests: list[str]) -> list[str]:
    """Of some requests, those for the whole of a large file."""
    return [x for x in requests if x.startswith("GET /large/") and "bytes=" not in x]


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """What a folder's files hold, and when they were written."""
    return {x.name: (x.read_bytes(), x.stat().st_mtime_ns) for x in folder.iterdir()}
