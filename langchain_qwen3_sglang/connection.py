"""What every class of this package knows of the server: the settings, and the client made of them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, StrictBool

from qwen3_sglang import RerankClient

# One for all instances: a lock per instance could be neither copied nor pickled.
_BUILDING = threading.Lock()


def _plain(value: Any) -> Any:
    """A path as a string, which can be written as JSON."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def masked(data: dict[str, Any]) -> dict[str, Any]:
    """A constructor's arguments, what may be a key (misspelled too) wrapped: a traceback with locals shows them."""
    return {
        name: SecretStr(value) if "key" in name and isinstance(value, str) else value for name, value in data.items()
    }


class Connection(BaseModel):
    """Settings of the server and of the requests to it.

    ``base_url`` and ``api_key`` fall back to ``QWEN3_SGLANG_BASE_URL`` and ``QWEN3_SGLANG_API_KEY``.
    Constructing one does no I/O; an unusable setting raises ``InvalidInputError`` there and then.
    """

    # Errors must not print their input: a misspelled `api_key` would show the key.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    # Frozen: the client is built from them, so a later change would be silently ignored.
    base_url: str | None = Field(default=None, frozen=True, description="Address of the server.")
    api_key: SecretStr | None = Field(
        default=None, frozen=True, repr=False, description="Key that the server asks for, if any."
    )
    model: str | None = Field(default=None, frozen=True, description="Name of the served model; None asks the server.")
    batch_size: int = Field(default=32, strict=True, frozen=True, description="Documents a request.")
    max_concurrency: int = Field(default=32, strict=True, frozen=True, description="Requests in flight.")
    timeout: float = Field(default=60.0, strict=True, frozen=True, description="Seconds for a whole call.")
    connect_timeout: float = Field(default=10.0, strict=True, frozen=True, description="Seconds to get a connection.")
    read_timeout: float | None = Field(
        default=None, strict=True, frozen=True, description="Seconds a request may stay silent; None: what is left."
    )
    max_retries: int | None = Field(
        default=None, strict=True, frozen=True, description="Retries of a request; None: while `timeout` lasts."
    )
    on_error: Literal["raise", "passthrough"] = Field(
        default="raise", frozen=True, description='"passthrough": on failure the input order, unscored and marked.'
    )
    max_length: int | None = Field(
        default=None, strict=True, frozen=True, description="Tokens of a prompt; None: 8192 or the server's limit."
    )
    tokenizer: Annotated[str | Path | None, AfterValidator(_plain)] = Field(
        default=None, frozen=True, description="The served model's folder, to cut long texts by; None asks the server."
    )
    escape_special_tokens: bool = Field(
        default=True, strict=True, frozen=True, description="Break special tokens inside texts."
    )
    endpoint: str = Field(
        default="v1/classify",
        strict=True,
        frozen=True,
        description="v1/classify, v1/score or (vLLM) classify.",
    )
    cache_size: int = Field(default=0, strict=True, frozen=True, description="Scores to remember.")
    verify: Annotated[StrictBool | str | Path, AfterValidator(_plain)] = Field(
        default=True, frozen=True, description="Check TLS certificates, or the CA bundle to check by."
    )
    # Sent with each call, so it may change between two.
    instruction: str | None = Field(
        default=None, description="What makes a document relevant; None: the model's default."
    )

    _client: RerankClient | None = PrivateAttr(default=None)

    def close(self) -> None:
        """Close the sync connections; the next call opens new ones."""
        if self._client is not None:
            self._client.close()

    async def aclose(self) -> None:
        """Close the running event loop's connections and the sync ones; the next call opens new ones."""
        if self._client is not None:
            await self._client.aclose()

    def _connect(self) -> RerankClient:
        with _BUILDING:
            if self._client is None:
                self._client = RerankClient(
                    self.base_url,
                    api_key=self.api_key,
                    model=self.model,
                    batch_size=self.batch_size,
                    max_concurrency=self.max_concurrency,
                    timeout=self.timeout,
                    connect_timeout=self.connect_timeout,
                    read_timeout=self.read_timeout,
                    max_retries=self.max_retries,
                    on_error=self.on_error,
                    max_length=self.max_length,
                    tokenizer=self.tokenizer,
                    escape_special_tokens=self.escape_special_tokens,
                    endpoint=self.endpoint,
                    cache_size=self.cache_size,
                    verify=self.verify,
                )
            return self._client

    def _adopt_client(self, other: Connection) -> None:
        """Use the other's client, and so its connections, where the server and the requests to it are the same."""
        names = [name for name, field in Connection.model_fields.items() if field.frozen]
        if all(getattr(self, name) == getattr(other, name) for name in names):
            self._client = other._connect()

    def __copy__(self) -> Self:
        """Copy all but the client: `model_copy(update=...)` may change what it is built from."""
        copied = super().__copy__()
        copied._client = None
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy all but the client: open connections can't be copied."""
        # The fields hold plain immutable values, so nothing is left to copy more deeply.
        return self.__copy__()

    def __getstate__(self) -> dict[Any, Any]:
        """Pickle neither the client (its connections belong to one process) nor the key (the environment has it)."""
        copied = self.__copy__()
        copied.__dict__["api_key"] = None
        return super(Connection, copied).__getstate__()
