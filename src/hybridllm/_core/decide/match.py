"""Whether conditions hold for a request: what stands under `when`, judged."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache

from hybridllm._core.policy.compiled import Task
from hybridllm._core.policy.conditions import (
    GLOB_SIGNS,
    METADATA,
    AnyOf,
    Condition,
    Flag,
    Hours,
    Live,
    Not,
    Number,
    Text,
    When,
    when_text,
    within,
)
from hybridllm._core.policy.hybrid import Volume
from hybridllm._core.request.facts import Facts

Held = tuple[Live, str]
"""A live condition, and whom it holds for: the request's task or tenant if it is about one's own, or ''."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Subject:
    """What conditions look at.

    Attributes:
        tags: The residency tags that hold for the request.
        task: Its task class, if the policy declares it.
        now_utc: The time.
        held: The live conditions that hold now, each with the name of whom it holds for.
    """

    facts: Facts
    tags: tuple[str, ...]
    task: Task | None
    now_utc: datetime
    held: frozenset[Held] = frozenset()


def holds(when: When, subject: Subject) -> bool:
    """Return whether all conditions hold."""
    for condition in when.conditions:  # noqa: SIM110 - a generator costs as much as a condition
        if not _met(condition, subject):
            return False
    return True


def failing(when: When, subject: Subject) -> str | None:
    """Return the first condition that does not hold, and what the request has instead, in words."""
    for condition in when.conditions:
        if not _met(condition, subject):
            asked = when_text(When((condition,)))
            if isinstance(condition, Not | AnyOf):
                return asked
            if isinstance(condition, Live):
                return f"{asked}, which does not hold"
            return f"{asked}, and the request has {_has(condition.fact, subject)}"
    return None


def texts_of(fact: str, subject: Subject) -> Iterable[str | None]:
    """Return the values of a fact that is text; one that is not there is None, or no value."""
    facts = subject.facts
    if fact == "residency":
        return subject.tags
    if fact == "capability":
        return facts.needs
    if fact == "tags":
        return facts.tags
    if fact == "bucket":
        return (subject.task.bucket if subject.task is not None else None,)
    if fact.startswith(METADATA):
        return (facts.metadata.get(fact[len(METADATA) :]),)
    return (getattr(facts, fact),)


def fits(patterns: frozenset[str], values: Iterable[str | None]) -> bool:
    """True if one of the values is named by a pattern, or fits it as a glob (`acme-*`)."""
    return any(
        value is not None and (value in patterns or _globs_fit(_globs(patterns), value))
        for value in values
    )


def _text_fits(condition: Text, value: str | None) -> bool:
    return value is not None and (value in condition.patterns or _globs_fit(condition.globs, value))


def _globs_fit(globs: tuple[str, ...], value: str) -> bool:
    return any(fnmatchcase(value, glob) for glob in globs)


def _met(condition: Condition, subject: Subject) -> bool:
    if isinstance(condition, Text):
        if not condition.single:
            return any(_text_fits(condition, one) for one in texts_of(condition.fact, subject))
        value: str | None = getattr(subject.facts, condition.fact) or None
        return value in condition.patterns or bool(condition.globs and _text_fits(condition, value))
    if isinstance(condition, Flag):
        return subject.facts.stream is condition.value
    if isinstance(condition, Number):
        number = _number_of(condition.fact, subject.facts)
        return number is not None and condition.holds(number)
    if isinstance(condition, Hours):
        return within(condition, subject.now_utc)
    if isinstance(condition, Live):
        return (condition, whose(condition, subject.facts)) in subject.held
    if isinstance(condition, Not):
        return not holds(condition.when, subject)
    if isinstance(condition, AnyOf):
        return any(holds(one, subject) for one in condition.whens)
    raise AssertionError(f"unknown condition {condition}")


def whose(condition: Live, facts: Facts) -> str:
    """Return the name of whom a live condition is about for a request; empty: not about one's own."""
    scope = condition.scope if isinstance(condition, Volume) else ""
    if scope == "tenant":
        return facts.tenant or ""
    return facts.task or "" if scope == "task" else ""


def _number_of(fact: str, facts: Facts) -> Decimal | int | None:
    if fact == "input_tokens":
        return facts.input_tokens_estimate
    text = facts.metadata.get(fact[len(METADATA) :])
    return Decimal(text) if text is not None and _NUMBER.fullmatch(text) else None


def _has(fact: str, subject: Subject) -> str:
    if fact == "time":
        return subject.now_utc.strftime("%a %H:%M UTC")
    if fact == "stream":
        return "a stream" if subject.facts.stream else "no stream"
    if fact == "input_tokens":
        return str(subject.facts.input_tokens_estimate)
    values = sorted(value for value in texts_of(fact, subject) if value is not None)
    return ", ".join(repr(str(value)) for value in values) or "none"


@lru_cache(maxsize=4_096)
def _globs(patterns: frozenset[str]) -> tuple[str, ...]:
    """Those of the patterns that are more than a name."""
    return tuple(pattern for pattern in patterns if not GLOB_SIGNS.isdisjoint(pattern))
