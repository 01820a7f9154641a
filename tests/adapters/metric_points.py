"""What a reader collected, as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader


def metering() -> tuple[MeterProvider, InMemoryMetricReader]:
    """A provider of its own, and what reads it. Nothing global is touched."""
    reader = InMemoryMetricReader()
    return MeterProvider([reader], shutdown_on_exit=False), reader


def collected(reader: InMemoryMetricReader) -> dict[str, list[tuple[Mapping[str, Any], Any]]]:
    """Of each metric, what is told under each set of attributes: a number, or a histogram's (count, sum)."""
    return {name: list(points) for name, points in _metrics(reader)}


def _metrics(
    reader: InMemoryMetricReader,
) -> Iterator[tuple[str, Iterator[tuple[Mapping[str, Any], Any]]]]:
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield metric.name, (_point(point) for point in metric.data.data_points)


def _point(point: Any) -> tuple[Mapping[str, Any], Any]:
    told = (point.count, point.sum) if hasattr(point, "count") else point.value
    return dict(point.attributes or {}), told
