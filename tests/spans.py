"""Spans as an exporter gets them, for tests of what instrumentation shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Spans:
    """What was exported since the last look."""

    def __init__(self) -> None:
        self.exporter, self.provider = InMemorySpanExporter(), TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("tests")

    def taken(self) -> list[ReadableSpan]:
        """All of them, in the order they ended; the exporter is empty then."""
        spans = list(self.exporter.get_finished_spans())
        self.exporter.clear()
        return spans


def parents(spans: list[ReadableSpan]) -> list[tuple[str, str | None]]:
    """(name, its parent's name), in the order they ended; None where the parent isn't among them."""
    names = {span.context.span_id: span.name for span in spans}
    return [(span.name, names.get(span.parent.span_id) if span.parent else None) for span in spans]


def named(spans: list[ReadableSpan], name: str) -> dict[str, Any]:
    """The attributes of the one span whose name ends so."""
    [found] = [span for span in spans if span.name.endswith(name)]
    return dict(found.attributes or {})


def written(spans: list[ReadableSpan]) -> str:
    """Everything that is exported of them: attributes, events, status."""
    return json.dumps([json.loads(span.to_json()) for span in spans])


@contextmanager
def traced(*instrumentors: Any) -> Iterator[Spans]:
    """Instrumented for as long as the context lasts."""
    spans = Spans()
    for one in instrumentors:
        one.instrument(tracer_provider=spans.provider)
    try:
        yield spans
    finally:
        for one in instrumentors:
            one.uninstrument()
