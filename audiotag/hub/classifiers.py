"""Classifiers of transformers on the Hub: what must be so before their weights are downloaded."""

from collections.abc import Collection
from importlib.util import find_spec

from audiotag.errors import HubError
from audiotag.models.transformers.folder import EXTRACTOR_FILE


def check_classifier(name: str, files: Collection[str]) -> None:
    """Check that a classifier can be used here.

    Args:
        name: `owner/name`.
        files: Names of its files.

    Raises:
        HubError: If its front end is not described, or what computes it is not installed.
    """
    if EXTRACTOR_FILE not in files:
        raise HubError(
            f"{name} is a classifier of transformers without {EXTRACTOR_FILE}, so that nobody "
            "knows what it hears; choose another model"
        )
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise HubError(
                f"{name} is a classifier of transformers, which needs that library: pip install "
                "'audiotag-dcls[transformers]'"
            )
