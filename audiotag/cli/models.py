"""`audiotag models`: what can be used."""

from datetime import datetime

import click

from audiotag.cli.options.inputs import hub_usage

COLUMNS = "{:30} {:20} {:>11} {:>9} {:>6}  {}"


@click.command()
@click.option(
    "--all", "details", is_flag=True, help="Parameters, MACs for 10 s and published mAP as well."
)
@click.option(
    "--remove",
    metavar="OWNER/NAME[@R]",
    help="Free what a model from the Hub takes here: all its revisions, or one.",
)
def models(details: bool, remove: str | None) -> None:
    """List models: the embedded default, those downloaded from the Hub (both for --model), and
    architectures that can be trained. Any image model of timm can be trained too, by its name.

    \b
    Example: audiotag models --all
             audiotag models --remove me/birds
    """
    if remove is not None:
        _remove(remove)
        return
    from audiotag.tagging import catalogue

    click.echo("Embedded (used without --model):")
    _list(catalogue.embedded())
    click.echo("\nDownloaded from the Hub:")
    _list(catalogue.downloaded(), none="none; get one with audiotag pull OWNER/NAME")
    click.echo("\nArchitectures to train:")
    if details:
        _table(catalogue.trainable())
    else:
        from audiotag.backbones import architectures

        click.echo("".join(f"  {name}\n" for name in architectures()), nl=False)


def _remove(repo_id: str) -> None:
    from audiotag.hub import cache, client

    with hub_usage():
        client.HubId.parse(repo_id)
    freed = cache.remove(repo_id)
    click.echo(f"{repo_id}: removed, {freed / 1e6:.1f} MB freed")


def _list(entries, none: str = "none in this installation") -> None:
    for entry in entries:
        text = f"{entry.architecture}, {entry.classes} classes, {entry.size / 1e6:.1f} MB"
        if entry.cached is not None:
            used = datetime.fromtimestamp(entry.cached.used)
            text += f", revision {entry.cached.revision}, last used {used:%Y-%m-%d %H:%M}"
        click.echo(f"  {entry.name}  {text}")
    if not entries:
        click.echo(f"  {none}")


def _table(architectures) -> None:
    head = ("name", "convolutions", "parameters", "MACs 10 s", "mAP %", "mAP published in")
    click.echo(f"  {COLUMNS.format(*head)}")
    for x in architectures:
        published = "" if x.published_map is None else f"{x.published_map:.1f}"
        macs = f"{x.macs / 1e9:.2f} G"
        row = COLUMNS.format(x.name, x.method, f"{x.parameters:,}", macs, published, x.source)
        click.echo(f"  {row}".rstrip())
