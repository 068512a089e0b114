"""`audiotag convert`: import a published checkpoint."""

from pathlib import Path
from typing import Any

import click

from audiotag.cli.options.types import FILE, NEW_FOLDER, Number
from audiotag.models.published.efficientat import HOPS, MELS_LIMITS, MelFrames
from audiotag.models.published.names import MODELS, NOT_OFFERED, PublishedModel, nearest


class Checkpoint(click.ParamType):
    """A file, or the name of a published model; a file of that name goes first."""

    name = "checkpoint"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | PublishedModel:
        """The file or the published model that a text names."""
        if value in MODELS and not Path(value).is_file():
            return MODELS[value]
        if value in NOT_OFFERED and not Path(value).is_file():
            self.fail(NOT_OFFERED[value], param, ctx)
        if not Path(value).exists() and (near := nearest(value)):
            self.fail(f"there is no {value!r}; did you mean {' or '.join(near)}?", param, ctx)
        return Path(FILE.convert(value, param, ctx))


@click.command()
@click.argument("checkpoint", metavar="CHECKPOINT|NAME", type=Checkpoint())
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
    checkpoint: Path | PublishedModel,
    out: Path,
    arch: str | None,
    mels: int | None,
    hop: float | None,
) -> None:
    """Make the model folder OUT from CHECKPOINT, a published .pt, .pth or .safetensors file.

    NAME, a published model that `audiotag models --all` lists, is downloaded first. Files are
    recognised by the names and shapes of their tensors:

    \b
      DCLS-Audio (arXiv 2309.13972): ConvNeXt-T, ConvFormer-S18 and FastViT-SA24,
        each with dense or DCLS convolutions; training checkpoints too
      ConvNeXt-Tiny-AT (arXiv 2306.00830; topel/ConvNeXt-Tiny-AT on the Hub)
      EfficientAT mn of any width (arXiv 2211.04772), whose front end its file's
        name tells, as mn10_as_mels_40_mAP_453.pt; else --mels and --hop do
      CED (arXiv 2308.11957), as on Zenodo and as on the Hub (mispeech/ced-base)

    Only tensors are read: a file that would run code is refused. A repository on the Hub that
    holds such weights as model.safetensors need not be converted: name it with --model, as
    topel/ConvNeXt-Tiny-AT. Nor need a NAME, unless a folder of its own is wanted.

    \b
    Example:
      audiotag convert convnext_dcls_audio_tiny.pth models/convnext
      audiotag convert convnext_dcls_audio_tiny models/convnext
      audiotag tag --model models/convnext recording.wav
    """
    from audiotag.models.published.convert import check_new
    from audiotag.models.published.convert import convert as write_folder
    from audiotag.runtime.lock import locked_folder

    if not isinstance(checkpoint, Path) and (arch, mels, hop) != (None, None, None):
        raise click.UsageError(
            f"the architecture and the front end of {checkpoint.name} are known; leave out --arch, "
            "--mels and --hop"
        )
    held = f"another process writes {out}; wait for it, or choose another folder"
    with locked_folder(out, held):
        if isinstance(checkpoint, Path):
            folder = write_folder(checkpoint, out, arch, MelFrames(mels, hop))
        else:
            from audiotag.hub.published import published_folder

            check_new(out)
            folder = published_folder(checkpoint, local_dir=out)
    click.echo(folder)
