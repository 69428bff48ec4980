"""What a conversion writes, all of it known before the first byte is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qwen3_sglang.convert.checkpoint import Shard
from qwen3_sglang.convert.folder import small_files
from qwen3_sglang.convert.inspect import Source
from qwen3_sglang.names import BIAS, LM_HEAD, WEIGHT

SLACK = 2**24  # bytes; room for the headers, the index and the head
DROPPED = frozenset({LM_HEAD, WEIGHT, BIAS})  # what the new head takes the place of


@dataclass(frozen=True, slots=True)
class Plan:
    """A conversion.

    Attributes:
        source: what is converted.
        linking: whether unchanged weight files are linked instead of copied.
        skipped: why the full check isn't run; empty when it is.
    """

    source: Source
    linking: bool
    skipped: str

    @property
    def kept(self) -> list[Shard]:
        """The shards of which anything remains."""
        return [shard for shard in self.source.shards if shard.tensors.keys() - DROPPED]

    def links(self, shard: Shard) -> bool:
        """Is it linked? A shard that holds a part of the old head is rewritten without it."""
        return self.linking and not shard.tensors.keys() & DROPPED

    def copied_bytes(self) -> int:
        """What copy_shard will report: whole files, or the tensors that are kept of one."""
        return sum(_kept_bytes(shard) for shard in self.kept if not self.links(shard))

    def small_files(self) -> Sequence[Path]:
        """What is copied beside the weights."""
        return small_files(self.source.folder)

    def needed_bytes(self) -> int:
        """Room on the target's disk."""
        return self.copied_bytes() + sum(path.stat().st_size for path in self.small_files()) + SLACK


def _kept_bytes(shard: Shard) -> int:
    size = shard.path.stat().st_size
    gone = [shard.tensors[name] for name in shard.tensors.keys() & DROPPED]
    return size - shard.data_start - sum(entry.end - entry.begin for entry in gone) if gone else size
