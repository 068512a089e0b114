"""Models on the Hugging Face Hub: push a model folder, pull one by its name.

The cache is the Hub's own, and its variables hold: HF_TOKEN, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE.
Only the files named here travel, so that a pickle is neither sent nor fetched.
"""

import json
import logging
import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import httpx

from audiotag.config import CONFIG_FILE, ONNX_FILE, WEIGHTS_FILE
from audiotag.errors import HubError
from audiotag.hub_failures import TOKEN_HINT, explained, is_unreachable, sentence
from audiotag.hub_published import LIBRARY, check_layout, converted
from audiotag.version import __version__

CARD_FILE = "README.md"
# These names are those of `training`, whose import of torch a pull need not wait for.
RECIPE_FILE, METRICS_FILE = "recipe.toml", "metrics.jsonl"
FILES = (CONFIG_FILE, WEIGHTS_FILE, ONNX_FILE, CARD_FILE, RECIPE_FILE, METRICS_FILE)
CONVERTIBLE = (".pt", ".pth")
PICKLES = (*CONVERTIBLE, ".bin", ".ckpt", ".pickle", ".pkl")
TOKEN_IN_TEXT = re.compile(rb"hf_[A-Za-z0-9]{30,}")
# What comes before the last part of a quoted absolute path.
FOLDERS = re.compile(r'"(?:~[^"\\/\n]*|[A-Za-z]:)?[\\/](?:[^"\n]*[\\/])?(?=[^"\\/\n])')

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubId:
    """A repository, and the branch, tag or commit that is meant; its main branch without one."""

    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str, revision: str | None = None) -> "HubId":
        """Read `owner/name` or `owner/name@revision`.

        Raises:
            HubError: If it is neither, or two different revisions are given.
        """
        match = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", text)
        if match is None:
            raise HubError(f"{text!r} is no Hub id; write OWNER/NAME or OWNER/NAME@REVISION")
        name, own = match.groups()
        if own and revision and own != revision:
            raise HubError(f"{text} and revision {revision} contradict each other; give one")
        return cls(name, own or revision)

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name


@dataclass(frozen=True)
class Push:
    """What a push sent, or would send.

    Attributes:
        files: Names in the repository and sizes in bytes.
        card: Text of the model card.
        url: Page of the model or of the pull request; None after a dry run.
    """

    files: tuple[tuple[str, int], ...]
    card: str
    url: str | None = None


def pull(
    repo_id: str,
    *,
    revision: str | None = None,
    local_dir: Path | str | None = None,
    verify: bool = False,
    token: str | None = None,
) -> Path:
    """The folder of a model on the Hub, downloaded as far as it is not in the cache.

    A model that others published in a layout that `convert` knows is converted, once. When the Hub
    cannot be reached, a copy in the cache is used.

    Args:
        repo_id: `owner/name` or `owner/name@revision`.
        revision: Branch, tag or commit; the main branch unless given.
        local_dir: Download into this folder instead of the cache.
        verify: Compare the files with the Hub's hashes.
        token: Instead of HF_TOKEN or the one of `hf auth login`.

    Raises:
        HubError: If the model cannot be had, is of no known layout, or a file is damaged.
        ModelError: If another publisher's model does not fit its architecture.
    """
    source = HubId.parse(repo_id, revision)
    api = _api(token)
    with explained(api, source.name, source.revision):
        try:
            folder = _fetched(api, source, local_dir)
        except (OfflineModeIsEnabled, httpx.TransportError, HfHubHTTPError) as error:
            if local_dir or verify or not is_unreachable(error):
                raise
            folder = _cached(api, source, error)
        is_own = _is_own_config(folder / CONFIG_FILE)
        if verify:
            _verify(api, source, local_dir if is_own else None)
        return folder if is_own else converted(source.name, folder / WEIGHTS_FILE, local_dir)


