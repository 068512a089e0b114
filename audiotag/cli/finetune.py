"""`audiotag finetune`."""

from pathlib import Path

import click


@click.command()
@click.argument("model")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Prepared data set.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run folder.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the recipe.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the run folder.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
def finetune(
    model: str, data: Path, out: Path, overrides: tuple[str, ...], resume: bool, device: str
) -> None:
    """Adapt MODEL (folder, Hub id, or `default` for the embedded one) to the labels of a data set.

    Example: audiotag finetune default --data data/mine --out runs/mine
    """
    from audiotag import training
    from audiotag.loading import select_device
    from audiotag.recipe import finetune_recipe

    recipe = finetune_recipe(model, overrides)
    run = training.train(recipe, data, out, select_device(device), resume)
    click.echo(f"{run}: trained; try: audiotag tag --model {run} FILE")
