"""`audiotag finetune`."""

from pathlib import Path

import click

from audiotag.cli.options.training import training_options


@click.command()
@click.argument("model")
@training_options
@click.option(
    "--freeze",
    metavar="backbone|N",
    help="Let only the classifier learn, or all but the stem and N stages.",
)
@click.option(
    "--task",
    type=click.Choice(["auto", "multi", "single"]),
    help="Any labels a clip, or exactly one; by default as the data are.",
)
@click.option("--epochs", type=int, help="By default 5 to 100, the more the fewer clips.")
@click.option("--lr", type=float, help="Highest learning rate, that of the classifier.")
def finetune(
    model: str,
    data: Path,
    out: Path,
    overrides: tuple[str, ...],
    resume: bool,
    device: str,
    **shortcuts: str | float | None,
) -> None:
    """Adapt MODEL (folder, Hub id, or `default` for the embedded one) to the labels of a data set.

    What is not given fits the number and the length of the clips; the run folder's recipe.toml
    says what was chosen.

    Example: audiotag finetune default --data data/mine --out runs/mine
    """
    from audiotag.cli.process import prepare_to_train
    from audiotag.runtime.devices import select_device
    from audiotag.runtime.distributed import launched_rank
    from audiotag.training import loop
    from audiotag.training.recipe.finetune import (
        finetune_recipe,
        resumed_recipe,
        training_durations,
    )

    chosen = select_device(device)
    prepare_to_train(chosen.type)
    given = [*(f"{SHORTCUTS[k]}={v}" for k, v in shortcuts.items() if v is not None), *overrides]
    if resume:
        recipe = resumed_recipe(out, model, given)
    else:
        recipe = finetune_recipe(model, training_durations(data, given), given)
    run = loop.train(recipe, data, out, chosen, resume)
    if not launched_rank():
        click.echo(f"{run}: trained; try: audiotag tag --model {run} FILE")


SHORTCUTS = {
    "task": "train.task",
    "freeze": "model.freeze",
    "epochs": "train.epochs",
    "lr": "optim.lr",
}
