"""`audiotag plot`: pictures of kernels and training runs."""

from pathlib import Path

import click

from audiotag.cli.options.types import NEW_FILE


@click.group()
def plot() -> None:
    """Draw a model's kernels, or the curves of its training.

    \b
    Example: audiotag plot kernels default kernels.png
             audiotag plot run runs/mine run.png
    """


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

    RUN is the run folder. Drawn are losses, scores on the validation clips, and the learning rate.

    Example: audiotag plot run runs/mine run.png
    """
    from audiotag.runtime.figures import check_plot
    from audiotag.training.run_folder.plot import plot_run, read_curves

    check_plot(picture)
    plot_run(read_curves(folder), str(folder), picture)
    click.echo(str(picture))
