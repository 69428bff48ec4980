"""Which tokens several prompts share, and which of them one forward pass computes. No torch.

The prompts are put into a tree: a node holds tokens that all prompts below it begin with, a leaf what is left of one
prompt. Each node is computed once. The prompts of one query share its head; queries of one task share the beginning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Prompt = Sequence[int]

LEAST_SHARED = 16  # tokens: to share fewer costs more in additional attention calls than it saves


@dataclass(eq=False, slots=True)
class Node:
    """Consecutive tokens of one or more prompts.

    Attributes:
        tokens: the token ids.
        start: position of the first of them in the prompt.
        parent: the node that holds the tokens before `start`; None where `start` is 0.
        prompt: index of the prompt that ends here; None where the tokens are shared.
        waiting: leaves below this node that are neither computed nor dropped.
    """

    tokens: Prompt
    start: int
    parent: Node | None
    prompt: int | None = None
    waiting: int = 0

    def ancestors(self) -> Iterator[Node]:
        """The nodes that hold the tokens before this one's, nearest first."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent


@dataclass(frozen=True, slots=True)
class Pass:
    """What one forward pass computes.

    Attributes:
        shared: nodes whose keys and values aren't there yet, each after its parent.
        leaves: the ends of prompts, in an order in which neighbours are of similar length.
    """

    shared: list[Node]
    leaves: list[Node]

    @property
    def tokens(self) -> int:
        """How many are computed."""
        return sum(len(node.tokens) for node in (*self.shared, *self.leaves))


@dataclass(slots=True)
class Plan:
    """The passes that score a list of prompts, each made when it is asked for.

    Attributes:
        leaves: those that wait, in the order of the tree.
        tokens: how many are left to compute.
        held: shared nodes whose keys and values later passes need.
    """

    leaves: deque[Node]
    tokens: int
    held: set[Node] = field(default_factory=set)

    def take(self, budget: int, wanted: Callable[[int], bool]) -> Pass | None:
        """The next pass, of at most `budget` tokens unless one prompt alone has more; None where nothing is left.

        Prompts that aren't `wanted` any more are left out.
        """
        shared: list[Node] = []
        leaves: list[Node] = []
        size = 0
        while self.leaves:
            leaf = self.leaves[0]
            if not _wanted(leaf, wanted):
                self._drop(self.leaves.popleft())
                continue
            missing = [node for node in leaf.ancestors() if node not in self.held]
            more = len(leaf.tokens) + sum(len(node.tokens) for node in missing)
            if leaves and size + more > budget:
                break
            leaves.append(self.leaves.popleft())
            shared += reversed(missing)
            self.held.update(missing)
            size += more
        self.tokens -= size
        return Pass(shared, leaves) if leaves else None

    def release(self, done: Pass) -> list[Node]:
        """The nodes that nothing needs any more, now that this pass is computed."""
        for leaf in done.leaves:
            for node in leaf.ancestors():
                node.waiting -= 1
        free = [node for node in self.held if not node.waiting]
        self.held.difference_update(free)
        return free

    def forget(self, broken: Pass) -> list[Node]:
        """`release` for a pass that was broken off: its shared nodes are not computed, its leaves are dropped."""
        self.held.difference_update(broken.shared)
        free = self.release(broken)
        self.tokens += sum(len(node.tokens) for node in broken.shared if node.waiting)
        return [*free, *broken.shared]

    def _drop(self, leaf: Node) -> None:
        self.tokens -= len(leaf.tokens)
        for node in leaf.ancestors():
            node.waiting -= 1
            if not node.waiting and node not in self.held:
                self.tokens -= len(node.tokens)


def _wanted(leaf: Node, wanted: Callable[[int], bool]) -> bool:
    return leaf.prompt is None or wanted(leaf.prompt)


def plan(prompts: Sequence[Prompt], most_shared: int) -> Plan:
    """How to compute `prompts`, none of them empty, with at most `most_shared` tokens of a prompt shared.

    Every prompt keeps a leaf of at least one token, so that each has a last state of its own.
    """
    order = sorted(range(len(prompts)), key=lambda index: tuple(prompts[index]))
    common = [_common(prompts[one], prompts[other], most_shared) for one, other in pairwise(order)]
    leaves: deque[Node] = deque()
    tokens = _grow(prompts, order, common, None, leaves)
    return Plan(leaves, tokens)


def _grow(
    prompts: Sequence[Prompt], order: list[int], common: list[int], parent: Node | None, leaves: deque[Node]
) -> int:
    """Append the leaves of the prompts below `parent`; return the tokens below it.

    `order` is sorted by the prompts' tokens; `common` says how many each of them shares with the next one.
    """
    depth = 0 if parent is None else parent.start + len(parent.tokens)
    tokens, alone = 0, []
    for start, stop in _runs(common, depth + LEAST_SHARED) if order else ():
        if stop - start == 1:
            alone.append(order[start])
            continue
        within = common[start : stop - 1]
        node = Node(prompts[order[start]][depth : min(within)], depth, parent)
        before = len(leaves)
        tokens += len(node.tokens) + _grow(prompts, order[start:stop], within, node, leaves)
        node.waiting = len(leaves) - before
    # Longest first: leaves of similar length are computed side by side, and running out of memory shows at once.
    for index in sorted(alone, key=lambda index: -len(prompts[index])):
        leaves.append(Node(prompts[index][depth:], depth, parent, prompt=index))
        tokens += len(prompts[index]) - depth
    return tokens


def _runs(common: list[int], least: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of each run of places whose neighbours share at least `least` tokens."""
    start = 0
    for place, shared in enumerate(common, 1):
        if shared < least:
            yield start, place
            start = place
    yield start, len(common) + 1


def _common(one: Prompt, other: Prompt, most: int) -> int:
    """How many first tokens are the same, without the last of either."""
    most = min(most, len(one) - 1, len(other) - 1)
    return next((place for place in range(most) if one[place] != other[place]), most)


def groups(leaves: Sequence[Node], padding: float) -> list[list[Node]]:
    """Leaves whose attention is computed together: of one parent, padded to at most `padding` times their tokens."""
    found: list[list[Node]] = []
    real = 0
    for leaf in leaves:
        last = found[-1] if found else []
        width = max((len(other.tokens) for other in last), default=0)
        padded = max(width, len(leaf.tokens)) * (len(last) + 1)
        if last and last[0].parent is leaf.parent and padded <= padding * (real + len(leaf.tokens)):
            last.append(leaf)
            real += len(leaf.tokens)
        else:
            found.append([leaf])
            real = len(leaf.tokens)
    return found
