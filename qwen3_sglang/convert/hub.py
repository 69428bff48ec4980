"""Models from the Hugging Face hub; what keeps one from coming, and what to do about it."""

from __future__ import annotations

from pathlib import Path

from qwen3_sglang.errors import ConversionError, MissingDependencyError

DOWNLOADED = ["*.safetensors", "*.json", "*.txt", "*.jinja", "LICENSE*"]


def download(name: str) -> Path:
    """The folder of hub model `name` in the hub's cache; pickled weights are not fetched.

    Raises:
        ConversionError: the hub can't be reached, hasn't the model, or doesn't give it.
        MissingDependencyError: the extra `convert` isn't installed.
    """
    try:
        from huggingface_hub import constants, errors, snapshot_download  # noqa: PLC0415 - only the extra brings it
    except ImportError as error:
        raise MissingDependencyError("huggingface_hub", "convert") from error
    try:
        return Path(snapshot_download(name, allow_patterns=DOWNLOADED))
    except errors.GatedRepoError as error:
        remedy = f"accept the model's terms on {constants.ENDPOINT}/{name}, then `hf auth login`"
        raise ConversionError(f"{name}: the hub gives it to accounts that have access only; {remedy}") from error
    except errors.RepositoryNotFoundError as error:
        remedy = "check the name; for a private model, `hf auth login` first"
        raise ConversionError(f"{name}: neither a folder here nor a model on {constants.ENDPOINT}; {remedy}") from error
    except errors.LocalEntryNotFoundError as error:  # no answer, and not in the hub's cache either
        remedy = (
            "turn off HF_HUB_OFFLINE"
            if constants.HF_HUB_OFFLINE
            else "check the network, or set HF_ENDPOINT to a mirror's address"
        )
        raise ConversionError(
            f"{name}: no such folder, and {constants.ENDPOINT} can't be reached ({_why(error)}); {remedy}; or download "
            "the model elsewhere and name its folder"
        ) from error


def _why(error: Exception) -> str:
    """The first line of what the hub's client couldn't do; its own advice follows on others."""
    cause = error.__cause__ or error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0].rstrip(".")
