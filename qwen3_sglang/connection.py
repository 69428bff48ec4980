"""The options of a connection as a pydantic model. Only the adapters import it: they bring pydantic."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, get_args, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    SecretStr,
    StrictBool,
    model_validator,
)

from qwen3_sglang.client import RerankClient
from qwen3_sglang.options.foreign import unknown_options
from qwen3_sglang.options.keywords import SECRETS, masked
from qwen3_sglang.settings import OPTIONS, LongDocuments, OnError, Settings

# One for all instances: a lock per instance could be neither copied nor pickled.
_BUILDING = threading.Lock()
_KEPT = get_type_hints(Settings)


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


# Kept as strings, which can be written as JSON; model_copy(update=...) validates nothing, hence the serializer.
OptionalPath = Annotated[str | Path | None, AfterValidator(_plain), PlainSerializer(_plain)]
Named = dict[str, SecretStr] | None
Bundle = Annotated[StrictBool | str | Path, AfterValidator(_plain), PlainSerializer(_plain)]


def option(name: str, **more: Any) -> Any:
    """The field of one of OPTIONS; `more` are pydantic's own arguments."""
    one, kept = OPTIONS[name], _KEPT[name]
    plain = one.takes is None and set(get_args(kept) or [kept]) <= {bool, float, int, str, NoneType}
    # Frozen: the client is built from them, so a later change would be silently ignored.
    return Field(
        default=one.default,
        frozen=not one.per_call,
        strict=True if plain else None,  # pydantic has no strict form of the others
        repr=name not in SECRETS,
        description=one.help,
        **more,
    )


class Connection(BaseModel):
    """The options of a connection as fields, and the client that is made of them.

    ``base_url`` and ``api_key`` fall back to ``QWEN3_SGLANG_BASE_URL`` and ``QWEN3_SGLANG_API_KEY``.
    Constructing one does no I/O. Copies and pickles have a client of their own, and pickles no key.

    Raises:
        InvalidInputError: an option can't be used.
        pydantic.ValidationError: an option has a wrong type, or a name that isn't one.
    """

    # Errors must not print their input: a misspelled `api_key` would show the key.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    # The fields follow from the table of options: `python tests/write_options.py` writes them.
    base_url: str | None = option("base_url")
    api_key: SecretStr | None = option("api_key")
    api_key_header: str | None = option("api_key_header")
    headers: Named = option("headers")
    model: str | None = option("model")
    instruction: str | None = option("instruction")
    batch_size: int | None = option("batch_size")
    max_concurrency: int = option("max_concurrency")
    timeout: float = option("timeout")
    connect_timeout: float = option("connect_timeout")
    read_timeout: float | None = option("read_timeout")
    max_retries: int | None = option("max_retries")
    on_error: OnError = option("on_error")
    max_length: int | None = option("max_length")
    long_documents: LongDocuments = option("long_documents")
    chunk_overlap: int = option("chunk_overlap")
    max_chunks: int = option("max_chunks")
    tokenizer: OptionalPath = option("tokenizer")
    escape_special_tokens: bool = option("escape_special_tokens")
    endpoint: str = option("endpoint")
    cache_size: int = option("cache_size")
    verify: Bundle = option("verify")

    _elsewhere: ClassVar[Mapping[str, str]] = {}  # option of another class -> that class
    _client: RerankClient | None = PrivateAttr(default=None)

    if not TYPE_CHECKING:  # type checkers and editors see the fields as the signature

        def __init__(self, **data: Any) -> None:
            """Check every option.

            Not a validator: pydantic would wrap InvalidInputError together with its input, key included.
            """
            data = masked(data, type(self).model_fields, SecretStr)
            super().__init__(**data)
            self._check()

    @model_validator(mode="before")
    @classmethod
    def _names_are_ours(cls, data: Any) -> Any:
        """Say which option is meant by another library's name, or by a misspelled one."""
        wrong = unknown_options(data, cls.model_fields, cls._elsewhere) if isinstance(data, dict) else None
        if wrong is not None:
            raise ValueError(wrong)
        return data

    def close(self) -> None:
        """Close the sync connections; the next call opens new ones."""
        if self._client is not None:
            self._client.close()

    async def aclose(self) -> None:
        """Close the running event loop's connections and the sync ones; the next call opens new ones."""
        if self._client is not None:
            await self._client.aclose()

    def _check(self) -> None:
        """Refuse what can't be used; without documents the client checks its arguments and asks nothing."""
        self._connect().rerank("check", [], instruction=self.instruction)

    def _connect(self) -> RerankClient:
        with _BUILDING:
            if self._client is None:
                self._client = RerankClient(**{name: getattr(self, name) for name in FROZEN})
            return self._client

    def _adopt_client(self, other: Connection) -> None:
        """Use the other's client, and so its connections, where both are made of the same options."""
        if all(getattr(self, name) == getattr(other, name) for name in FROZEN):
            self._client = other._connect()

    def __copy__(self) -> Self:
        """Copy all but the client: `model_copy(update=...)` may change what it is built from."""
        copied = super().__copy__()
        copied._client = None
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy all but the client: open connections can't be copied."""
        # The options are immutable values, and a callback manager belongs to its application.
        return self.__copy__()

    def __getstate__(self) -> dict[Any, Any]:
        """Pickle neither the client (its connections belong to one process) nor secrets (the environment has them)."""
        copied = self.__copy__()
        copied.__dict__.update(dict.fromkeys(SECRETS))
        return super(Connection, copied).__getstate__()

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Load a pickle; an option that came after it was written has its default."""
        defaults = {name: one.get_default(call_default_factory=True) for name, one in type(self).model_fields.items()}
        super().__setstate__({**state, "__dict__": {**defaults, **state["__dict__"]}})


FROZEN = [name for name, one in Connection.model_fields.items() if one.frozen]
