"""`audiotag export`: a model as one ONNX file."""

from pathlib import Path

import click

from audiotag.cli.options.types import NEW_FILE


@click.command()
@click.argument("model")
@click.argument("out", metavar="OUT.onnx", type=NEW_FILE)
@click.option("--waveform", is_flag=True, help="The file takes waveforms, not log-mel maps.")
@click.option("--int8", is_flag=True, help="Store 8-bit weights: smaller; scores change a little.")
def export(model: str, out: Path, waveform: bool, int8: bool) -> None:
    """Write a model as an ONNX file, which needs no PyTorch.

    MODEL is a model folder, a Hub id, a name as ced-tiny, or `default`. OUT.onnx can be named with
    --model, and runs in any program that runs ONNX. Its outputs are called scores and embedding;
    the labels are in its metadata. It is written only if its scores differ from the model's by at
    most 0.0001.

    \b
    Example:
      audiotag export runs/birds birds.onnx --waveform
      audiotag tag --model birds.onnx recording.wav
    """
    if out.suffix != ".onnx":
        raise click.UsageError(f"{out} does not end in .onnx")
    from audiotag.models.model import Model
    from audiotag.models.onnx.export import export as write
    from audiotag.runtime.lock import lock_of, locked
    from audiotag.tagging.locate import model_folder, model_name

    held = f"another process exports to {out}; wait for it, or choose another file"
    with locked(lock_of(out), held, name=out):
        folder = model_folder(model)
        loaded = Model.load(folder, model_name(model, folder))
        result = write(loaded, out, waveform=waveform, int8=int8)
    click.echo(
        f"{out}: {result.size / 1e6:.1f} MB, takes {result.input}, "
        f"scores within {result.difference:.1g} of the model's"
    )
    if change := result.quantisation:
        click.echo(f"int8 changes {change}; in {change.same_first} the first tag stays")
