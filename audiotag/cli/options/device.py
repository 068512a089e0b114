"""Options of all commands that run a model: device and precision."""

import click

DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto: a GPU (cuda) where there is one, else the CPU.",
)
PRECISION = click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="bf16 needs torch, and is faster for large models on a GPU or on a CPU with AMX. It "
    "changes scores, those of MobileNets by up to 0.1.",
)
