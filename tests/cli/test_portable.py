"""What tagging imports uses nothing that Windows or macOS lack, as far as its text says.

Only Linux is tried; this finds calls that could not work elsewhere. One below a condition or a
`try` counts as guarded.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import audiotag

PACKAGE = Path(audiotag.__file__).parent
SAMPLE = PACKAGE / "assets" / "samples" / "cat.mp3"
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "termios", "tty"}
NAMES = {
    "os": {
        *("O_DIRECTORY", "O_NOFOLLOW", "fork", "geteuid", "getuid", "killpg", "mkfifo", "nice"),
        *("register_at_fork", "sched_getaffinity", "setsid", "sysconf", "uname"),
    },
    "signal": {"SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1", "alarm"},
    "time": {"tzset", "clock_gettime"},
}
PLACES = ("/dev/", "/proc/", "/sys/", "/tmp/")
GUARDED = {
    "audio/forked.py": {"fork", "sysconf", "SIGKILL"},  # only where `can_fork` says so
    "runtime/files.py": {"O_NOFOLLOW"},  # `_lock` has returned where there is no fcntl
}
CODE = """
import sys
from click.testing import CliRunner
from audiotag.cli import cli
for words in (
    ["tag", {sample!r}, "--output", "tags.jsonl"], ["tag", {sample!r}, "--output", "tags.html"],
    ["tag", {sample!r}, "--output", "tags.csv", "--resume"],
    ["embed", {sample!r}, "--output", "e.npz"], ["pull", "--help"],
):
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, (words, result.output)
import audiotag.audio.decoders, audiotag.hub.pull
for module in list(sys.modules.values()):
    if module.__name__.partition(".")[0] == "audiotag" and module.__file__:
        print(module.__file__)
"""


def imported_files(folder: Path) -> list[Path]:
    """The files of ours that `tag`, `embed`, `pull` and their helpers import."""
    code = CODE.format(sample=str(SAMPLE))
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return [Path(line) for line in run.stdout.splitlines()]


def unguarded(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what lies in it, but for what lies below a condition or a `try`."""
    yield node
    if not isinstance(node, ast.If | ast.IfExp | ast.Try):
        for child in ast.iter_child_nodes(node):
            yield from unguarded(child)


def posix_only(path: Path) -> Iterator[str]:
    """Line and name of each use in a file of what is not everywhere."""
    for node in unguarded(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = {alias.name for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            found = ({node.module} & MODULES) | (names & NAMES.get(node.module or "", set()))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found = {node.attr} & NAMES.get(node.value.id, set())
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = {node.value} if node.value.startswith(PLACES) else set()
        else:
            continue
        allowed = GUARDED.get(path.relative_to(PACKAGE).as_posix(), set())
        yield from (f"{path}:{node.lineno} uses {name}" for name in found - allowed)


def test_tagging_uses_nothing_that_only_posix_has(tmp_path):
    files = imported_files(tmp_path)
    assert {PACKAGE / "audio" / "ffmpeg.py", PACKAGE / "hub" / "pull.py"} <= set(files)
    wrong = [line for path in files for line in posix_only(path)]
    assert not wrong, "\n".join(wrong)


def test_what_is_looked_for_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    path = tmp_path / "x.py"
    path.write_text("import fcntl, os\nos.fork()\nopen('/proc/self')\nif os: os.fork()\n")
    assert [line.rpartition(" ")[2] for line in posix_only(path)] == ["fcntl", "fork", "/proc/self"]
