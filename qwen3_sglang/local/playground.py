"""The playground's model in the embedded server: the engine itself, without a request to itself."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from qwen3_sglang.local.batcher import Batcher, Logits
from qwen3_sglang.local.encoding import Encoder
from qwen3_sglang.local.engine import Engine
from qwen3_sglang.playground.answer import Ask, Ranked
from qwen3_sglang.prompts.chunks import Chunking, Divided, divide
from qwen3_sglang.prompts.template import QWEN3, Prompt, Template
from qwen3_sglang.prompts.truncate import answered, fit_with
from qwen3_sglang.ranking import Outcome, Score, best_chunk, moved, rank
from qwen3_sglang.serving.callers import Stopped, in_thread


@dataclass(frozen=True, slots=True)
class _Tokenizer:
    """The engine's tokenizer, which stops when the caller hangs up; text that can't fit isn't tokenised."""

    engine: Engine
    stopped: Stopped

    def encode(self, texts: list[str]) -> list[list[int]]:
        encoder = Encoder(self.engine.encode, self.engine.max_length, self.engine.longest_token)
        found = []
        for text in texts:
            self.stopped()
            found.append(self.engine.encode(encoder.enough(text)))
        return found

    def decode(self, ids: list[list[int]]) -> list[str]:
        return [self.engine.decode(row, skip_special_tokens=False) for row in ids]


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the model is to read of an `Ask`.

    Attributes:
        documents: the documents as they were asked about.
        divided: the chunks of each, one where it isn't divided.
        prompts: one per chunk.
        ids: their tokens.
    """

    documents: Sequence[str]
    divided: Sequence[Divided]
    prompts: Sequence[Prompt]
    ids: list[list[int]]

    def best(self, logits: Sequence[Logits], template: Template) -> tuple[list[Outcome], list[Prompt]]:
        """The outcome of each document, and the prompt that has it."""
        chunks = zip(map(_score, logits, self.prompts), self.prompts, strict=True)
        outcomes, prompts = [], []
        for document, divided in zip(self.documents, self.divided, strict=True):
            scores, own = zip(*islice(chunks, len(divided.spans)), strict=True)
            outcome = best_chunk(divided.spans, scores, whole=divided.whole)
            place = max(range(len(scores)), key=[score.logit for score in scores].__getitem__)
            prompts.append(own[place])
            outcomes.append(moved(outcome, partial(template.unescaped, document)))
        return outcomes, prompts


@dataclass(frozen=True, slots=True)
class EngineReranker:
    """Scores by `batcher`, together with what other requests wait for."""

    engine: Engine
    batcher: Batcher
    name: str
    template: Template = QWEN3

    async def info(self) -> dict[str, object]:
        """The model's name; the server is the page's own."""
        return {"model": self.name}

    async def rerank(self, ask: Ask) -> Ranked:
        """Every document of `ask`, scored; long ones cut as `RerankClient` cuts them.

        Raises:
            InvalidInputError: the query and the instruction leave no room for a document.
        """
        start = time.perf_counter()
        reading = await in_thread(lambda stopped: self._reading(ask, stopped))
        logits = await self.batcher.score(reading.ids)
        milliseconds = (time.perf_counter() - start) * 1000
        scores, prompts = reading.best(logits, self.template)
        return Ranked(rank(scores), prompts, self.name, milliseconds)

    def _reading(self, ask: Ask, stopped: Stopped) -> _Reading:
        task = self.template.instruction if ask.instruction is None else ask.instruction
        limit = min(self.template.max_length, self.engine.max_length - 1)  # a token has to come after it, as on SGLang
        tokenizer = _Tokenizer(self.engine, stopped)
        most = limit * (Chunking.most if ask.long_documents == "chunks" else 1)
        head, texts = self.template.prepare(ask.query, ask.documents, task, escape=True, limit=most)
        if ask.long_documents == "chunks":
            divided = answered(tokenizer, divide(head, texts, limit, Chunking()))
        else:
            divided = [Divided([(0, len(text))]) for text in texts]
        chunks = [text[start:end] for text, one in zip(texts, divided, strict=True) for start, end in one.spans]
        fitted = fit_with(tokenizer, head, chunks, limit)
        ids = tokenizer.encode(head.prompts([document.text for document in fitted]))
        prompts = [head.prompt(f.text, tokens=len(i), truncated=f.truncated) for i, f in zip(ids, fitted, strict=True)]
        return _Reading(ask.documents, divided, prompts, ids)


def _score(logits: Logits, prompt: Prompt) -> Score:
    no, yes = logits
    return Score(_sigmoid(yes - no), yes - no, prompt.truncated)


def _sigmoid(logit: float) -> float:
    """P(yes) from log(P(yes) / P(no)), without overflow on either side."""
    power = math.exp(-abs(logit))
    return 1 / (1 + power) if logit >= 0 else power / (1 + power)
