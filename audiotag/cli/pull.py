"""`audiotag pull`."""

from pathlib import Path

import click

from audiotag.cli.options.inputs import hub_usage


@click.command()
@click.argument("repo_id", metavar="OWNER/NAME")
@click.option("--revision", metavar="R", help="Branch, tag or commit.  [default: main]")
@click.option("--verify", is_flag=True, help="Compare the files with the Hub's hashes.")
@click.option(
    "--local-dir",
    metavar="D",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to download into, instead of the Hub's cache.",
)
@click.option("--token", metavar="T", help="Hub token; HF_TOKEN is safer.")
def pull(repo_id: str, **options) -> None:
    """Get the model OWNER/NAME from the Hugging Face Hub and print its folder.

    Wherever a MODEL is asked for, OWNER/NAME or OWNER/NAME@REVISION does the same. A model that
    others published as model.safetensors in a layout that audiotag convert knows is converted,
    once: try topel/ConvNeXt-Tiny-AT.

    \b
    Example:
      audiotag pull me/birds
      audiotag tag --model me/birds recording.wav
    """
    from audiotag.hub.client import HubId
    from audiotag.hub.pull import pull as download

    with hub_usage():
        HubId.parse(repo_id, options["revision"])
    click.echo(download(repo_id, **options))