def push(
    folder: Path | str,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    commit_message: str | None = None,
    create_pr: bool = False,
    token: str | None = None,
    dry_run: bool = False,
) -> Push:
    """Upload a model folder: config, weights, ONNX, card, and a run's recipe and metrics.

    A card is written for a folder that has none. Absolute paths in the recipe lose their folders.

    Args:
        folder: A model folder or a run folder.
        repo_id: `owner/name`; made if it does not exist.
        private: Whether a repository that is made is private.
        revision: Branch to commit to, made if it does not exist; main unless given.
        commit_message: First line of the commit.
        create_pr: Open a pull request instead of committing.
        token: Instead of HF_TOKEN or the one of `hf auth login`.
        dry_run: Send nothing, ask the Hub nothing.

    Raises:
        ModelError: If the folder does not hold a tagger.
        HubError: If the Hub refuses, the repository holds something else, or a file a token.
    """
    target = HubId.parse(repo_id, revision)
    contents = _contents(Path(folder), target)
    sizes = tuple((name, _size(content)) for name, content in contents.items())
    result = Push(sizes, _text(contents[CARD_FILE]))
    if dry_run:
        return result
    message = commit_message or f"Push {Path(folder).resolve().name} with audiotag {__version__}"
    url = _commit(_api(token), target, contents, message, private, create_pr)
    return replace(result, url=url)


def _api(token: str | None) -> HfApi:
    """The client; it refuses what no token is, as it would show it in an exception."""
    token = (token or "").strip() or None
    if token and not re.fullmatch(r"[!-~]+", token):
        raise HubError("the token holds characters that no token has; copy it again")
    return HfApi(token=token, library_name=LIBRARY, library_version=__version__)


# pull


def _fetched(api: HfApi, source: HubId, local_dir: Path | str | None) -> Path:
    """The folder of a model, as the Hub has it now; of another publisher's, with its weights.

    Raises:
        HubError: If it is no model of a known layout: found out before its weights are downloaded.
    """
    info = api.model_info(source.name, revision=source.revision)
    names = {file.rfilename for file in info.siblings or ()}
    if WEIGHTS_FILE not in names:
        raise HubError(_lacking(source, names))
    config = _download(api, source, CONFIG_FILE) if CONFIG_FILE in names else None
    if config is None or not _is_own_config(config):
        return _fetched_published(api, source, info.sha, config)
    if not local_dir and all(
        (config.parent / name).is_file() for name in names.intersection(FILES)
    ):
        return config.parent  # without the progress bars of a download that has nothing to do
    return _snapshot(api, source, local_dir=local_dir)


def _fetched_published(api: HfApi, source: HubId, commit: str | None, config: Path | None) -> Path:
    """The folder, in the cache, with another publisher's weights."""
    is_cached = try_to_load_from_cache(source.name, WEIGHTS_FILE, revision=commit)
    if not is_cached:
        reason = f"its {CONFIG_FILE} is not audiotag's" if config else f"it has no {CONFIG_FILE}"
        check_layout(api, source.name, source.revision, reason)
    return _download(api, source, WEIGHTS_FILE).parent


def _download(api: HfApi, source: HubId, name: str) -> Path:
    return Path(api.hf_hub_download(source.name, name, revision=source.revision))


def _snapshot(api: HfApi, source: HubId, **options) -> Path:
    allowed = list(FILES)
    return Path(
        api.snapshot_download(
            source.name, revision=source.revision, allow_patterns=allowed, **options
        )
    )


def _cached(api: HfApi, source: HubId, error: Exception) -> Path:
    """The copy in the cache of a model whose Hub cannot be reached, as `error` says.

    Raises:
        HubError: If there is none.
    """
    reason = sentence(error, api, source.name, source.revision)
    try:
        folder = _snapshot(api, source, local_files_only=True)
    except LocalEntryNotFoundError:
        folder = None
    if folder is None or not (folder / WEIGHTS_FILE).is_file():
        raise HubError(f"{source} is not in the cache, and {reason}") from error
    if not isinstance(error, OfflineModeIsEnabled):
        logger.warning("Using the cached copy of %s: %s", source, reason)
    return folder


