"""The messages at the start and the end of `train` and `finetune`."""

from pathlib import Path

import click


def announce(out: Path, resume: bool) -> None:
    """Say if there is nothing to resume, for instance after a kill in the first seconds."""
    from audiotag.runtime.distributed import launched_rank

    if resume and not launched_rank() and not any(out.glob("[!.]*")):
        click.echo(f"{out} holds no run yet, so --resume starts one", err=True)


def finish(run: Path) -> None:
    """Leave an ONNX file in the run's folder, and say what to do with it."""
    from audiotag.models.onnx.in_folder import write_onnx

    reason = write_onnx(run)
    if reason is not None:
        click.echo(f"{run} has no model.onnx, so it takes PyTorch to tag: {reason}", err=True)
    click.echo(f"{run}: trained; try: audiotag tag --model {run} FILE")
