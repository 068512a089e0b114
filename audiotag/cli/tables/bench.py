"""The tables of `audiotag bench`."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING

from audiotag.cli.tables.grid import open_console, print_grid

if TYPE_CHECKING:
    from audiotag.benchmarks.files_to_tags import TaggingTable
    from audiotag.benchmarks.reading import DataSpeed
    from audiotag.benchmarks.speed import KernelSpeed, ModelSpeed, SpeedTable

WORDS = ("kernel", "engine", "made of")  # columns, besides the first


def print_models(table: "SpeedTable[ModelSpeed]") -> None:
    """Print what models cost."""
    rows = [
        (
            row.name,
            row.kernel,
            f"{row.parameters / 1e6:.2f}",
            f"{row.macs / 1e9:.2f}",
            f"{row.clips_per_second:.1f}",
            _ratio(row.cost.ratio),
            _memory(row.cost.peak_memory),
            _ratio(row.cost.memory_ratio),
            "" if row.published_map is None else f"{row.published_map:.1f}",
        )
        for row in table.rows
    ]
    columns = ("model", "kernel", "M params", "G MACs", "clips/s", "ratio", "peak MB", "ratio")
    _print(
        f"{'Training step' if table.setting.train else 'Inference'}, {_where(table)}",
        f"Medians of {table.runs} runs in turn. Ratios: throughput, run by run, and memory over "
        "the baseline's.",
        (*columns, "mAP %"),
        rows,
    )


def print_kernels(table: "SpeedTable[KernelSpeed]") -> None:
    """Print what building kernels costs."""
    rows = [
        (
            row.name,
            str(row.channels),
            f"{1e3 * row.cost.seconds:.2f}",
            _ratio(row.cost.ratio),
            _memory(row.cost.peak_memory),
            _ratio(row.cost.memory_ratio),
        )
        for row in table.rows
    ]
    _print(
        f"DCLS kernels 23x23, 26 elements, forward and backward, {_machine(table)}",
        f"Medians of {table.runs} runs in turn. Ratios: speed, run by run, and memory over the "
        "package's.",
        ("kernels", "channels", "ms", "ratio", "peak MB", "ratio"),
        rows,
    )


def print_files(table: "TaggingTable") -> None:
    """Print how fast files become tags, and what a start is made of."""
    rows = [
        (
            row.model,
            row.engine,
            f"{row.seconds:.2f} s",
            f"{row.model_seconds:.2f} s",
            _ratio(row.ratio),
            f"{row.files / row.seconds:.1f}",
            f"{row.start:.2f} s",
            "\n".join(f"{seconds:.2f} {phase}" for phase, seconds in row.phases.items()),
        )
        for row in table.rows
    ]
    _print(
        f"audiotag tag, {table.rows[0].files} files of 10 s, {table.processor}, "
        f"threads: {table.threads}",
        f"Medians of {table.runs} runs in turn. Start: until the tags of one WAV are printed.",
        ("model", "engine", "all files", "model alone", "ratio", "files/s", "start", "made of"),
        rows,
    )


def print_data(table: "DataSpeed") -> None:
    """Print how fast clips are read, from the data set and in other ways."""
    rows = [
        (
            row.name,
            str(row.workers),
            f"{row.clip_bytes / 1e3:.0f}",
            f"{median(row.warm):.0f}",
            f"{median(row.cold):.0f}",
            f"{median(row.maps_warm):.0f}",
            f"{median(row.maps_cold):.0f}",
        )
        for row in table.readings
    ]
    _print(
        f"Reading {table.clips} clips of up to {table.seconds:g} s of {table.folder}, "
        f"{table.processor}",
        f"Medians of {len(table.readings[0].warm)} runs in turn. Clips a second and thread, to "
        "waveforms and on to log-mel maps (of HDF5 clip by clip, as the code of arXiv 2309.13972); "
        "cold: the files dropped from the system's memory before. Nothing is augmented.",
        ("from", "threads", "kB/clip", "clips/s", "cold", "maps/s", "maps/s cold"),
        rows,
    )


def _print(title: str, caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    console = open_console()
    console.print(title, style="bold", soft_wrap=True)
    print_grid(console, columns, rows, WORDS)
    console.print(caption, style="dim", soft_wrap=True)


def _where(table: "SpeedTable") -> str:
    setting = table.setting
    clips = f"batch {setting.batch_size}, clips of {setting.seconds:g} s"
    return f"{_machine(table)}, {setting.dtype}, {clips}"


def _machine(table: "SpeedTable") -> str:
    setting, machine = table.setting, table.machine
    threads = f", threads: {setting.threads}" if setting.device == "cpu" else ""
    return f"{machine.processor}{threads}, torch {machine.torch}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _memory(value: int | None) -> str:
    return "" if value is None else f"{value / 1e6:.0f}"
