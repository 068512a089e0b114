"""`audiotag models`: what can be used."""

import click

from audiotag.architectures import ARCHITECTURES
from audiotag.cli.options.inputs import hub_usage


@click.command()
@click.option(
    "--all",
    "details",
    is_flag=True,
    help="Give each architecture's parameters, MACs for 10 s, and published mAP too.",
)
@click.option(
    "--remove",
    metavar="NAME|OWNER/NAME[@REVISION]",
    help="Remove a downloaded model from the cache: all its revisions, or one.",
)
def models(details: bool, remove: str | None) -> None:
    """List models that can be used, and architectures that can be trained.

    The embedded model and those downloaded from the Hub go with --model. Any image model of timm
    can be trained too, by its name.

    \b
    Example: audiotag models --all
             audiotag models --remove me/birds
    """
    if remove is not None:
        _remove(remove)
        return
    from audiotag.cli.tables.models import print_architectures, print_entries
    from audiotag.tagging import catalogue

    print_entries(
        "Embedded (used without --model)", catalogue.embedded(), "none in this installation"
    )
    print_entries(
        "Downloaded from the Hub",
        catalogue.downloaded(),
        "none; get one with audiotag pull OWNER/NAME",
    )
    click.echo("Architectures to train:")
    if details:
        print_architectures(catalogue.trainable())
    else:
        click.echo("".join(f"  {name}\n" for name in ARCHITECTURES), nl=False)


def _remove(repo_id: str) -> None:
    from audiotag.hub import cache

    with hub_usage():
        cache.meant(repo_id)
    freed = cache.remove(repo_id)
    click.echo(f"{repo_id}: removed, {freed / 1e6:.1f} MB freed")
