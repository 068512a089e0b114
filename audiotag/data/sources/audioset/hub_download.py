"""AudioSet's parquet files, downloaded from a data set on the Hugging Face Hub."""

from collections.abc import Sequence
from pathlib import Path

from audiotag.data.sources.audioset.subsets import splits_of
from audiotag.data.sources.hub_files import download_files
from audiotag.errors import DataError


def download_audioset(source: str, subsets: Sequence[str] = ()) -> Path:
    """The folder, in the Hub's cache, of a data set in the layout of agkphysics/AudioSet.

    Args:
        source: `owner/name`, or `owner/name@revision`.
        subsets: Of "balanced", "unbalanced", "eval"; all unless given.

    Raises:
        DataError: If it has no such files.
        HubError: If they cannot be downloaded.
    """

    def choose(name: str, files: Sequence[str]) -> Sequence[str]:
        parquet = [file for file in files if file.endswith(".parquet")]
        wanted = list(splits_of(Path(name), parquet, subsets))
        if not wanted:
            raise DataError(_nothing_there(name, files, subsets))
        return wanted

    return download_files(source, choose)


def _nothing_there(name: str, files: Sequence[str], subsets: Sequence[str]) -> str:
    if any(file.endswith(".tar") for file in files):
        return (
            f"{name} has tar files, of which you choose: hf download {name} --repo-type dataset "
            "--include 'FOLDER/*.tar' --local-dir DIR; then prepare DIR"
        )
    return (
        f"{name} has no parquet files of {' or '.join(subsets) or 'AudioSet'}; they lie in folders "
        "named bal_train, unbal_train, eval or the like"
    )
