"""`audiotag prepare esc50`, `urbansound8k` and `fsd50k`: published collections."""

from pathlib import Path
from typing import Any

import click

from audiotag.cli.options.prepare import options
from audiotag.cli.options.types import FOLDER
from audiotag.cli.prepare.run import prepare_source


@click.command()
@click.argument("source", type=FOLDER)
@options
def esc50(source: Path, out: Path, **settings: Any) -> None:
    """Make a data set of ESC-50, with its five folds.

    SOURCE is the folder that ESC-50 was unpacked into; OUT is the data set.

    Example: audiotag prepare esc50 ESC-50-master data/esc50
    """
    from audiotag.data.sources.esc50 import open_esc50

    prepare_source(open_esc50(source), out, **settings)


@click.command()
@click.argument("source", type=FOLDER)
@options
def urbansound8k(source: Path, out: Path, **settings: Any) -> None:
    """Make a data set of UrbanSound8K, with its ten folds.

    SOURCE is the folder that UrbanSound8K was unpacked into; OUT is the data set.

    Example: audiotag prepare urbansound8k UrbanSound8K data/urbansound8k
    """
    from audiotag.data.sources.urbansound8k import open_urbansound8k

    prepare_source(open_urbansound8k(source), out, **settings)


@click.command()
@click.argument("source", type=FOLDER)
@options
def fsd50k(source: Path, out: Path, **settings: Any) -> None:
    """Make a data set of FSD50K, with its splits.

    SOURCE is the folder that FSD50K was unpacked into; OUT is the data set.

    Example: audiotag prepare fsd50k FSD50K data/fsd50k
    """
    from audiotag.data.sources.fsd50k import open_fsd50k

    prepare_source(open_fsd50k(source), out, **settings)
