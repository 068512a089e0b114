"""`audiotag evaluate`."""

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.command()
@click.argument("model")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--split", default="valid", show_default=True, help="Split of the data set.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--batch-size", default=16, show_default=True, help="Clips scored at once.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
def evaluate(
    model: str, data: Path, split: str, as_json: bool, batch_size: int, device: str
) -> None:
    """Measure MODEL (folder or Hub id) on the prepared data set DATA.

    Example: audiotag evaluate runs/mine data/mine
    """
    from audiotag.evaluation import evaluate as measure
    from audiotag.loading import load_tagger

    result = measure(load_tagger(model, device), data, split, batch_size)
    if as_json:
        click.echo(json.dumps(asdict(result)))
        return
    click.echo(f"{data} {split}: {result.clips} clips, keys {result.keys}")
    click.echo(f"mAP {result.mean_average_precision:.4f}")
    if result.accuracy is not None:
        click.echo(f"accuracy {result.accuracy:.4f}")
