"""Which tokens are computed, and how often.

Tests of `local/forward.py`.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qwen3_sglang.local.sharing import LEAST_SHARED, Node, groups, plan

HEADS = st.lists(st.integers(0, 2), min_size=0, max_size=60)
PROMPTS = st.lists(
    st.builds(lambda head, end: [*head, *end], HEADS, st.lists(st.integers(0, 2), min_size=1, max_size=30)),
    max_size=12,
).flatmap(lambda prompts: st.permutations([*prompts, *prompts[:2], *([*p, 1, 2] for p in prompts[:3])]))


def whole(leaf: Node) -> list[int]:
    """The prompt that ends in a leaf."""
    nodes = [*reversed(list(leaf.ancestors())), leaf]
    assert [node.start for node in nodes] == [sum(len(n.tokens) for n in nodes[:place]) for place in range(len(nodes))]
    return [token for node in nodes for token in node.tokens]


@given(PROMPTS, st.integers(1, 200), st.integers(0, 80), st.sets(st.integers(0, 20)))
def test_every_wanted_prompt_is_computed_once(
    prompts: list[list[int]], budget: int, most: int, unwanted: set[int]
) -> None:
    """Each shared node too, before what needs it, while it is held; the tokens are counted down to none."""
    work, seen, found = plan(prompts, most), set(), {}
    while (taken := work.take(budget, lambda index: index not in unwanted)) is not None:
        for node in taken.shared:
            assert node not in seen
            assert node.parent is None or node.parent in work.held
            seen.add(node)
        for leaf in taken.leaves:
            assert set(leaf.ancestors()) <= work.held
            found[leaf.prompt] = whole(leaf)
        assert len(taken.leaves) == 1 or taken.tokens <= budget
        work.release(taken)
    assert found == {index: prompt for index, prompt in enumerate(prompts) if index not in unwanted}
    assert work.tokens == 0
    assert all(node.start + len(node.tokens) <= most for node in seen)


def test_few_shared_tokens_are_not_worth_a_node() -> None:
    """One fewer than LEAST_SHARED."""
    for shared, saved in ((LEAST_SHARED - 1, 0), (LEAST_SHARED, LEAST_SHARED)):
        prompts = [[1] * shared + [2, 3], [1] * shared + [3, 2]]
        assert plan(prompts, 1000).tokens == sum(map(len, prompts)) - saved


def test_groups_pad_little_and_keep_to_one_parent() -> None:
    """Neighbours of similar length."""
    one, other = Node([1], 0, None), Node([2], 0, None)
    sizes = [(100, one), (90, one), (5, one), (90, other)]
    leaves = [Node([0] * size, 1, parent, prompt=place) for place, (size, parent) in enumerate(sizes)]
    assert [[leaf.prompt for leaf in group] for group in groups(leaves, 1.5)] == [[0, 1], [2], [3]]
