"""What all lists of one call share. No I/O."""

from __future__ import annotations

from msgspec import Struct, field

from qwen3_sglang.prompts.template import Head
from qwen3_sglang.prompts.truncate import Tokenizer
from qwen3_sglang.protocol.answers import Names
from qwen3_sglang.protocol.endpoints import DEFAULT_ENDPOINT
from qwen3_sglang.protocol.retry import Patience
from qwen3_sglang.protocol.ways import Said


class Mark:
    """Set or not, by any thread. threading.Event's lock stays locked for ever where Ctrl-C comes while it is set."""

    def __init__(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it."""
        self._is_set = True

    def clear(self) -> None:
        """Take it back."""
        self._is_set = False


class Call(Struct, frozen=True):
    """What all lists of one call share.

    Attributes:
        model: name the server knows the model by.
        head: the prompts' common start, and with it the template that they are made by.
        max_length: tokens that a prompt may have.
        patience: whether and when to send a request again.
        tokenizer: counts a prompt's tokens; None asks the server.
        endpoint: which of ENDPOINTS is asked.
        answer_ids: the tokens of "no" and "yes", where the endpoint's body names them.
        said: by what the server said of itself the endpoint was chosen; None where it was named.
        renewed: set once a list needed a new connection.
        collect: whether to go on after a document that the server refuses; else that raises.
        answered: names that the answers to this client gave.
        listed: names that the server's model list gave it.
        fits: every document is known to fit: it isn't measured again.
    """

    model: str
    head: Head
    max_length: int
    patience: Patience
    tokenizer: Tokenizer | None = None
    endpoint: str = DEFAULT_ENDPOINT
    answer_ids: tuple[int, int] | None = None
    said: Said | None = None
    renewed: Mark = field(default_factory=Mark)
    collect: bool = False
    answered: Names = field(default_factory=Names)
    listed: Names = field(default_factory=Names)
    fits: bool = False
