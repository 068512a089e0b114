"""`audiotag finetune`: adapt a model to new labels."""

from pathlib import Path

import click

from audiotag.cli.options.training import training_options

SHORTCUTS = {
    "task": "train.task",
    "freeze": "model.freeze",
    "epochs": "train.epochs",
    "lr": "optim.lr",
}


@click.command()
@click.argument("model")
@training_options
@click.option(
    "--method",
    type=click.Choice(["auto", "probe", "full"]),
    help="probe: keep the backbone, and fit only a new classifier, in seconds; full: train all "
    "layers; auto: start with the probe, then train all layers while that helps, and keep the "
    "better model.  [default: auto]",
)
@click.option(
    "--keep",
    is_flag=True,
    help="Add the labels to those that the model has, instead of replacing them.",
)
@click.option(
    "--freeze",
    metavar="backbone|NUMBER",
    help="Freeze the backbone, so that only the classifier learns; or only its stem and its first "
    "NUMBER stages.",
)
@click.option(
    "--task",
    type=click.Choice(["auto", "multi", "single"]),
    help="multi: a clip may have any number of labels; single: it has exactly one; auto: single if "
    "every clip has one.  [default: auto]",
)
@click.option(
    "--epochs",
    type=int,
    metavar="NUMBER",
    help="Passes over the data.  [default: 5 to 100, the more the fewer clips]",
)
@click.option(
    "--lr",
    type=float,
    metavar="NUMBER",
    help="Highest learning rate, that of the classifier.  [default: 0.001]",
)
def finetune(
    model: str,
    data: Path,
    out: Path,
    overrides: tuple[str, ...],
    resume: bool,
    device: str,
    method: str | None,
    keep: bool,
    **shortcuts: str | float | None,
) -> None:
    """Adapt MODEL (folder, Hub id, name, or `default` for the embedded one) to the labels of DATA.

    Settings that are not given are chosen by the number and the length of the clips; recipe.toml
    in the run folder lists them. Recordings with the label background, noise or none, and those
    without a label, have none of the labels: they teach the model what it should not tag.

    \b
    Example: audiotag finetune default --data data/mine --out runs/mine
             audiotag finetune default --data data/pump --out runs/pump --keep
    """
    from audiotag.cli.process import prepare_to_train
    from audiotag.cli.trained import announce, finish
    from audiotag.runtime.devices import select_device
    from audiotag.runtime.distributed import launched_rank
    from audiotag.training.finetune.finetune import finetune

    given = [f"{SHORTCUTS[k]}={v}" for k, v in shortcuts.items() if v is not None]
    chosen = select_device(device)
    prepare_to_train(chosen.type)
    announce(out, resume)
    is_first = not launched_rank()

    def tell(sentence: str) -> None:
        if is_first:
            click.echo(sentence, err=True)

    changes = [*given, *overrides]
    notes = finetune(model, data, out, chosen, changes, resume, method, keep, tell)
    if is_first:
        for note in notes:
            click.echo(note)
        finish(out)
