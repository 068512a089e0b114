"""`audiotag train`: train a model from a recipe."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from audiotag.cli.options.training import training_options

if TYPE_CHECKING:
    import torch

    from audiotag.training.recipe.sections import Recipe


@click.command()
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@training_options
@click.option(
    "--folds",
    is_flag=True,
    help="Cross-validate: train once without each fold, and measure each run on the fold that it "
    "lacks.",
)
@click.option(
    "--sweep",
    "axes",
    multiple=True,
    metavar="KEY=VALUE,VALUE,...",
    help="Train once with each of these values; if given several times, with each combination.",
)
def train(
    recipe: Path,
    data: Path,
    out: Path,
    overrides: tuple[str, ...],
    resume: bool,
    device: str,
    folds: bool,
    axes: tuple[str, ...],
) -> None:
    """Train a model from RECIPE, a TOML file.

    \b
    Example: audiotag train recipes/small.toml --data data/mine --out runs/mine
             torchrun --nproc-per-node 8 -m audiotag train recipes/small.toml --data data/mine \\
               --out runs/mine
             audiotag train recipes/esc10_dcls.toml --data data/esc10 --out runs/esc10 --folds
             audiotag train recipes/esc10_7x7.toml --data data/esc10 --out runs/sweep \\
               --sweep dcls.kernel_count=16,26 --sweep features.args.hop_length=320,640
    """
    from audiotag.cli.process import prepare_to_train
    from audiotag.cli.trained import announce, finish
    from audiotag.runtime.devices import select_device
    from audiotag.runtime.distributed import launched_rank
    from audiotag.training import loop
    from audiotag.training.recipe.toml import load_recipe

    chosen = select_device(device)
    prepare_to_train(chosen.type)
    announce(out, resume)
    if axes:
        _sweep(recipe, overrides, axes, data, out, chosen, resume, folds)
        return
    parsed = load_recipe(recipe, overrides)
    if folds:
        _cross_validate(parsed, data, out, chosen, resume)
        return
    run = loop.train(parsed, data, out, chosen, resume)
    if not launched_rank():
        finish(run)


def _cross_validate(
    recipe: "Recipe", data: Path, out: Path, device: "torch.device", resume: bool
) -> None:
    from audiotag.cli.tables.evaluate import print_evaluation, print_folds
    from audiotag.training.cross_validation import cross_validate

    results = cross_validate(recipe, data, out, device, resume)
    if results is None:
        return
    print_folds(results.folds)
    print_evaluation(results.whole)
    click.echo(f"{out}: cross-validated; try: audiotag evaluate {out} {data} --compare OTHER")


def _sweep(
    recipe: Path,
    overrides: tuple[str, ...],
    axes: tuple[str, ...],
    data: Path,
    out: Path,
    device: "torch.device",
    resume: bool,
    folds: bool,
) -> None:
    from audiotag.cli.tables.evaluate import print_sweep
    from audiotag.training.sweep import read_points, sweep
    from audiotag.training.sweep_table import PLOT_FILE, TABLE_FILE

    points = read_points(recipe, overrides, axes)
    rows = sweep(points, data, out, device, resume, folds, partial(click.echo, err=True))
    if rows:
        print_sweep(rows)
        click.echo(f"{out}: see {TABLE_FILE} and {PLOT_FILE}")
