"""The Hub's client, and the ids of its models."""

import re
from dataclasses import dataclass

from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from audiotag.errors import HubError
from audiotag.hub.session import guard
from audiotag.models.folder import LIBRARY
from audiotag.models.published.names import nearest
from audiotag.runtime.version import __version__

WRITE = "write OWNER/NAME or OWNER/NAME@REVISION"
CONVERTIBLE = (".pt", ".pth")
PICKLES = (*CONVERTIBLE, ".bin", ".ckpt", ".pickle", ".pkl")


@dataclass(frozen=True)
class HubId:
    """A repository, and a branch, tag or commit of it; the main branch if that is None."""

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
            near = nearest(text)
            meant = f"did you mean {' or '.join(near)}?" if near else WRITE
            raise HubError(f"{text!r} is not a Hub id; {meant}")
        name, own = match.groups()
        try:
            validate_repo_id(name)
        except HFValidationError as error:
            raise HubError(f"the Hub does not allow the name {name}; correct it") from error
        if own and revision and own != revision:
            raise HubError(f"{text} and revision {revision} contradict each other; give one")
        return cls(name, own or revision)

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name


def open_client(token: str | None, endpoint: str | None = None) -> HfApi:
    """The Hub's client. A malformed token is refused here, as the client's error would show it.

    Args:
        token: Instead of HF_TOKEN or the one of `hf auth login`.
        endpoint: Address of the Hub, or of a mirror; HF_ENDPOINT unless given.

    Raises:
        HubError: If the token has characters that no token has.
    """
    token = (token or "").strip() or None
    if token and not re.fullmatch(r"[!-~]+", token):
        raise HubError("the token holds characters that no token has; copy it again")
    guard()
    return HfApi(endpoint=endpoint, token=token, library_name=LIBRARY, library_version=__version__)
