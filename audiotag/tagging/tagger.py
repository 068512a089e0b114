"""The tagger: a model with its name, which tags files and is shared on the Hub."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, cast

from audiotag.errors import ModelError
from audiotag.hub.pull import pull
from audiotag.hub.push import push
from audiotag.models.folder import DEFAULT_NAME
from audiotag.models.model import Model, to_device
from audiotag.runtime.devices import select_device
from audiotag.runtime.precision import PRECISIONS
from audiotag.tagging.locate import model_folder
from audiotag.tagging.results import FileTags
from audiotag.tagging.tag import TagOptions, tag_file


class Tagger(Model):
    """A model that tags files, and is got from and shared on the Hugging Face Hub."""

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | None = None,
        *,
        revision: str | None = None,
        token: str | None = None,
    ) -> Self:
        """A tagger to train on or to push: as it was saved, in evaluation mode, on the CPU.

        `load_tagger` folds it for use and puts it on its device.

        Args:
            model: Model folder, Hub id (`owner/name[@revision]`), or "default" or nothing for the
                embedded default.
            revision: Branch, tag or commit of a Hub id.
            token: For the Hub, instead of HF_TOKEN or the one of `hf auth login`.

        Raises:
            ModelError: If there is no such model, or the folder does not hold a tagger.
            HubError: If a Hub model cannot be had.
        """
        if revision is None and token is None:
            return cls.load(model_folder(model))
        return cls.load(pull(str(model), revision=revision, token=token))

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Share the tagger on the Hugging Face Hub, with a model card.

        Args:
            repo_id: `owner/name`; made if it does not exist.
            options: Those of `hub.push.push`: private, revision, tag, commit_message, create_pr,
                token, folded, license.

        Returns:
            The page of the model or of the pull request.

        Raises:
            ModelError: If it has been folded.
            HubError: If the Hub refuses, or the repository holds something else.
        """
        with TemporaryDirectory() as folder:
            self.save(folder)
            return cast(str, push(folder, repo_id, **options).url)

    def tag(self, path: Path | str, **options) -> FileTags:
        """Tags of an audio file, the same as `audiotag tag` prints.

        Args:
            path: Any file that `audio.stream` reads.
            options: Fields of `tagging.TagOptions`.

        Raises:
            AudioError: If the file cannot be decoded.
        """
        return tag_file(self, Path(path), TagOptions(**options))


def load_tagger(
    model: str | Path | None = None,
    device: str = "auto",
    precision: str = "fp32",
    folded: bool = True,
) -> Tagger:
    """A tagger for use: its DCLS kernels folded, in evaluation mode, on its device.

    Args:
        model: Model folder, Hub id (`owner/name[@revision]`), or "default" or nothing for the
            embedded default.
        device: "auto" (CUDA where there is one), "cpu" or "cuda".
        precision: Of matrix products: "fp32" or "bf16".
        folded: Whether to fold it, which is faster, but not every module gives what it gave.

    Raises:
        ModelError: If there is no such model, device or precision, or the folder does not hold a
            tagger.
        HubError: If a Hub model cannot be had.
    """
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise ModelError(f"unknown precision {precision!r}; choose one of {known}")
    target = select_device(device)
    tagger = Tagger.load(model_folder(model))
    if folded:
        tagger.fold()
    if model in (None, DEFAULT_NAME):
        tagger.name = DEFAULT_NAME
    tagger.precision = precision
    return to_device(tagger, target)
