"""`audiotag train`."""

from pathlib import Path

import click

from audiotag.cli.training_options import training_options


@click.command()
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@training_options
def train(
    recipe: Path, data: Path, out: Path, overrides: tuple[str, ...], resume: bool, device: str
) -> None:
    """Train a model from a RECIPE.

    \b
    Example: audiotag train recipes/small.toml --data data/mine --out runs/mine
             torchrun --nproc-per-node 8 -m audiotag train recipes/small.toml --data data/mine \\
               --out runs/mine
    """
    from audiotag import training
    from audiotag.loading import select_device
    from audiotag.recipe import load_recipe

    parsed = load_recipe(recipe, overrides)
    run = training.train(parsed, data, out, select_device(device), resume)
    click.echo(f"{run}: trained; try: audiotag tag --model {run} FILE")
