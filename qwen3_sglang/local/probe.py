"""The prompts that show what 16 bits do to a model's scores."""

from __future__ import annotations

from qwen3_sglang.prompts.template import build_prompts

# In the log-odds, yes minus no, of any probe: P(yes) then moves by 0.06 at most.
LOGIT_BOUND = 0.25

_DOCUMENTS = (
    "The capital of China is Beijing.",
    "Gravity is a force that attracts two bodies towards each other. It gives weight to physical objects.",
    "Paris is the capital and the largest city of France.",
    "北京是中华人民共和国的首都。",
    "def capital(country): return CAPITALS[country]  # KeyError for a country without one",
)
_QUERIES = ("What is the capital of China?", "Explain gravity")
_LONG = " ".join(_DOCUMENTS * 5)
PROBES = [prompt for query in _QUERIES for prompt in build_prompts(query, [*_DOCUMENTS, _LONG])]

# One query with documents of 60 words each, for measuring the speed.
SAMPLE_WORDS = 60
_WORDS = " ".join(_DOCUMENTS[:3]).split()


def sample(documents: int) -> list[str]:
    """The prompts of that many."""
    rows = (" ".join(_WORDS[(row + place) % len(_WORDS)] for place in range(SAMPLE_WORDS)) for row in range(documents))
    return build_prompts(_QUERIES[0], list(rows))
