"""How `train` and `finetune` end."""

from pathlib import Path

import click


def finish(run: Path) -> None:
    """Leave an ONNX file in the run's folder, and say what to do with it."""
    from audiotag.training.run_folder.onnx_file import write_onnx

    reason = write_onnx(run)
    if reason is not None:
        click.echo(f"{run} has no model.onnx, so it takes PyTorch to tag: {reason}", err=True)
    click.echo(f"{run}: trained; try: audiotag tag --model {run} FILE")
