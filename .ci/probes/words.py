"""BM25 cuts Chinese into ICU's words."""

from qwen3_sglang.evaluate.bm25 import search
from qwen3_sglang.evaluate.tokens import how, tokens

assert "ICU" in how(), how()
assert "明清两代" in tokens("曾是明清两代的皇宫")
assert search({"palace": "曾是明清两代的皇宫", "tea": "茶叶制成绿茶"}, {"q": "皇宫在哪里"}, 2) == {"q": ["palace"]}
