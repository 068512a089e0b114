"""The command line as a whole: help, light imports, errors in one line."""

import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from audiotag.cli import COMMANDS, cli
from audiotag.data.sources.audioset.youtube import DOWNLOADS, PAUSE
from audiotag.runtime.version import __version__
from audiotag.tagging.tag import BATCH_SIZES, MAX_WORKERS

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


def every_command(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command and sub-command, as it is written after `audiotag`."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield " ".join((*path, name))
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))


COMMAND_LINES = list(every_command())


def help_of(command: str) -> str:
    """Its help in a terminal of 80 columns."""
    result = CliRunner().invoke(cli, [*command.split(), "--help"], terminal_width=80)
    assert result.exit_code == 0, result.output
    return result.output


def options_of(text: str) -> dict[str, str]:
    """What a command's help says of each option, by its name, in one line."""
    listed = re.split(r"^  (?=-)", text.partition("\nOptions:\n")[2], flags=re.MULTILINE)
    return {entry.split()[0]: " ".join(entry.split()[1:]) for entry in listed if entry}


def test_every_command_is_looked_at():
    assert {"tag", "bench", "bench files", "prepare audioset", "plot run"} < set(COMMAND_LINES)


@pytest.mark.parametrize("command", COMMAND_LINES)
def test_every_command_has_help_with_an_example(command):
    examples = help_of(command).split("Example")[1].partition("\nOptions:")[0]
    assert f"audiotag {command}" in examples


@pytest.mark.parametrize("command", ["", *COMMAND_LINES])
def test_help_is_written_for_readers(command):
    text = help_of(command)
    assert not re.search(r"RANGE|INTEGER|FLOAT|DIRECTORY|x[<>]=", text)
    summaries = text.partition("\nCommands:\n")[2].splitlines()
    assert not [line for line in summaries if line.endswith("...")]  # cut off by click


@pytest.mark.parametrize("command", COMMAND_LINES)
def test_help_says_what_options_default_to(command):
    options = options_of(help_of(command))
    for name in ("--device", "--workers", "--batch-size", "--threads", "--runs", "--precision"):
        assert "[default: " in options.get(name, "[default: ]"), name


def test_defaults_in_help_are_those_of_the_library():
    cpu, gpu = BATCH_SIZES["cpu"], BATCH_SIZES["cuda"]
    most, most_of_gpu = MAX_WORKERS["cpu"], MAX_WORKERS["cuda"]
    for command in ("tag", "embed"):
        options = options_of(help_of(command))
        assert f"[default: {cpu} on a CPU, {gpu} on a GPU]" in options["--batch-size"]
        assert f"at most {most}, or {most_of_gpu} for a GPU]" in options["--workers"]
    options = options_of(help_of("prepare youtube"))
    assert f"[default: {DOWNLOADS}]" in options["--downloads"]
    assert f"[default: {PAUSE}]" in options["--pause"]


def test_version_and_module():
    command = [sys.executable, "-m", "audiotag", "--version"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == f"audiotag, version {__version__}\n"


@pytest.mark.slow
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
