"""Models by name: the folder of one in the Hugging Face hub's cache, and what to do where the hub gives none."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from qwen3_sglang.errors import ConversionError, MissingDependencyError

DOWNLOADED = ["*.safetensors", "*.json", "*.txt", "*.jinja", "LICENSE*"]  # pickles aren't
ELSEWHERE = "set HF_ENDPOINT to a mirror's address, or download the model elsewhere and name its folder"
TOO_MANY, FAULT = 429, 500
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
        return Path(call(huggingface_hub))
    except Exception as error:
        raise ConversionError(f"{name}: no such folder here, and {explain(name, error)}") from error


def explain(name: str, error: BaseException) -> str:  # noqa: PLR0911 - one for each reason
    """Why the hub gave no model of that name, in one line with the remedy; `error` is what its library raised."""
    from huggingface_hub import constants, errors  # noqa: PLC0415 - only the extra brings it

    host = urlsplit(constants.ENDPOINT).netloc.rpartition("@")[2]
    chain = list(_chain(error))
    kinds = {kind.__name__ for one in chain for kind in type(one).__mro__}
    status = next((one.response.status_code for one in chain if isinstance(one, errors.HfHubHTTPError)), 0)
    if "GatedRepoError" in kinds:
        page = f"{constants.ENDPOINT.replace(urlsplit(constants.ENDPOINT).netloc, host)}/{name}"
        return f"{host} gives it to those only who accepted its terms: accept them at {page}, then run `hf auth login`"
    if "RepositoryNotFoundError" in kinds:
        return f"{host} has no such model; check the name, and run `hf auth login` if it is a private one"
    if "OfflineModeIsEnabled" in kinds:
        return f"HF_HUB_OFFLINE forbids to ask {host}; unset it, or name a folder"
    if any(isinstance(one, OSError) and one.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} for one in chain):
        return (
            f"there is no room for it in {constants.HF_HUB_CACHE}; free some, or set HF_HOME to another disk's folder"
        )
    if status == TOO_MANY or status >= FAULT:
        return f"{host} answered {status}; try again later, or {ELSEWHERE}"
    if kinds.intersection(UNREACHABLE):
        return f"{host} can't be reached ({_line(chain[-1])}); check the network, or {ELSEWHERE}"
    if kinds.intersection(BROKEN_OFF):
        return f"the download from {host} broke off ({_line(chain[-1])}); run it again, what came is kept"
    return f"{host} gave none ({_line(error)}); check the name and the network, or {ELSEWHERE}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it comes from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
