"""What has changed between two looks at a process, in words: spells, crossings, sleep, breakers, reloads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hybridllm.cli.status.values import Row, by_name, number, rows, text, texts, whole


@dataclass(frozen=True, slots=True)
class Event:
    """Something has changed.

    Attributes:
        at: When that was seen, UTC.
        words: What.
    """

    at: datetime
    words: str

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {"at": self.at.isoformat(timespec="seconds"), "words": self.words}


def changes(before: Row, after: Row, at: datetime) -> list[Event]:
    """Return what has changed since the look before."""
    found = (
        *_reloads(before, after),
        *_spells(before, after),
        *_crossings(before, after),
        *_sleep(before, after),
        *_breakers(before, after),
    )
    return [Event(at, words) for words in found]


def _reloads(before: Row, after: Row) -> Iterator[str]:
    if (whole(after, "reloads") or 0) > (whole(before, "reloads") or 0):
        yield f"the policy is now {text(after, 'policy')} {text(after, 'version')}"
    if (whole(after, "failed") or 0) > (whole(before, "failed") or 0):
        yield "a reload failed, the policy stays"
    begun = [name for name in texts(after, "panic") if name not in texts(before, "panic")]
    if begun:
        yield f"PANIC: everybody is refused for {', '.join(begun)}"


def _spells(before: Row, after: Row) -> Iterator[str]:
    then = by_name(before, "overflows", "route")
    for name, row in by_name(after, "overflows", "route").items():
        was_on, is_on = then.get(name, {}).get("on") is True, row.get("on") is True
        if is_on and not was_on:
            yield f"route {name} overflows: {text(row, 'why') or 'not told why'}"
        elif was_on and not is_on:
            yield f"route {name} is back: nobody leaves any more"


def _crossings(before: Row, after: Row) -> Iterator[str]:
    then = {_condition(row): row for row in rows(before, "volumes")}
    for row in rows(after, "volumes"):
        name = _condition(row)
        holds, held = row.get("holds"), then.get(name, {}).get("holds")
        if not isinstance(holds, bool) or holds is held or (held is None and not holds):
            continue
        why = text(row, "text")
        yield f"{name} holds {'now' if holds else 'no longer'}{f': {why}' if why else ''}"


def _condition(row: Row) -> str:
    whose = text(row, "whose")
    return text(row, "condition") + (f" of {whose}" if whose else "")


def _sleep(before: Row, after: Row) -> Iterator[str]:
    then = by_name(before, "backends", "backend")
    for name, row in by_name(after, "backends", "backend").items():
        slept, sleeps = number(then.get(name, {}), "awake_in_s"), number(row, "awake_in_s")
        if sleeps is not None and slept is None:
            yield f"backend {name} is woken; expected in {sleeps:.0f} s"
        elif slept is not None and sleeps is None:
            yield f"backend {name} is awake"


def _breakers(before: Row, after: Row) -> Iterator[str]:
    then = {_candidate(row): row for row in rows(before, "candidates")}
    for row in rows(after, "candidates"):
        name = _candidate(row)
        old = then.get(name, {})
        was, now = text(old, "breaker"), text(row, "breaker")
        if was and was != now and "open" in (was, now):
            yield f"breaker of {name}: {was.replace('_', '-')} -> {now.replace('_', '-')}"
        gate = text(row, "gate")
        if gate and not text(old, "gate"):
            yield f"{gate} gate of {name} has closed"


def _candidate(row: Row) -> str:
    return f"{text(row, 'backend')}/{text(row, 'model')}"
