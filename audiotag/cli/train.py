"""`audiotag train`."""

from pathlib import Path

import click


@click.command()
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Prepared data set.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run folder.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the recipe.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the run folder.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
def train(
    recipe: Path, data: Path, out: Path, overrides: tuple[str, ...], resume: bool, device: str
) -> None:
    """Train a model from a RECIPE.

    Example: audiotag train recipes/quick.toml --data data/mine --out runs/mine
    """
    from audiotag import training
    from audiotag.loading import select_device
    from audiotag.recipe import load_recipe

    parsed = load_recipe(recipe, overrides)
    run = training.train(parsed, data, out, select_device(device), resume)
    click.echo(f"{run}: trained; try: audiotag tag --model {run} FILE")
