"""`audiotag data`: the figures of a prepared data set."""

from pathlib import Path

import click

from audiotag.cli.options.types import FOLDER, NEW_FILE


@click.command()
@click.argument("folder", type=FOLDER)
@click.option(
    "--all",
    "all_labels",
    is_flag=True,
    help="List every label, not only the most and least frequent.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--markdown", is_flag=True, help="Print Markdown, for a data set's card.")
@click.option(
    "--plot",
    type=NEW_FILE,
    metavar="FILE.png",
    help="Draw how many clips each label has.",
)
def data(folder: Path, all_labels: bool, as_json: bool, markdown: bool, plot: Path | None) -> None:
    """Describe the prepared data set in FOLDER.

    Printed are its clips, hours, splits, labels and durations, and how many clips were left out,
    and why.

    \b
    Example: audiotag data data/mine
             audiotag data data/mine --all --markdown --plot labels.png
    """
    if as_json and markdown:
        raise click.UsageError("--json and --markdown exclude each other; give one")
    from audiotag.data.plot import plot_labels
    from audiotag.data.summary import summarise
    from audiotag.runtime.figures import check_plot

    if plot is not None:
        check_plot(plot)
    summary = summarise(folder)
    if plot is not None:
        plot_labels(summary, plot)
        click.echo(str(plot), err=True)
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps(asdict(summary), ensure_ascii=False))
        return
    from audiotag.cli.tables import data

    form = data.print_markdown if markdown else data.print_tables
    form(summary, all_labels)
