"""`audiotag labels`: the classes of a model."""

import sys

import click


@click.command()
@click.argument("word", required=False)
@click.option(
    "--model",
    metavar="MODEL",
    help="Model folder, .onnx file, Hub id, or name that `audiotag models` lists; without it, the "
    "embedded model.",
)
def labels(word: str | None, model: str | None) -> None:
    """List the classes of a model, each with its parents in AudioSet's ontology.

    With a WORD, only classes are listed that have it in their own name or in that of a class above
    them. tag --label takes these names.

    \b
    Example: audiotag labels
             audiotag labels dog
             audiotag labels --model runs/mine
    """
    from audiotag.label_set import paths_to
    from audiotag.tagging.open import read_labels

    known = read_labels(model)
    rows = [(label.name, [" > ".join(x) for x in paths_to(label.mid)]) for label in known]
    if word is not None:
        rows = [row for row in rows if word.lower() in " ".join((row[0], *row[1])).lower()]
    if not rows:
        near = ", ".join(known.near(word or ""))
        click.echo(f"no label has {word!r}" + (f"; near: {near}" if near else ""), err=True)
        sys.exit(1)
    width = max(len(name) for name, _ in rows)
    for name, above in rows:
        click.echo(f"{name:{width}}  {'; '.join(above)}".rstrip())
