"""AudioSet's parquet files, downloaded from a data set on the Hugging Face Hub."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from huggingface_hub import DatasetInfo, HfApi

from audiotag.data.sources.audioset.parquet import FOLDERS
from audiotag.errors import DataError
from audiotag.hub.client import HubId, open_client
from audiotag.hub.failures import explained, patiently, transferring


def download_audioset(source: str, subsets: Sequence[str] = ()) -> Path:
    """The folder, in the Hub's cache, of a data set in the layout of agkphysics/AudioSet.

    Files that are there already are not downloaded again.

    Args:
        source: `owner/name`, or `owner/name@revision`.
        subsets: Of "balanced", "unbalanced", "eval"; all unless given.

    Raises:
        DataError: If it has no such files.
        HubError: If they cannot be downloaded.
    """
    found = HubId.parse(source)
    api = open_client(None)
    with explained(api, f"datasets/{found.name}", found.revision):
        info = patiently(partial(_asked, api, found))
        names = [file.rfilename for file in info.siblings or ()]
        wanted = [name for name in names if _is_wanted(PurePosixPath(name), subsets)]
        if not wanted:
            raise DataError(_nothing_there(found.name, names, subsets))
        return patiently(partial(_downloaded, api, found.name, info.sha, wanted))


def _asked(api: HfApi, source: HubId) -> DatasetInfo:
    with transferring():
        return api.dataset_info(source.name, revision=source.revision)


def _downloaded(api: HfApi, name: str, commit: str | None, files: Sequence[str]) -> Path:
    with transferring():
        return Path(
            api.snapshot_download(
                name, repo_type="dataset", revision=commit, allow_patterns=list(files)
            )
        )


def _nothing_there(name: str, files: Sequence[str], subsets: Sequence[str]) -> str:
    if any(file.endswith(".tar") for file in files):
        return (
            f"{name} has tar files, of which you choose: hf download {name} --repo-type dataset "
            "--include 'FOLDER/*.tar' --local-dir DIR; then prepare DIR"
        )
    return (
        f"{name} has no parquet files of {' or '.join(subsets) or 'AudioSet'}; they lie in folders "
        f"named {', '.join(FOLDERS)}"
    )


def _is_wanted(path: PurePosixPath, subsets: Sequence[str]) -> bool:
    subset = FOLDERS.get(path.parent.name)
    return path.suffix == ".parquet" and subset is not None and (not subsets or subset in subsets)
