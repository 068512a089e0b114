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
@click.option("--token", metavar="TOKEN", help="Hub token; it is safer in HF_TOKEN.")
def pull(repo_id: str, **options: Any) -> None:
    """Download a model, and print its folder: from the Hugging Face Hub, or a published one.

    NAME is a published model that `audiotag models` lists, as ced-tiny. It, OWNER/NAME or
    OWNER/NAME@REVISION in place of any MODEL does the same. What others published, a NAME or a
    repository with a model.safetensors of a kind that `audiotag convert` knows, is converted once.
    The variable AUDIOTAG_MIRROR names an address to use in place of the Hub, Zenodo and GitHub.

    \b
    Example:
      audiotag pull ced-tiny
      audiotag pull me/birds
      audiotag tag --model me/birds recording.wav
    """
    from audiotag.models.published.names import MODELS

    fetch = _fetch_published if repo_id in MODELS else _fetch
    with _claimed(options["local_dir"]):
        folder = fetch(repo_id, **options)
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


def _claimed(folder: Path | None) -> AbstractContextManager[None]:
    """A context in which no other process downloads into the folder; the Hub's cache has locks."""
    if folder is None:
        return nullcontext()
    from audiotag.runtime.lock import locked_folder

    return locked_folder(
        folder, f"another process downloads into {folder}; wait for it, or choose another folder"
    )
