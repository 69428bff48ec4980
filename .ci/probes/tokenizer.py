"""A tokenizer file, read and used."""

from pathlib import Path

from qwen3_sglang.prompts.tokenizer import load_tokenizer

# The smallest file that the tokenizers library reads.
MODEL = '{"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}'
Path("tokenizer.json").write_text(f'{{"version": "1.0", "added_tokens": [], "model": {MODEL}}}', encoding="utf-8")
assert load_tokenizer("tokenizer.json").encode(["a"]) == [[0]]
