"""The command evaluates a small BEIR folder, and writes its figures and its report."""

import json
import subprocess
import sys
from pathlib import Path

from qwen3_sglang.evaluate import load_dataset

COMMAND = Path(sys.executable).with_name("qwen3-sglang")
CORPUS = {
    "gravity": "Gravity is a force that pulls.",
    "beijing": "The capital of China is Beijing.",
    "tea": "Tea is a drink of China.",
    "paris": "The capital of France is Paris.",
}
QUERIES = {"q1": ("What is the capital of China?", "beijing"), "q2": ("Which force pulls?", "gravity")}


def write(name: str, lines: list[str]) -> None:
    """A file of the folder."""
    path = Path("beir", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


write("corpus.jsonl", [json.dumps({"_id": name, "text": text}) for name, text in CORPUS.items()])
write("queries.jsonl", [json.dumps({"_id": name, "text": text}) for name, (text, _) in QUERIES.items()])
write("qrels/test.tsv", ["query-id\tcorpus-id\tscore", *(f"{name}\t{best}\t1" for name, (_, best) in QUERIES.items())])
assert len(load_dataset("beir").queries) == len(QUERIES)  # BM25, or which extra is missing
written = ["--html", "report.html", "--json", "report.json"]
subprocess.run([COMMAND, "evaluate", "beir", "--url", sys.argv[1], *written], check=True)
[variant] = json.loads(Path("report.json").read_text(encoding="utf-8"))["variants"]
assert all(query["documents"][0]["id"] == QUERIES[query["id"]][1] for query in variant["queries"]), variant["queries"]
page = Path("report.html").read_text(encoding="utf-8")
assert page.count("<svg") >= 4, "plots are missing"
for name in ("<style>", "<script>", "Which min_score"):
    assert name in page, name
