"""`audiotag models`: what can be used."""

import click

COLUMNS = "{:30} {:20} {:>11} {:>9} {:>6}  {}"


@click.command()
@click.option(
    "--all", "details", is_flag=True, help="Parameters, MACs for 10 s and published mAP as well."
)
def models(details: bool) -> None:
    """List models: the embedded default, those downloaded from the Hub (both for --model), and
    architectures that can be trained. Any image model of timm can be trained too, by its name.

    \b
    Example: audiotag models --all
    """
    from audiotag import catalogue

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


def _list(entries, none: str = "none in this installation") -> None:
    for entry in entries:
        size = f"{entry.size / 1e6:.1f} MB"
        click.echo(f"  {entry.name}  {entry.architecture}, {entry.classes} classes, {size}")
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
