"""The command line as a whole: help, light imports, errors in one line, import direction."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from audiotag import cli as cli_package
from audiotag.cli import COMMANDS, cli
from audiotag.version import __version__

PACKAGE = Path(cli_package.__file__).parents[1]
HEAVY = {"torch", "timm", "torchaudio", "pyarrow", "huggingface_hub", "soundfile", "rich"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    """Full names of the modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_help_lists_every_command_and_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['audiotag', '--help']\n"
        "from audiotag.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', sorted({HEAVY!r} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in run.stdout
    for name, line in COMMANDS.items():
        assert name in run.stdout and line in run.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name):
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert f"audiotag {name}" in result.output.split("Example")[1]


def test_version_and_module():
    command = [sys.executable, "-m", "audiotag", "--version"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == f"audiotag, version {__version__}\n"


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["evaluate", "no/such/model", "data"], "no model 'no/such/model'"),
        (["convert", __file__, "out"], "test_cli.py"),
        (["train", "{recipe}", "--data", "none", "--out", "run"], "none is not a prepared data"),
        (["finetune", "nothing", "--data", "none", "--out", "run"], "none is not a prepared data"),
    ],
)
def test_errors_are_one_line_and_exit_code_1(tmp_path, arguments, message):
    recipe = tmp_path / "recipe.toml"
    recipe.touch()
    arguments = [str(recipe) if text == "{recipe}" else text for text in arguments]
    command = [sys.executable, "-m", "audiotag", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 1
    assert run.stdout == "" and run.stderr.count("\n") == 1
    assert run.stderr.startswith("Error: ") and message in run.stderr
    assert sorted(tmp_path.iterdir()) == [recipe]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_knows_click_and_nothing_imports_back_from_it(path):
    if path.is_relative_to(PACKAGE / "cli") or path.name == "__main__.py":
        return
    roots = {name.partition(".")[0] for name in imports_of(path)}
    assert not roots & {"click", "rich"}
    assert not any(name.startswith("audiotag.cli") for name in imports_of(path))


def test_errors_import_nothing_of_the_package():
    assert not any(name.startswith("audiotag") for name in imports_of(PACKAGE / "errors.py"))
