"""Finished spans as trees of plain values, and the golden trees that they are compared with.

A golden tree is a JSON file beside the tests. It is changed by hand: what a trace shows is an
interface, dashboards and alerts are built on it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

Tree = dict[str, Any]


def recording(sampler: Sampler | None = None) -> tuple[TracerProvider, InMemorySpanExporter]:
    """A provider of its own, and where its finished spans are. Nothing global is touched."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def trees_of(spans: Sequence[ReadableSpan], *, varying: Collection[str] = ()) -> list[Tree]:
    """Every root with its children below it, in the order they began.

    Args:
        spans: All of them; one whose parent is not among them counts as a root.
        varying: Attributes whose values differ from run to run; shown as `<varies>`.
    """
    known = {span.context.span_id for span in spans}
    ordered = sorted(spans, key=lambda span: span.start_time or 0)

    def below(parent: int | None) -> list[Tree]:
        return [
            _node(span, varying) | {"children": below(span.context.span_id)}
            for span in ordered
            if (span.parent.span_id if span.parent and span.parent.span_id in known else None)
            == parent
        ]

    return below(None)


def golden(path: Path) -> Tree:
    """A golden tree."""
    return json.loads(path.read_text(encoding="utf-8"))


def _node(span: ReadableSpan, varying: Collection[str]) -> Tree:
    status = span.status.status_code.name
    if span.status.description is not None:
        status += f": {span.status.description}"
    return {
        "name": span.name,
        "kind": span.kind.name,
        "status": status,
        "attributes": _plain(span.attributes, varying),
        "events": [{"name": e.name, "attributes": _plain(e.attributes, ())} for e in span.events],
    }


def _plain(attributes: Any, varying: Collection[str]) -> dict[str, Any]:
    return {
        name: "<varies>"
        if name in varying
        else list(value)
        if isinstance(value, tuple | list)
        else value
        for name, value in sorted((attributes or {}).items())
    }
