"""The tagger: a model in torch that tags files and can be shared on the Hub."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self, TypedDict, Unpack, cast

from audiotag.errors import ModelError
from audiotag.hub.pull import pull
from audiotag.hub.push import push
from audiotag.models.folder import WEIGHTS_FILE
from audiotag.models.model import Model, to_device
from audiotag.runtime.devices import select_device
from audiotag.runtime.keywords import check_keywords
from audiotag.runtime.precision import PRECISIONS
from audiotag.tagging.locate import model_folder
from audiotag.tagging.tags_audio import TagsAudio


class PushKeywords(TypedDict, total=False):
    """Keyword arguments of `hub.push.push` that `push_to_hub` takes."""

    private: bool
    revision: str | None
    tag: str | None
    commit_message: str | None
    create_pr: bool
    token: str | None
    folded: bool
    license: str | None


class Tagger(TagsAudio, Model):
    """A model that tags files, and can be downloaded from and shared on the Hugging Face Hub.

    Example:
        >>> import audiotag, torch
        >>> tagger = audiotag.load_tagger(device="cpu")
        >>> tagger.sample_rate, len(tagger.labels), tagger.min_duration
        (32000, 527, 3.0)
        >>> waveforms = torch.zeros(2, 10 * tagger.sample_rate)
        >>> maps = tagger.features(waveforms)  # (B, 1, n_mels, frames)
        >>> torch.equal(tagger.backbone(maps), tagger(waveforms))
        True
    """

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | None = None,
        *,
        revision: str | None = None,
        token: str | None = None,
    ) -> Self:
        """A tagger to train or to push: as it was saved, in evaluation mode, on the CPU.

        To tag with it, use `load_tagger`, which also folds it and moves it to its device.

        Args:
            model: Model folder, Hub id (`owner/name[@revision]`), name of a published model, or
                "default" or nothing for the embedded default.
            revision: Branch, tag or commit of a Hub id.
            token: Token to use instead of HF_TOKEN or that of `hf auth login`.

        Raises:
            ModelError: If there is no such model, or the folder does not hold a model.
            HubError: If a Hub model cannot be downloaded and is not in the cache.

        Example:
            >>> import audiotag
            >>> tagger = audiotag.Tagger.from_pretrained()
            >>> tagger.save("copy")
            >>> audiotag.Tagger.from_pretrained("copy").labels == tagger.labels
            True
        """
        if revision is None and token is None:
            return cls.load(model_folder(model))
        return cls.load(pull(str(model), revision=revision, token=token))

    def push_to_hub(self, repo_id: str, **options: Unpack[PushKeywords]) -> str:
        """Share the tagger on the Hugging Face Hub, with a model card.

        Args:
            repo_id: `owner/name`; made if it does not exist.
            options: Arguments of `hub.push.push`: private, revision, tag, commit_message,
                create_pr, token, folded, license.

        Returns:
            The address of the page of the model or of the pull request.

        Raises:
            ModelError: If it has been folded.
            HubError: If the Hub refuses, or the repository holds something else.
            TypeError: If an option is unknown.

        Example:
            >>> import audiotag
            >>> tagger = audiotag.Tagger.from_pretrained()
            >>> page = tagger.push_to_hub("me/sounds", private=True)
            >>> page.endswith("/me/sounds")
            True
            >>> audiotag.Tagger.from_pretrained("me/sounds").labels == tagger.labels
            True
        """
        check_keywords("push_to_hub", options, PushKeywords.__annotations__)
        with TemporaryDirectory() as folder:
            self.save(folder)
            return cast(str, push(folder, repo_id, **options).url)


def open_tagger(
    folder: Path, device: str, precision: str, folded: bool = True, name: str | None = None
) -> Tagger:
    """The tagger in a model folder, for use; arguments and errors as for `load_tagger`."""
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise ModelError(f"unknown precision {precision!r}; choose one of {known}")
    target = select_device(device)
    tagger = Tagger.load(folder, name)
    tagger.weights = folder / WEIGHTS_FILE
    if folded:
        tagger.fold()
    tagger.precision = precision
    return to_device(tagger, target)
