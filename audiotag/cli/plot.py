"""`audiotag plot`: pictures of recordings, kernels, training runs and mistakes."""

from pathlib import Path

import click

from audiotag.cli.options.device import DEVICE
from audiotag.cli.options.types import FILE, FOLDER, NEW_FILE


class PlotGroup(click.Group):
    """A group that takes a recording, where no command is named, for the command `recording`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Name the command if the first argument is none of them, but a file."""
        if args and args[0] not in self.commands and Path(args[0]).is_file():
            args = ["recording", *args]
        return super().parse_args(ctx, args)


@click.group(cls=PlotGroup)
def plot() -> None:
    """Draw a recording, a model's kernels, its training, or its mistakes.

    \b
    Example: audiotag plot recording.wav recording.png
             audiotag plot kernels default kernels.png
             audiotag plot run runs/mine run.png
             audiotag plot confusion runs/mine confusion.png
    """


@plot.command()
@click.argument("file", type=FILE)
@click.argument("picture", type=NEW_FILE, metavar="OUT.png")
@click.option("--model", metavar="MODEL", help="As for tag.  [default: the embedded model]")
@DEVICE
def recording(file: Path, picture: Path, model: str | None, device: str) -> None:
    """Draw a recording: spectrogram, events, and best tags over time.

    The word recording may be left out. Events are those of `audiotag tag --events`; scores are
    those of its windows, drawn at their middles.

    Example: audiotag plot recording.wav recording.png
    """
    from audiotag.runtime.figures import check_plot
    from audiotag.tagging.open import open_engine
    from audiotag.tagging.plot import plot_recording

    check_plot(picture)
    plot_recording(open_engine(model, device), file, picture)
    click.echo(str(picture))


@plot.command()
@click.argument("model")
@click.argument("picture", type=NEW_FILE, metavar="OUT.png")
def kernels(model: str, picture: Path) -> None:
    """Draw where a model's DCLS elements are, by stage.

    MODEL is a model folder, a Hub id, a name as convnext_dcls_audio_tiny, or `default`. From top to
    bottom, the picture shows how many elements lie at each position, over all channels; the mean of
    the kernels' absolute values; and the widths of the elements. The layers of a stage usually
    share positions.

    Example: audiotag plot kernels default kernels.png
    """
    from audiotag.layers.elements import stage_elements
    from audiotag.layers.plot import plot_kernels
    from audiotag.models.model import Model
    from audiotag.runtime.figures import check_plot
    from audiotag.tagging.locate import model_folder, model_name

    check_plot(picture)
    folder = model_folder(model)
    tagger = Model.load(folder, model_name(model, folder))
    plot_kernels(stage_elements(tagger.backbone, tagger.name), model, picture)
    click.echo(str(picture))


@plot.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path), metavar="RUN")
@click.argument("picture", type=NEW_FILE, metavar="OUT.png")
def run(folder: Path, picture: Path) -> None:
    """Draw the curves of a training run.

    RUN is the run folder. Drawn are the losses, on a logarithmic axis, scores on the validation
    clips, and the learning rate.

    Example: audiotag plot run runs/mine run.png
    """
    from audiotag.runtime.figures import check_plot
    from audiotag.training.run_folder.plot import plot_run, read_curves

    check_plot(picture)
    plot_run(read_curves(folder), str(folder), picture)
    click.echo(str(picture))


@plot.command()
@click.argument("folder", type=FOLDER, metavar="MODEL")
@click.argument("picture", type=NEW_FILE, metavar="OUT.png")
def confusion(folder: Path, picture: Path) -> None:
    """Draw which label is heard as which.

    MODEL is a model or run folder with an evaluation.json, which `audiotag evaluate --save` writes,
    of clips with one label each.

    Example: audiotag plot confusion runs/mine confusion.png
    """
    from audiotag.evaluation.plot import plot_confusion

    plot_confusion(folder, picture)
    click.echo(str(picture))
