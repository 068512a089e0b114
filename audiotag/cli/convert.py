"""`audiotag convert`: import a published checkpoint."""

from pathlib import Path

import click


@click.command()
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--arch", metavar="A", help="Architecture to build instead of the one recognised.")
def convert(checkpoint: Path, out: Path, arch: str | None) -> None:
    """Make the model folder OUT from CHECKPOINT, a published .pt, .pth or .safetensors file.

    Its publisher is recognised from its tensors' names. Today: EfficientAT's mn models of any
    width. Only tensors are read; a file that holds anything else is refused.

    \b
    Example:
      audiotag convert mn04_as_mAP_432.pt models/mn04
      audiotag tag --model models/mn04 recording.wav
    """
    from audiotag.convert import convert as write_folder

    click.echo(write_folder(checkpoint, out, arch))
