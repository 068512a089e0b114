"""Models in other publishers' layouts, converted once and kept in the Hub's assets cache."""

import logging
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import SafetensorsParsingError

from audiotag.errors import HubError, ModelError
from audiotag.models.folder import CONFIG_FILE, LIBRARY, WEIGHTS_FILE
from audiotag.models.published.layouts import recognise
from audiotag.runtime.files import explained
from audiotag.runtime.version import __version__

# The errors that the client raises for a damaged header.
HEADER_ERRORS = (SafetensorsParsingError, AttributeError, TypeError)
REMEDY = "make room, or set HF_HOME to another folder"
logger = logging.getLogger(__name__)


def check_layout(api: HfApi, name: str, revision: str | None, reason: str) -> None:
    """Check the layout of a repository's weights by their header, without downloading them.

    Args:
        api: The client.
        name: `owner/name`.
        revision: Branch, tag or commit; the main branch unless given.
        reason: Why the repository is not an audiotag model.

    Raises:
        HubError: If no published layout fits, or PyTorch, which converts, is not installed.
    """
    try:
        header = api.parse_safetensors_file_metadata(name, WEIGHTS_FILE, revision=revision)
        recognise(header.tensors.keys(), f"its {WEIGHTS_FILE}")
    except HEADER_ERRORS as error:
        raise HubError(
            f"{name} is not an audiotag model: {reason}, and its {WEIGHTS_FILE} is damaged; "
            "choose another model"
        ) from error
    except ModelError as error:
        raise HubError(f"{name} is not an audiotag model: {reason}, and {error}") from error
    check_converter(name)


def check_converter(name: str) -> None:
    """Raise a HubError if PyTorch, which converts a model of this name, is not installed."""
    if find_spec("torch") is None:
        raise HubError(
            f"{name} is converted by PyTorch when it is first used, and tags without it from then "
            "on: pip install 'audiotag-dcls[train]'"
        )


def converted(
    name: str,
    weights: Path,
    local_dir: Path | str | None = None,
) -> Path:
    """The model folder made from published weights, kept for each commit and version of audiotag.

    With the model's weights lies its ONNX file, where it can be exported.

    Args:
        name: `owner/name`, or the name of a published model.
        weights: The file, in the folder of its commit or release.
        local_dir: Make the folder here, every time, instead of in the assets cache.

    Raises:
        ModelError: If the weights have an unknown layout or do not fit the architecture.
        OutputError: If the folder cannot be written.
    """
    if local_dir:
        _convert(name, weights, Path(local_dir))
        return Path(local_dir)
    if (folder := kept_folder(name, weights)) is not None:
        return folder
    logger.warning("%s: converting it, once, which may take some minutes", name)
    folder = _folder(name, weights)
    with explained(folder, REMEDY):
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Where `kept` does not look.
        with TemporaryDirectory(dir=folder.parents[1], prefix=".") as made:
            _convert(name, weights, Path(made))
            _move(Path(made), folder)
    return folder


def kept_folder(name: str, weights: Path) -> Path | None:
    """The model folder that was made from these weights; None if none was, by this version."""
    folder = _folder(name, weights)
    return folder if (folder / CONFIG_FILE).is_file() else None


def kept() -> Iterator[tuple[str, str, Path]]:
    """Names, commits or releases, and folders of the models converted so far."""
    for config in _assets().glob(f"*/*/{CONFIG_FILE}"):
        folder = config.parent
        yield folder.parent.name.replace("--", "/", 1), folder.name.partition("-")[0], folder


def assets_of(name: str) -> Path:
    """The folder in the assets cache for what belongs to a model, `owner/name` or a published
    one's name."""
    return _assets() / name.replace("/", "--", 1)


def _assets() -> Path:
    return Path(constants.HF_ASSETS_CACHE, LIBRARY)


def _folder(name: str, weights: Path) -> Path:
    return assets_of(name) / f"{weights.parent.name}-{__version__}"


def _convert(name: str, weights: Path, folder: Path) -> None:
    # torch, which a model that is kept need not wait for.
    from audiotag.models.onnx.in_folder import write_onnx
    from audiotag.models.published.convert import import_checkpoint

    import_checkpoint(weights, name=name).save(folder)
    if (reason := write_onnx(folder)) is not None:
        logger.warning("PyTorch will compute it, as there is no ONNX file: %s", reason)


def _move(made: Path, folder: Path) -> None:
    """Put a folder in its place at once; another process may have been faster."""
    made.chmod(folder.parent.stat().st_mode)
    try:
        os.replace(made, folder)
    except OSError:
        if not (folder / CONFIG_FILE).is_file():  # what an earlier version left unfinished
            shutil.rmtree(folder)
            os.replace(made, folder)
