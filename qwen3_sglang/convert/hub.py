"""Models by name: the folder of one in the Hugging Face hub's cache, and what to do where the hub gives none."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from qwen3_sglang.errors import ConversionError, MissingDependencyError

DOWNLOADED = ["*.safetensors", "*.json", "*.txt", "*.jinja", "LICENSE*"]  # pickles aren't
ELSEWHERE = "set HF_ENDPOINT to a mirror's address, or download the model elsewhere and name its folder"
TOO_MANY, FAULT = 429, 500
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Names of exceptions, since the library that raises them changed from httpx to httpx2.
UNREACHABLE = ("ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol", "InvalidURL")
BROKEN_OFF = ("RemoteProtocolError", "ReadError", "ReadTimeout", "WriteError", "IncompleteSnapshotError")


def download(name: str) -> Path:
    """The folder of hub model `name` in the hub's cache; what isn't there is downloaded.

    Raises:
        ConversionError: the hub gave none.
        MissingDependencyError: the extra `convert` isn't installed.
    """
    return _ask(name, lambda hub: hub.snapshot_download(name, allow_patterns=DOWNLOADED))


def cached(name: str) -> Path:
    """The same without a download. Raises: as `download`."""
    return _ask(name, lambda hub: hub.snapshot_download(name, local_files_only=True))


def _ask(name: str, call: Callable[[Any], str]) -> Path:
    try:
        import huggingface_hub  # noqa: PLC0415 - only the extra brings it
    except ImportError as error:
        raise MissingDependencyError("huggingface_hub", "convert") from error
    try:
        with warnings.catch_warnings():
            # With the library's own source line; what comes of it is said below.
            warnings.filterwarnings("ignore", "Not enough free disk space", UserWarning)
            return Path(call(huggingface_hub))
    except Exception as error:
        raise ConversionError(f"{name}: no such folder here, and {explain(name, error)}") from error


def explain(name: str, error: BaseException) -> str:
    """Why the hub gave no model of that name, in one line with the remedy; `error` is what its library raised."""
    from huggingface_hub import constants  # noqa: PLC0415 - only the extra brings it

    host = urlsplit(constants.ENDPOINT).netloc.rpartition("@")[2]
    chain = list(_chain(error))
    kinds = {kind.__name__ for one in chain for kind in type(one).__mro__}
    answers = [answer for one in chain if (answer := getattr(one, "response", None)) is not None]
    if answers:
        said = _refused(name, host, kinds, answers[0].status_code)
    elif any(isinstance(one, OSError) and one.errno in FULL for one in chain):
        cache = constants.HF_HUB_CACHE
        said = f"there is no room for it in {cache}; free some, or set HF_HOME to another disk's folder"
    elif "OfflineModeIsEnabled" in kinds:
        said = f"HF_HUB_OFFLINE forbids to ask {host}; unset it, or name a folder"
    elif kinds.intersection(UNREACHABLE):
        said = f"{host} can't be reached ({_line(chain[-1])}); check the network, or {ELSEWHERE}"
    elif kinds.intersection(BROKEN_OFF):
        said = f"the download from {host} broke off ({_line(chain[-1])}); run it again, what came is kept"
    else:
        said = f"{host} gave none ({_line(error)}); check the name and the network, or {ELSEWHERE}"
    return said


def _refused(name: str, host: str, kinds: set[str], status: int) -> str:
    """What the hub's answer means."""
    if "GatedRepoError" in kinds:
        terms = f"accept them on its page, {host}/{name}, then run `hf auth login`"
        return f"{host} gives it to those only who accepted its terms: {terms}"
    if "RepositoryNotFoundError" in kinds:
        return f"{host} has no such model; check the name, and run `hf auth login` if it is a private one"
    if status == TOO_MANY or status >= FAULT:
        return f"{host} answered {status}; try again later, or {ELSEWHERE}"
    return f"{host} answered {status}; check the name, or {ELSEWHERE}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it comes from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
