"""Models in their publishers' own layouts, converted once and kept in the Hub's assets cache."""

from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import HfApi, cached_assets_path, constants
from huggingface_hub.errors import SafetensorsParsingError

from audiotag.errors import HubError, ModelError
from audiotag.models.folder import CONFIG_FILE, LIBRARY, WEIGHTS_FILE
from audiotag.models.published.layouts import recognise
from audiotag.runtime.version import __version__

# What the client raises for a damaged header.
HEADER_ERRORS = (SafetensorsParsingError, AttributeError, TypeError)


def check_layout(api: HfApi, name: str, revision: str | None, reason: str) -> None:
    """Check the layout of a repository's weights by their header, without downloading them.

    Args:
        api: The client.
        name: `owner/name`.
        revision: Branch, tag or commit; the main branch unless given.
        reason: Why the repository is not an audiotag model.

    Raises:
        HubError: If no published layout fits.
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


def converted(name: str, weights: Path, local_dir: Path | str | None = None) -> Path:
    """The model folder made from published weights, kept for each commit and version of audiotag.

    Args:
        name: `owner/name`.
        weights: The file in the Hub's cache, in the folder of its commit.
        local_dir: Make the folder here, every time, instead of in the assets cache.

    Raises:
        ModelError: If the weights have an unknown layout or do not fit the architecture.
    """
    if local_dir:
        folder = Path(local_dir)
    else:
        folder = cached_assets_path(LIBRARY, name, f"{weights.parent.name}-{__version__}")
        if (folder / CONFIG_FILE).is_file():  # written last
            return folder
    from audiotag.models.published.convert import (
        import_checkpoint,  # torch, which a cached model need not wait for
    )

    import_checkpoint(weights).save(folder)
    return folder


def kept() -> Iterator[tuple[str, str, Path]]:
    """Names, commits and folders of the models converted so far."""
    for config in Path(constants.HF_ASSETS_CACHE, LIBRARY).glob(f"*/*/{CONFIG_FILE}"):
        folder = config.parent
        yield folder.parent.name.replace("--", "/", 1), folder.name.partition("-")[0], folder
