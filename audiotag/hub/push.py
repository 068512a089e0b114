"""Uploading a model folder to the Hugging Face Hub, without private files."""

import re
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi, constants, get_token
from huggingface_hub.errors import BadRequestError

from audiotag.errors import HubError
from audiotag.hub.client import PICKLES, HubId, open_client
from audiotag.hub.failures import TOKEN_HINT, explained, patiently, transferring
from audiotag.models.config import read_config
from audiotag.models.folder import (
    CARD_FILE,
    CONFIG_FILE,
    EVALUATION_FILE,
    FILES,
    ONNX_FILE,
    RECIPE_FILE,
    RUN_FILES,
    WEIGHTS_FILE,
    is_own_config,
)
from audiotag.models.weights_file import count_parameters
from audiotag.runtime.files import replaced
from audiotag.runtime.version import __version__

TOKEN_IN_TEXT = re.compile(rb"hf_[A-Za-z0-9]{30,}")
# All except the last part of a quoted absolute path.
FOLDERS = re.compile(r'"(?:~[^"\\/\n]*|[A-Za-z]:)?[\\/](?:[^"\n]*[\\/])?(?=[^"\\/\n])')
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
Contents = dict[str, Path | bytes]  # by name in the repository; large files as paths


@dataclass(frozen=True)
class Push:
    """What a push sent, or would send.

    Attributes:
        files: Sizes in bytes by names in the repository.
        card: Text of the model card.
        url: Page of the model or of the pull request; None after a dry run.
    """

    files: tuple[tuple[str, int], ...]
    card: str
    url: str | None = None


@dataclass(frozen=True)
class _Commit:
    """How the files are committed; see the arguments of `push`."""

    message: str
    private: bool
    tag: str | None
    create_pr: bool


