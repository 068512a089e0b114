"""`audiotag pull`: download a model from the Hub."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from audiotag.cli.options.inputs import hub_usage
from audiotag.cli.options.types import NEW_FOLDER


@click.command()
@click.argument("repo_id", metavar="NAME|OWNER/NAME")
@click.option("--revision", metavar="REVISION", help="Branch, tag or commit.  [default: main]")
@click.option("--verify", is_flag=True, help="Compare the files with the Hub's hashes.")
@click.option(
    "--local-dir",
    type=NEW_FOLDER,
    help="Folder to download into, instead of the Hub's cache.",
)
@click.option(
    "--int8",
    is_flag=True,
    help="Keep a published model's ONNX file with 8-bit weights, if no score of the sample clips "
    "changes by more than 0.005; says by how much.",
)
@click.option("--token", metavar="TOKEN", help="Hub token; it is safer in HF_TOKEN.")
def pull(repo_id: str, int8: bool, **options: Any) -> None:
    """Download a model, and print its folder: from the Hugging Face Hub, or a published one.

    NAME is a published model that `audiotag models` lists, as ced-tiny. It, OWNER/NAME or
    OWNER/NAME@REVISION in place of any MODEL does the same. What others published, a NAME or a
    repository with a model.safetensors of a kind that `audiotag convert` knows, is converted once.
    The variable AUDIOTAG_MIRROR names an address to use in place of the Hub, Zenodo and GitHub.

    \b
    Example:
      audiotag pull ced-tiny
      audiotag pull ced-tiny --int8
      audiotag pull me/birds
      audiotag tag --model me/birds recording.wav
    """
    from audiotag.models.published.names import MODELS

    if int8 and repo_id not in MODELS:
        raise click.UsageError(
            f"--int8 is for published models by name, and {repo_id} is none; audiotag export "
            "--int8 makes such a file of any model"
        )
    fetch = _fetch_published if repo_id in MODELS else _fetch
    with _claimed(options["local_dir"]):
        folder = fetch(repo_id, **options)
        if int8:
            _quantise(repo_id, folder)
    click.echo(folder)


def _fetch(repo_id: str, revision: str | None, **options: Any) -> Path:
    """The folder of a model on the Hub."""
    from audiotag.hub.client import HubId
    from audiotag.hub.pull import pull as download

    with hub_usage():
        HubId.parse(repo_id, revision)
    return download(repo_id, revision=revision, **options)


def _fetch_published(name: str, revision: str | None, **options: Any) -> Path:
    """The folder of a published model."""
    from audiotag.hub.published import published_folder
    from audiotag.models.published.names import MODELS

    if revision is not None:
        raise click.UsageError(f"{name} has no revisions; leave out --revision")
    return published_folder(MODELS[name], **options)


def _quantise(name: str, folder: Path) -> None:
    """Keep 8-bit weights in a model's ONNX file, and say what that changes."""
    from audiotag.models.onnx.in_folder import write_int8

    made = write_int8(folder, name)
    click.echo(f"{name}: int8, {made.size / 1e6:.1f} MB; changes {made.quantisation}", err=True)


def _claimed(folder: Path | None) -> AbstractContextManager[None]:
    """A context in which no other process downloads into the folder; the Hub's cache has locks."""
    if folder is None:
        return nullcontext()
    from audiotag.runtime.lock import locked_folder

    return locked_folder(
        folder, f"another process downloads into {folder}; wait for it, or choose another folder"
    )
