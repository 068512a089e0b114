"""The weights of the last and best validations that a run keeps, and its final weights."""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from audiotag.models.folder import WEIGHTS_FILE
from audiotag.runtime.files import replaced
from audiotag.training.run_folder.history import History

FOLDER = "checkpoints"  # in a run folder; a file for each step that is kept


def checkpoint_file(folder: Path, step: int) -> Path:
    """The file of the weights after a step."""
    return folder / FOLDER / f"step{step:09d}.safetensors"


def keep(folder: Path, step: int, model: nn.Module) -> None:
    """Write the weights after a step."""
    path = checkpoint_file(folder, step)
    state = {key: x.detach().cpu().contiguous().clone() for key, x in model.state_dict().items()}
    with replaced(path) as file:
        file.write(to_bytes(state, metadata={"format": "pt"}))


def drop_others(folder: Path, steps: Iterable[int]) -> None:
    """Remove the weights of all steps except these."""
    kept = {checkpoint_file(folder, step) for step in steps}
    for path in (folder / FOLDER).glob("*.safetensors"):
        if path not in kept:
            path.unlink()


def finish(folder: Path, history: History, final: str, count: int) -> None:
    """Write the run's final weights, as the recipe says: those of the last or best step, or the
    mean of the `count` last or best ones."""
    choose = history.best if final.endswith("best") else history.last
    steps = choose(count if final.startswith("average") else 1)
    state = mean_of([load_file(checkpoint_file(folder, step)) for step in steps])
    with replaced(folder / WEIGHTS_FILE) as file:
        file.write(to_bytes(state, metadata={"format": "pt"}))


def mean_of(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of state dicts; whole numbers are those of the first."""
    return {
        key: torch.stack([state[key] for state in states]).mean(0) if x.is_floating_point() else x
        for key, x in states[0].items()
    }