def push(
    folder: Path | str,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    tag: str | None = None,
    commit_message: str | None = None,
    create_pr: bool = False,
    token: str | None = None,
    folded: bool = False,
    license: str | None = None,
    dry_run: bool = False,
) -> Push:
    """Upload a model folder: config, weights, ONNX file, model card, and the records of a run.

    If the folder has no card, one is written. Absolute paths in the recipe are shortened to their
    last part. Files that an interrupted push has sent are not sent again.

    Args:
        folder: A model folder or a run folder.
        repo_id: `owner/name`; made if it does not exist.
        private: Whether a new repository is private.
        revision: Branch to commit to, made if it does not exist; main unless given.
        tag: Name to give to the commit.
        commit_message: First line of the commit.
        create_pr: Open a pull request instead of committing.
        token: Token to use instead of HF_TOKEN or that of `hf auth login`.
        folded: Send the folded weights, in half precision: for use, not for training.
        license: The Hub's name of the weights' licence, such as "mit"; without it the card says
            that there is none.
        dry_run: Send nothing, and make no request to the Hub.

    Raises:
        ModelError: If the folder does not hold a model, or its model cannot be saved folded.
        HubError: If the Hub refuses, the repository holds another library's model, or a file
            contains a token or names a folder of this machine.
    """
    target = check_options(repo_id, revision, tag, create_pr, license)
    with ExitStack() as stack:
        source = Path(folder)
        if folded:
            source = _folded(source, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        contents = _contents(source, target, license)
        sizes = tuple((name, _size(content)) for name, content in contents.items())
        result = Push(sizes, _text(contents[CARD_FILE]))
        if dry_run:
            return result
        message = commit_message or f"Push with audiotag {__version__}"
        how = _Commit(message, private, tag, create_pr)
        return replace(result, url=_commit(open_client(token), target, contents, how))


def check_options(
    repo_id: str, revision: str | None, tag: str | None, create_pr: bool, license: str | None
) -> HubId:
    """The repository and branch to push to; arguments as of `push`.

    Raises:
        HubError: If an argument is invalid, or two exclude each other.
    """
    target = HubId.parse(repo_id, revision)
    if create_pr and (target.revision or tag):
        raise HubError("a pull request is against main, and takes no tag; leave out one of them")
    if license is not None and not LICENSE.fullmatch(license):
        raise HubError(
            f"the Hub has no licence {license!r}; its names are like mit, apache-2.0, cc-by-4.0"
        )
    return target


# what is sent


def _folded(folder: Path, place: Path) -> Path:
    """A copy of a model folder, in `place`, with folded weights."""
    import torch

    from audiotag.models.model import Model

    tagger = Model.load(folder).fold()
    tagger.config = replace(tagger.config, folded=True)
    tagger.save(place, torch.float16)
    Model.load(place)  # raises an error if it cannot be loaded
    for name in (ONNX_FILE, CARD_FILE, *RUN_FILES):
        if (folder / name).is_file():
            with replaced(place / name, sync=False) as file:
                file.write((folder / name).read_bytes())
    return place


def _contents(folder: Path, target: HubId, license: str | None) -> Contents:
    """The files to send, by name."""
    from audiotag.models.evaluation_record import read_evaluation

    _refuse_links(folder)
    card = _card(folder, target, license)  # first: it refuses a folder without a model
    contents: Contents = {
        name: folder / name for name in (WEIGHTS_FILE, ONNX_FILE) if (folder / name).is_file()
    }
    contents[CARD_FILE] = card.encode()
    for name in (CONFIG_FILE, *RUN_FILES):
        if (folder / name).is_file():
            contents[name] = (folder / name).read_bytes()
    if RECIPE_FILE in contents:
        contents[RECIPE_FILE] = _without_folders(_text(contents[RECIPE_FILE])).encode()
    if (evaluation := read_evaluation(folder)) is not None:
        # It contains the model's name from the command line, which may be a path.
        named = replace(evaluation, model=target.name)
        contents[EVALUATION_FILE] = f"{named.to_json()}\n".encode()
    for name, content in contents.items():
        if isinstance(content, bytes):
            _refuse_private(content, folder / name)
    return {name: contents[name] for name in FILES if name in contents}


def _card(folder: Path, target: HubId, license: str | None) -> str:
    from audiotag.hub.card import model_card

    _check_model(folder)
    if (folder / CARD_FILE).is_file():
        if license is not None:
            raise HubError(f"{folder / CARD_FILE} is your own card; put the licence in its head")
        return (folder / CARD_FILE).read_text(encoding="utf-8")
    return model_card(folder, target.name, license)


def _check_model(folder: Path) -> None:
    """Raise a ModelError for a folder without a model; if torch is installed, also for a folder
    whose weights do not fit its config."""
    if find_spec("torch") is None:
        count_parameters(folder, read_config(folder))
        return
    from audiotag.models.model import Model

    Model.load(folder)


def _refuse_links(folder: Path) -> None:
    """Refuse a file that is a link out of its folder, as in one that somebody else has made: what
    it points to is nobody else's business. In the Hub's cache all files are links.

    Raises:
        HubError: If there is one.
    """
    inside = folder.resolve(), Path(constants.HF_HUB_CACHE).resolve()
    for path in (folder / name for name in FILES):
        if not any(path.resolve().is_relative_to(place) for place in inside):
            raise HubError(f"{path} is a link to {path.resolve()}; put the file itself there")


def _without_folders(text: str) -> str:
    """The TOML text with absolute paths in strings shortened to their last part."""
    return FOLDERS.sub('"', text)


def _refuse_private(text: bytes, path: Path) -> None:
    """Refuse a text that contains a token or names a folder of this machine.

    Raises:
        HubError: If it does.
    """
    if TOKEN_IN_TEXT.search(text):
        raise HubError(f"{path} holds a Hub token; remove it and revoke the token")
    for place in (Path.home(), Path.cwd(), path.resolve().parent.parent):
        if place != Path(place.anchor) and f"{place}/".encode() in text:
            raise HubError(f"{path} names {place}, a folder of this machine; remove that")


def _text(content: Path | bytes) -> str:
    return (content if isinstance(content, bytes) else content.read_bytes()).decode("utf-8")


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


# how it is sent


def _commit(api: HfApi, target: HubId, contents: Contents, how: _Commit) -> str:
    """Send the files in one commit; returns the address of the page that shows it."""
    if not (api.token or get_token()):
        raise HubError(f"pushing to {target.name} needs a token; {TOKEN_HINT}")
    files = [CommitOperationAdd(name, content) for name, content in contents.items()]
    send = partial(_send, api, target, files, how)
    with explained(api, target.name, target.revision):
        patiently(partial(_prepare, api, target, how))
        # A pull request is sent only once: each attempt that arrives would open one.
        commit = send() if how.create_pr else patiently(send)
        if how.tag:
            tag = partial(api.create_tag, target.name, tag=how.tag, revision=commit.oid)
            patiently(partial(tag, exist_ok=True))
    page = f"{api.endpoint}/{target.name}"
    revision = how.tag or target.revision
    return commit.pr_url or (f"{page}/tree/{revision}" if revision else page)


def _prepare(api: HfApi, target: HubId, how: _Commit) -> None:
    """Make the repository and the branch if they do not exist.

    Raises:
        HubError: If the repository holds a model of another library, or has the tag already.
    """
    api.create_repo(target.name, private=how.private or None, exist_ok=True)
    info = api.model_info(target.name)
    names = {file.rfilename for file in info.siblings or ()}
    if CONFIG_FILE in names:
        config = api.hf_hub_download(target.name, CONFIG_FILE, revision=info.sha)
        is_free = is_own_config(Path(config))
    else:
        is_free = not any(name == WEIGHTS_FILE or name.endswith(PICKLES) for name in names)
    if not is_free:
        raise HubError(f"{target.name} holds another library's model; choose another name")
    if how.tag and how.tag in {ref.name for ref in api.list_repo_refs(target.name).tags}:
        raise HubError(f"{target.name} has a tag {how.tag} already; choose another")
    if target.revision:
        api.create_branch(target.name, branch=target.revision, exist_ok=True)


def _send(
    api: HfApi, target: HubId, files: Sequence[CommitOperationAdd], how: _Commit
) -> CommitInfo:
    """Commit the files; files that are on the Hub already are not uploaded again."""
    try:
        with transferring():
            return api.create_commit(
                target.name,
                files,
                commit_message=how.message,
                revision=target.revision,
                create_pr=how.create_pr,
            )
    except ValueError as error:
        if not isinstance(error.__cause__, BadRequestError):
            raise
        reason = " ".join(str(error).split())
        raise HubError(f"the Hub refuses {CARD_FILE}: {reason}; correct its head") from error
