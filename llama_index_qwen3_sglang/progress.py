"""A bar for long rerankings, drawn as LlamaIndex draws its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(show: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Yield what to call with (nodes scored, nodes to score); None where nothing is to be shown."""
    if not show:
        yield None
        return
    # Here, since in a notebook its import may print a warning. llama-index-core brings it; it has no types.
    from tqdm.auto import tqdm  # type: ignore[import-untyped] # noqa: PLC0415 - see above

    with tqdm(desc="Reranking", unit="node") as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield tell
