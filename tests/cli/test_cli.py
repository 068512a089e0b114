"""The command line as a whole: help, light imports, errors in one line."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from audiotag.cli import COMMANDS, cli
from audiotag.runtime.version import __version__

HEAVY = {"torch", "timm", "torchaudio", "pyarrow", "huggingface_hub", "soundfile", "rich"}


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
