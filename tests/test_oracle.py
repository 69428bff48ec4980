"""An independent oracle: sentence-transformers' CrossEncoder, with Qwen's template, on the same unconverted model.

It builds its prompts with Jinja, reads them with the causal model's own head, and shares no code with this project.
So the prompts must be the same byte for byte, and P(yes) the same up to float32's rounding, whatever the texts are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import CrossEncoder
from transformers import AutoModelForCausalLM, AutoTokenizer

from qwen3_sglang import RerankClient
from qwen3_sglang.convert import convert
from qwen3_sglang.local import run_in_thread

# Written from Qwen's own example, not put together from the constants of this project, which it is to check.
CONTENT = "(messages | selectattr('role', 'eq', '{role}') | map(attribute='content') | first)"
TEMPLATE = (
    "<|im_start|>system\n"
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
    "<Instruct>: {{ "
    + CONTENT.format(role="system")
    + " | default('Given a web search query, retrieve relevant passages that answer the query') }}\n"
    + "<Query>: {{ "
    + CONTENT.format(role="query")
    + " }}\n<Document>: {{ "
    + CONTENT.format(role="document")
    + " }}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>{{ '\\n\\n' }}"
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
ASKED = TEXTS.filter(lambda text: bool(text.strip()))
MARKED = st.sampled_from(["<|im_end|>", "<think>", "a <|im_start|>system\n b"])


@pytest.fixture(scope="module")
def wide_toy(causal_toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy with float32 weights: bfloat16 would round the converted head's two rows, which moves P(yes) by 1e-4."""
    folder = tmp_path_factory.mktemp("oracle") / "causal"
    for part in (AutoTokenizer.from_pretrained(causal_toy), AutoModelForCausalLM.from_pretrained(causal_toy).float()):
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def oracle(wide_toy: Path) -> CrossEncoder:
    """The unconverted toy; the modules are sentence-transformers' own choice for a causal model."""
    return CrossEncoder(
        str(wide_toy),
        device="cpu",
        local_files_only=True,
        model_kwargs={"dtype": torch.float32},
        processor_kwargs={"chat_template": TEMPLATE},
        activation_fn=torch.nn.Sigmoid(),
    )


@pytest.fixture(scope="module")
def client(wide_toy: Path) -> Iterator[RerankClient]:
    """This project's whole way, converter and embedded server included; special tokens are left as they are."""
    converted = convert(wide_toy, wide_toy.parent / "converted", verify=False)
    with (
        run_in_thread(converted, device="cpu", dtype="float32") as url,
        RerankClient(url, escape_special_tokens=False) as client,
    ):
        yield client


def rendered(oracle: CrossEncoder, query: str, document: str, instruction: str | None) -> tuple[str, list[int]]:
    """(the prompt, its token ids) as sentence-transformers makes them."""
    reader, pair = oracle[0], (query, document)
    system = [{"role": "system", "content": instruction}] if instruction else []
    messages = [*system, *reader.input_formatter.pair_to_messages(pair)]
    features = reader.preprocess([pair], prompt=instruction)
    text: str = reader.tokenizer.apply_chat_template(messages, tokenize=False)
    return text, features["input_ids"][0].tolist()


def predicted(oracle: CrossEncoder, query: str, documents: list[str], instruction: str | None = None) -> list[float]:
    """P(yes), one prompt at a time: padding shifts the positions, which alone moves the toy's P(yes) by up to 1e-4."""
    pairs = [(query, document) for document in documents]
    return [float(p) for p in oracle.predict(pairs, prompt=instruction, batch_size=1)]


@settings(max_examples=40)
@given(query=ASKED, document=TEXTS | MARKED, instruction=st.none() | ASKED)
def test_the_same_prompt(
    client: RerankClient, oracle: CrossEncoder, query: str, document: str, instruction: str | None
) -> None:
    """Byte for byte, with every character that a text may have, and token for token."""
    own = {} if instruction is None else {"instruction": instruction}
    (prompt,) = client.prompts(query, [document], **own)
    text, ids = rendered(oracle, query, document, instruction)
    assert prompt.text.encode() == text.encode()
    assert oracle[0].tokenizer(prompt.text, add_special_tokens=False)["input_ids"] == ids


@settings(max_examples=15)
@given(
    query=ASKED,
    documents=st.lists(TEXTS | MARKED, min_size=1, max_size=6),
    instruction=st.none() | ASKED,
)
def test_the_same_scores(
    client: RerankClient, oracle: CrossEncoder, query: str, documents: list[str], instruction: str | None
) -> None:
    """Within 1e-5 in float32."""
    own = {} if instruction is None else {"instruction": instruction}
    scores = client.score(query, documents, **own)
    expected = predicted(oracle, query, documents, instruction)
    assert scores == pytest.approx(expected, abs=1e-5)


def test_relevant_texts_too(client: RerankClient, oracle: CrossEncoder) -> None:
    """Random texts are hardly ever relevant; these are, so that the whole range is compared."""
    query = "What is the capital of China?"
    documents = ["The capital of China is Beijing.", "China is a country.", "Tea is a drink.", "capital"]
    expected = predicted(oracle, query, documents)
    assert max(expected) > 0.9
    assert min(expected) < 0.1
    assert client.score(query, documents) == pytest.approx(expected, abs=1e-5)
