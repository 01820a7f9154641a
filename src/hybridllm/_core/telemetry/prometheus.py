"""The samples of one metric on a page in Prometheus' text format.

Looks for names and reads no line that is not asked for: a page of 60 KB has seven hundred of them, and a
search is forty times faster than taking it apart. Names are whole names: `x_created` and `x_by_reason` are
no `x`. All samples of a metric stand together, as the format demands
(https://prometheus.io/docs/instrumenting/exposition_formats/), so a search ends with its group.

Whatever a page holds, the time is linear in its length, and nothing is raised but a `TelemetryProblem`.
"""

from __future__ import annotations

import re

from hybridllm._core.telemetry.report import TelemetryProblem

SERIES_MAX = 1_024
"""Samples of one metric; a server has one for each of its engines."""

# Possessive, so that a line that does not fit is given up at once.
_SAMPLE = re.compile(
    rb'(?:\{((?:[^"{}\n]++|"(?:[^"\\\n]++|\\[^\n])*+")*+)\})?+[ \t]++([0-9.eE+-]{1,64})(?=[ \t\r\n])'
)

_VALUE_MAX = 1e18
_AFTER_NAME, _BEFORE_LABEL = (b"{", b" ", b"\t"), (b"{", b",", b" ")
_QUOTED = re.compile(rb'"((?:[^"\\\n]++|\\[^\n])*+)"')


def samples(page: bytes, name: bytes) -> list[tuple[bytes, float]]:
    """Return the labels, as they stand between the braces, and the value of each sample of a metric.

    Args:
        page: Begins with a line break, so that every line has one before it.
        name: The whole name.

    Returns:
        Empty if there is none, or if one of them has no sense: a part of a sum is no sum. A line without
        its end was cut off, and has none.

    Raises:
        TelemetryProblem: If there are more than anybody has.
    """
    found = []
    for line in lines(page, name):
        sample = _SAMPLE.match(line)
        value = None if sample is None else _value(sample[2])
        if sample is None or value is None:
            return []
        found.append((sample[1] or b"", value))
    return found


def lines(page: bytes, name: bytes) -> list[bytes]:
    """Return what follows the name in each line of a metric, with its end; the rest is as for `samples`."""
    at = page.find(b"\n" + name + b"{")
    if at < 0:
        at = page.find(b"\n" + name + b" ")
    found: list[bytes] = []
    while at >= 0 and page.startswith(name, at + 1):
        after = at + 1 + len(name)
        if page[after : after + 1] not in _AFTER_NAME:
            break  # a longer name: the group is over
        at = page.find(b"\n", after)
        if at < 0:
            return []
        if len(found) == SERIES_MAX:
            raise TelemetryProblem(f"a metric has more than {SERIES_MAX} series")
        found.append(page[after : at + 1])
    return found


def label(labels: bytes, name: bytes) -> bytes | None:
    """Return the value of a label, its escapes left in it; None: it is not there.

    Args:
        labels: Of a sample, or its whole line.
        name: Of the label.
    """
    at = labels.find(name + b'="')
    while at > 0 and labels[at - 1 : at] not in _BEFORE_LABEL:
        at = labels.find(name + b'="', at + 1)  # the end of a longer name
    if at < 0:
        return None
    value = _QUOTED.match(labels, at + len(name) + 1)
    return None if value is None else value[1]


def _value(text: bytes) -> float | None:
    """Counts and shares are finite and not negative."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value <= _VALUE_MAX else None  # not NaN either
