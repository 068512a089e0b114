"""`audiotag models`: what can be used."""

import click


@click.command()
def models() -> None:
    """List models: the embedded default, those downloaded from the Hub (both for --model), and
    architectures that can be trained.

    \b
    Example: audiotag models
    """
    from audiotag import catalogue
    from audiotag.backbones import architectures

    click.echo("Embedded (used without --model):")
    _list(catalogue.embedded())
    click.echo("\nDownloaded from the Hub:")
    _list(catalogue.downloaded(), none="none; get one with audiotag pull OWNER/NAME")
    click.echo("\nArchitectures to train:")
    for name in architectures():
        click.echo(f"  {name}")


def _list(entries, none: str = "none in this installation") -> None:
    for entry in entries:
        size = f"{entry.size / 1e6:.1f} MB"
        click.echo(f"  {entry.name}  {entry.architecture}, {entry.classes} classes, {size}")
    if not entries:
        click.echo(f"  {none}")
