"""`audiotag plot`."""

from pathlib import Path

import click

from audiotag.cli.options.types import NEW_FILE


@click.group()
def plot() -> None:
    """Draw what a model has learnt, and how.

    \b
    Example: audiotag plot kernels default kernels.png
             audiotag plot run runs/mine run.png
    """


@plot.command()
@click.argument("model")
@click.argument("picture", type=NEW_FILE, metavar="OUT.png")
def kernels(model: str, picture: Path) -> None:
    """Where the DCLS elements of MODEL (folder, Hub id or `default`) are, by stage.

    Above, how many elements of all channels lie where; below, the mean of the absolute kernels that
    they make, and how wide they are. Layers of a stage share positions unless they were told not
    to.

    Example: audiotag plot kernels default kernels.png
    """
    from audiotag.layers.elements import stage_elements
    from audiotag.layers.plot import plot_kernels
    from audiotag.models.model import Model
    from audiotag.runtime.figures import check_plot
    from audiotag.tagging.locate import model_folder

    check_plot(picture)
    tagger = Model.load(model_folder(model))
    plot_kernels(stage_elements(tagger.backbone, tagger.name), model, picture)
    click.echo(str(picture))


@plot.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path), metavar="RUN")
@click.argument("picture", type=NEW_FILE, metavar="OUT.png")
def run(folder: Path, picture: Path) -> None:
    """The curves of the run folder RUN: losses, scores on the validation clips, learning rate.

    Example: audiotag plot run runs/mine run.png
    """
    from audiotag.runtime.figures import check_plot
    from audiotag.training.run_folder.plot import plot_run, read_curves

    check_plot(picture)
    plot_run(read_curves(folder), str(folder), picture)
    click.echo(str(picture))
