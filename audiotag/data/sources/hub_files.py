"""Files of data sets on the Hugging Face Hub, in its cache, compared with the Hub's hashes."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from huggingface_hub import HfApi

from audiotag.hub.client import HubId, open_client
from audiotag.hub.failures import explained, patiently, transferring
from audiotag.hub.hashes import check_files, stated_hashes


def download_files(source: str, choose: Callable[[str, Sequence[str]], Sequence[str]]) -> Path:
    """The folder, in the Hub's cache, of a data set.

    Files that are there already are not downloaded again.

    Args:
        source: `owner/name`, or `owner/name@revision`.
        choose: Given the data set's name and the names of its files, those to download.

    Raises:
        HubError: If they cannot be downloaded, or are damaged on the way.
    """
    found = HubId.parse(source)
    api = open_client(None)
    with explained(api, f"datasets/{found.name}", found.revision):
        return patiently(partial(_fetched, api, found, choose))


def _fetched(
    api: HfApi, source: HubId, choose: Callable[[str, Sequence[str]], Sequence[str]]
) -> Path:
    with transferring():
        info = api.dataset_info(source.name, revision=source.revision, files_metadata=True)
        siblings = info.siblings or ()
        stated = stated_hashes(siblings)
    wanted = choose(source.name, [str(file.rfilename) for file in siblings])
    with transferring():
        folder = Path(
            api.snapshot_download(
                source.name,
                repo_type="dataset",
                revision=info.sha,
                allow_patterns=[_literally(name) for name in wanted],
            )
        )
    check_files(folder, wanted, stated)
    return folder


def _literally(name: str) -> str:
    """A pattern that a name alone matches."""
    return "".join(f"[{x}]" if x in "*?[" else x for x in name)
