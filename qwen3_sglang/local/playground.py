"""The playground's model in the embedded server: the engine itself, without a request to itself."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from qwen3_sglang.local.batcher import Batcher, Logits
from qwen3_sglang.local.encoding import Encoder
from qwen3_sglang.local.engine import Engine
from qwen3_sglang.playground.answer import Ask, Ranked
from qwen3_sglang.prompts.template import QWEN3, Prompt, Template
from qwen3_sglang.prompts.truncate import fit_with
from qwen3_sglang.ranking import Score, rank
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
        prompts, ids = await in_thread(lambda stopped: self._prompts(ask, stopped))
        logits = await self.batcher.score(ids)
        milliseconds = (time.perf_counter() - start) * 1000
        scores = [_score(pair, prompt) for pair, prompt in zip(logits, prompts, strict=True)]
        return Ranked(rank(scores), prompts, self.name, milliseconds)

    def _prompts(self, ask: Ask, stopped: Stopped) -> tuple[list[Prompt], list[list[int]]]:
        task = self.template.instruction if ask.instruction is None else ask.instruction
        head, texts = self.template.prepare(ask.query, ask.documents, task, escape=True)
        limit = min(self.template.max_length, self.engine.max_length - 1)  # a token has to come after it, as on SGLang
        tokenizer = _Tokenizer(self.engine, stopped)
        fitted = fit_with(tokenizer, head, texts, limit)
        ids = tokenizer.encode(head.prompts([document.text for document in fitted]))
        prompts = [head.prompt(f.text, tokens=len(i), truncated=f.truncated) for i, f in zip(ids, fitted, strict=True)]
        return prompts, ids


def _score(logits: Logits, prompt: Prompt) -> Score:
    no, yes = logits
    return Score(_sigmoid(yes - no), yes - no, prompt.truncated)


def _sigmoid(logit: float) -> float:
    """P(yes) from log(P(yes) / P(no)), without overflow on either side."""
    power = math.exp(-abs(logit))
    return 1 / (1 + power) if logit >= 0 else power / (1 + power)
