"""`audiotag pull`."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from audiotag.cli.options.inputs import hub_usage
from audiotag.cli.options.types import NEW_FOLDER


@click.command()
@click.argument("repo_id", metavar="OWNER/NAME")
@click.option("--revision", metavar="REVISION", help="Branch, tag or commit.  [default: main]")
@click.option("--verify", is_flag=True, help="Compare the files with the Hub's hashes.")
@click.option(
    "--local-dir",
    type=NEW_FOLDER,
    help="Folder to download into, instead of the Hub's cache.",
)
@click.option("--token", metavar="TOKEN", help="Hub token; it is safer in HF_TOKEN.")
def pull(repo_id: str, **options: Any) -> None:
    """Download a model from the Hugging Face Hub, and print its folder.

    OWNER/NAME or OWNER/NAME@REVISION in place of any MODEL does the same. A repository that holds a
    model.safetensors of a kind that `audiotag convert` knows, such as topel/ConvNeXt-Tiny-AT, is
    converted once.

    \b
    Example:
      audiotag pull me/birds
      audiotag tag --model me/birds recording.wav
    """
    from audiotag.hub.client import HubId
    from audiotag.hub.pull import pull as download

    with hub_usage():
        HubId.parse(repo_id, options["revision"])
    with _claimed(options["local_dir"]):
        folder = download(repo_id, **options)
    click.echo(folder)


def _claimed(folder: Path | None) -> AbstractContextManager[None]:
    """A context in which no other process downloads into the folder; the Hub's cache has locks."""
    if folder is None:
        return nullcontext()
    from audiotag.runtime.lock import locked_folder

    return locked_folder(
        folder, f"another process downloads into {folder}; wait for it, or choose another folder"
    )
