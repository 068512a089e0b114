"""`audiotag convert`: import a published checkpoint."""

from pathlib import Path

import click

from audiotag.cli.options.types import FILE, NEW_FOLDER, Number
from audiotag.models.published.efficientat import HOPS, MELS_LIMITS, MelFrames


@click.command()
@click.argument("checkpoint", type=FILE)
@click.argument("out", type=NEW_FOLDER)
@click.option("--arch", metavar="NAME", help="Build this architecture, not the one recognised.")
@click.option(
    "--mels",
    type=Number("bands", int, *MELS_LIMITS),
    help="Mel bands of an EfficientAT model whose file's name does not tell.",
)
@click.option(
    "--hop",
    type=Number("ms", float, *HOPS),
    help="From one frame to the next, of such a model.",
)
def convert(
    checkpoint: Path, out: Path, arch: str | None, mels: int | None, hop: float | None
) -> None:
    """Make the model folder OUT from CHECKPOINT, a published .pt, .pth or .safetensors file.

    These are recognised by the names and shapes of their tensors:

    \b
      DCLS-Audio (arXiv 2309.13972): ConvNeXt-T, ConvFormer-S18 and FastViT-SA24,
        each with dense or DCLS convolutions; training checkpoints too
      ConvNeXt-Tiny-AT (arXiv 2306.00830; topel/ConvNeXt-Tiny-AT on the Hub)
      EfficientAT mn of any width (arXiv 2211.04772), whose front end its file's
        name tells, as mn10_as_mels_40_mAP_453.pt; else --mels and --hop do
      CED (arXiv 2308.11957), as on Zenodo and as on the Hub (mispeech/ced-base)

    Only tensors are read: a file that would run code is refused. A repository on the Hub that
    holds such weights as model.safetensors need not be converted: name it with --model, as
    topel/ConvNeXt-Tiny-AT.

    \b
    Example:
      audiotag convert convnext_dcls_audio_tiny.pth models/convnext
      audiotag tag --model models/convnext recording.wav
    """
    from audiotag.models.published.convert import convert as write_folder
    from audiotag.runtime.lock import locked_folder

    held = f"another process writes {out}; wait for it, or choose another folder"
    with locked_folder(out, held):
        folder = write_folder(checkpoint, out, arch, MelFrames(mels, hop))
    click.echo(folder)