def _lacking(source: HubId, names: Collection[str]) -> str:
    """What to say of a repository without weights that can be used."""
    lacking = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if name not in names]
    message = f"{source} is not an audiotag model: it has no {' and no '.join(lacking)}"
    pickles = sorted((x for x in names if x.endswith(PICKLES)), key=_is_inconvertible)
    if not pickles:
        return f"{message}; choose a model that audiotag push made"
    message += f", and {pickles[0]} is a pickle, which is never loaded unasked; "
    if _is_inconvertible(pickles[0]):
        return f"{message}choose a model with a {WEIGHTS_FILE}"
    file, folder = shlex.quote(pickles[0]), source.name.split("/")[1]
    revision = f" --revision {source.revision}" if source.revision else ""
    return (
        f"{message}run: hf download {source.name} {file}{revision} --local-dir . && "
        f"audiotag convert {file} {folder}"
    )


def _is_inconvertible(name: str) -> bool:
    return not name.endswith(CONVERTIBLE)


def _is_own_config(path: Path) -> bool:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(values, dict) and values.get("library_name") == LIBRARY


def _verify(api: HfApi, source: HubId, local_dir: Path | str | None) -> None:
    """Raise a HubError naming the files whose hash is not the Hub's."""
    found = api.verify_repo_checksums(source.name, revision=source.revision, local_dir=local_dir)
    damaged = [(found.verified_path / file["path"]).resolve() for file in found.mismatches]
    if damaged:
        raise HubError(
            f"{source}: {', '.join(file['path'] for file in found.mismatches)} differs from the "
            f"Hub's hash; delete {' and '.join(map(str, damaged))} and pull again"
        )


# push


def _contents(folder: Path, target: HubId) -> dict[str, Path | bytes]:
    """The files to send, by their names; the large ones as paths."""
    card = _card(folder, target)  # first: it refuses a folder that is no tagger
    contents: dict[str, Path | bytes] = {
        name: folder / name for name in (WEIGHTS_FILE, ONNX_FILE) if (folder / name).is_file()
    }
    contents[CARD_FILE] = card.encode()
    for name in (CONFIG_FILE, RECIPE_FILE, METRICS_FILE):
        if (folder / name).is_file():
            contents[name] = (folder / name).read_bytes()
    if RECIPE_FILE in contents:
        contents[RECIPE_FILE] = _without_folders(_text(contents[RECIPE_FILE])).encode()
    for name, content in contents.items():
        if isinstance(content, bytes) and TOKEN_IN_TEXT.search(content):
            raise HubError(f"{folder / name} holds a Hub token; remove it and revoke the token")
    return {name: contents[name] for name in FILES if name in contents}


def _card(folder: Path, target: HubId) -> str:
    from audiotag.card import model_card
    from audiotag.tagger import Tagger

    if (folder / CARD_FILE).is_file():
        Tagger.load(folder)
        return (folder / CARD_FILE).read_text(encoding="utf-8")
    return model_card(folder, target.name)


def _without_folders(text: str) -> str:
    """TOML whose strings that are absolute paths keep their last part only."""
    return FOLDERS.sub('"', text)


def _text(content: Path | bytes) -> str:
    return (content if isinstance(content, bytes) else content.read_bytes()).decode("utf-8")


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _commit(
    api: HfApi,
    target: HubId,
    contents: dict[str, Path | bytes],
    message: str,
    private: bool,
    create_pr: bool,
) -> str:
    """Send the files in one commit; returns the page to look at."""
    if not (api.token or get_token()):
        raise HubError(f"pushing to {target.name} needs a token; {TOKEN_HINT}")
    with explained(api, target.name, target.revision):
        api.create_repo(target.name, private=private or None, exist_ok=True)
        _refuse_taken(api, target)
        if target.revision and not create_pr:
            api.create_branch(target.name, branch=target.revision, exist_ok=True)
        commit = api.create_commit(
            target.name,
            [CommitOperationAdd(name, content) for name, content in contents.items()],
            commit_message=message,
            revision=target.revision,
            create_pr=create_pr,
        )
    page = f"{api.endpoint}/{target.name}"
    return commit.pr_url or (f"{page}/tree/{target.revision}" if target.revision else page)


def _refuse_taken(api: HfApi, target: HubId) -> None:
    """Raise a HubError if the repository holds a model of another library."""
    info = api.model_info(target.name)
    if CONFIG_FILE in {file.rfilename for file in info.siblings or ()}:
        config = api.hf_hub_download(target.name, CONFIG_FILE, revision=info.sha)
        if not _is_own_config(Path(config)):
            raise HubError(f"{target.name} holds another library's model; choose another name")
