"""Whether conditions hold for a request, kind by kind."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hybridllm._core.decide.match import Subject, failing, fits, holds, within
from hybridllm._core.policy.compiled import Bucket, Capability, Task
from hybridllm._core.policy.conditions import (
    AnyOf,
    Condition,
    Flag,
    Hours,
    Not,
    Number,
    Text,
    When,
    leaves,
)
from hybridllm._core.request.facts import Facts

MONDAY_NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def text(fact: str, *patterns: str) -> Text:
    return Text(fact, frozenset(patterns))


def subject(
    tags: tuple[str, ...] = (),
    bucket: Bucket | None = None,
    now: datetime = MONDAY_NOON,
    **facts: Any,
) -> Subject:
    task = Task(facts.get("task") or "", bucket) if bucket is not None else None
    return Subject(Facts(**facts), tags, task, now)


@pytest.mark.parametrize(
    ("condition", "given", "expected"),
    [
        pytest.param(text("task", "a"), {"task": "a"}, True, id="name"),
        pytest.param(text("task", "a"), {"task": "b"}, False, id="another-name"),
        pytest.param(text("task", "a", "b"), {"task": "b"}, True, id="one-of-two"),
        pytest.param(text("task", "a"), {}, False, id="not-given"),
        pytest.param(text("task", "*"), {}, False, id="star-wants-something"),
        pytest.param(text("task", "*"), {"task": "x"}, True, id="star"),
        pytest.param(text("tenant", "acme-*"), {"tenant": "acme-eu"}, True, id="glob"),
        pytest.param(text("tenant", "acme-*"), {"tenant": "acme"}, False, id="glob-wants-the-dash"),
        pytest.param(text("tenant", "acme-?"), {"tenant": "acme-1"}, True, id="question-mark"),
        pytest.param(text("tenant", "acme-?"), {"tenant": "acme-12"}, False, id="one-character"),
        pytest.param(text("tenant", "[ab]*"), {"tenant": "beta"}, True, id="class"),
        pytest.param(text("tenant", "acme"), {"tenant": "ACME"}, False, id="case-matters"),
        pytest.param(text("tenant", "acme"), {"tenant": "acme "}, False, id="blank-matters"),
        pytest.param(text("tenant", "a*"), {"tenant": "a\nb"}, True, id="newline-is-a-character"),
        pytest.param(text("feature", "chat"), {"feature": "chat"}, True, id="feature"),
        pytest.param(text("session", "s-*"), {"session": "s-1"}, True, id="session"),
        pytest.param(text("residency", "eu"), {"tags": ("eu",)}, True, id="residency"),
        pytest.param(text("residency", "phi"), {"tags": ("eu", "phi")}, True, id="either-tag"),
        pytest.param(text("residency", "eu"), {}, False, id="no-tag"),
        pytest.param(text("environment", "prod*"), {"environment": "production"}, True, id="env"),
        pytest.param(text("environment", "prod"), {"environment": ""}, False, id="no-env"),
        pytest.param(text("environment", "*"), {"environment": ""}, False, id="star-without-env"),
        pytest.param(text("bucket", "judgment"), {"bucket": Bucket.JUDGMENT}, True, id="bucket"),
        pytest.param(text("bucket", "judgment"), {"bucket": Bucket.FLAGSHIP}, False, id="another"),
        pytest.param(text("bucket", "*"), {}, False, id="no-bucket"),
        pytest.param(
            text("capability", "vision", "audio"), {"needs": frozenset({Capability.AUDIO})}, True,
            id="capability",
        ),
        pytest.param(text("capability", "vision"), {}, False, id="no-capability"),
        pytest.param(text("metadata.plan", "pro"), {"metadata": {"plan": "pro"}}, True, id="metadata"),
        pytest.param(text("metadata.plan", "pro"), {"metadata": {"tier": "pro"}}, False, id="other-key"),
        pytest.param(text("metadata.a.b", "x"), {"metadata": {"a.b": "x"}}, True, id="dotted-key"),
        pytest.param(Flag("stream", True), {"stream": True}, True, id="stream"),
        pytest.param(Flag("stream", False), {"stream": True}, False, id="no-stream"),
        pytest.param(
            Number("input_tokens", gte=Decimal(8)), {"input_tokens_estimate": 8}, True, id="at-gte"
        ),
        pytest.param(
            Number("input_tokens", gt=Decimal(8)), {"input_tokens_estimate": 8}, False, id="at-gt"
        ),
        pytest.param(
            Number("input_tokens", lte=Decimal(8)), {"input_tokens_estimate": 8}, True, id="at-lte"
        ),
        pytest.param(
            Number("input_tokens", lt=Decimal(8)), {"input_tokens_estimate": 8}, False, id="at-lt"
        ),
        pytest.param(
            Number("metadata.seats", gte=Decimal(100)), {"metadata": {"seats": "99.5"}}, False,
            id="metadata-number",
        ),
        pytest.param(
            Number("metadata.seats", gte=Decimal(100)), {"metadata": {"seats": "1e3"}}, True,
            id="in-any-spelling",
        ),
        pytest.param(
            Number("metadata.seats", lt=Decimal(100)), {"metadata": {"seats": "few"}}, False,
            id="no-number",
        ),
        pytest.param(
            Number("metadata.seats", lt=Decimal(100)), {"metadata": {"seats": "NaN"}}, False, id="nan"
        ),
        pytest.param(Number("metadata.seats", lt=Decimal(100)), {}, False, id="absent-is-no-number"),
        pytest.param(Not(When((text("task", "a"),))), {"task": "b"}, True, id="not"),
        pytest.param(Not(When((text("task", "a"),))), {}, True, id="not-of-what-is-absent"),
        pytest.param(Not(When(())), {}, False, id="not-always"),
        pytest.param(
            AnyOf((When((text("task", "a"),)), When((Flag("stream", True),)))), {"stream": True},
            True, id="any",
        ),
        pytest.param(AnyOf((When((text("task", "a"),)),)), {}, False, id="none-of-any"),
    ],
)  # fmt: skip
def test_a_condition_holds_or_not(
    condition: Condition, given: dict[str, Any], expected: bool
) -> None:
    """Names and globs in their own case; bounds include what they say; absent is never within."""
    about = subject(**given)
    assert holds(When((condition,)), about) is expected
    assert (failing(When((condition,)), about) is None) is expected


def test_all_conditions_must_hold_and_none_holds_always() -> None:
    """The first that fails is the one that is told, with what the request has."""
    both = When((text("task", "a"), text("tenant", "t", "u")))
    assert holds(both, subject(task="a", tenant="u"))
    assert not holds(both, subject(task="a"))
    assert failing(both, subject(task="a")) == "tenant t, u, and the request has none"
    assert failing(both, subject(task="b")) == "task a, and the request has 'b'"
    assert holds(When(), subject())


def test_caller_tags_are_not_residency_tags() -> None:
    """A tag that a caller marks a request with is a word of its own."""
    marked = Subject(Facts(tags=frozenset({"beta"})), ("eu",), None, MONDAY_NOON)
    assert holds(When((text("tags", "beta"),)), marked)
    assert not holds(When((text("tags", "eu"),)), marked)
    assert not holds(When((text("residency", "beta"),)), marked)


BERLIN = ZoneInfo("Europe/Berlin")


def hours(begin: int, end: int, *days: int, zone: Any = UTC) -> Hours:
    return Hours(begin * 60, end * 60, frozenset(days or range(7)), zone, "z")


@pytest.mark.parametrize(
    ("window", "now", "expected"),
    [
        pytest.param(hours(8, 18), "2026-01-05T08:00+00:00", True, id="begin-is-in"),
        pytest.param(hours(8, 18), "2026-01-05T07:59+00:00", False, id="before"),
        pytest.param(hours(8, 18), "2026-01-05T17:59+00:00", True, id="last-minute"),
        pytest.param(hours(8, 18), "2026-01-05T18:00+00:00", False, id="end-is-out"),
        pytest.param(hours(0, 24), "2026-01-05T23:59+00:00", True, id="whole-day"),
        pytest.param(hours(8, 18, 5, 6), "2026-01-05T12:00+00:00", False, id="a-monday"),
        pytest.param(hours(8, 18, 5, 6), "2026-01-10T12:00+00:00", True, id="a-saturday"),
        pytest.param(hours(22, 6), "2026-01-05T23:00+00:00", True, id="evening"),
        pytest.param(hours(22, 6), "2026-01-05T05:59+00:00", True, id="morning-after"),
        pytest.param(hours(22, 6), "2026-01-05T06:00+00:00", False, id="over"),
        pytest.param(hours(22, 6, 4), "2026-01-10T03:00+00:00", True, id="fridays-night"),
        pytest.param(hours(22, 6, 4), "2026-01-09T03:00+00:00", False, id="thursdays-night"),
        pytest.param(hours(8, 18, zone=BERLIN), "2026-01-05T07:00+00:00", True, id="winter-time"),
        pytest.param(hours(8, 18, zone=BERLIN), "2026-07-06T06:00+00:00", True, id="summer-time"),
        pytest.param(hours(8, 18, zone=BERLIN), "2026-07-06T05:59+00:00", False, id="too-early"),
        pytest.param(
            hours(0, 1, 0, zone=BERLIN), "2026-01-04T23:30+00:00", True, id="monday-there-already"
        ),
    ],
)
def test_hours_are_those_of_a_clock_in_the_zone(window: Hours, now: str, expected: bool) -> None:
    """A window that ends before it begins goes over midnight, and belongs to the day it began on."""
    assert within(window, datetime.fromisoformat(now)) is expected
    about = subject(now=datetime.fromisoformat(now))
    assert holds(When((window,)), about) is expected


def test_a_condition_knows_whether_it_must_be_judged_per_request() -> None:
    """However deep it looks at a session, a size, metadata or the time."""
    assert not When((text("task", "a"), text("tenant", "b"))).per_request
    for one in (text("session", "s"), text("metadata.k", "v"), Number("input_tokens"), hours(1, 2)):
        assert When((one,)).per_request
        deep = When((Not(When((AnyOf((When((text("task", "a"), one)),)),))),))
        assert deep.per_request
        assert one in set(leaves(deep))


def test_a_pattern_that_backtracks_is_judged_at_once() -> None:
    """Twenty stars against a long name: no policy and no caller can stop the process with it."""
    pattern = "*a" * 20 + "b"
    assert not fits(frozenset({pattern}), ("a" * 256,))


def test_conditions_are_told_as_a_file_would_write_them() -> None:
    """In JSON, and in one line."""
    when = When(
        (
            text("task", "b", "a"),
            Number("input_tokens", gte=Decimal(8192)),
            text("metadata.plan", "pro"),
            Hours(480, 1080, frozenset({0, 1}), UTC, "UTC"),
            Not(When((Flag("stream", True),))),
            AnyOf((When((text("tenant", "x"),)), When((text("feature", "y"),)))),
        )
    )
    assert when.to_dict() == {
        "task": ["a", "b"],
        "input_tokens": {"gte": 8192},
        "metadata": {"plan": ["pro"]},
        "time": {"from": "08:00", "to": "18:00", "weekdays": ["mon", "tue"], "zone": "UTC"},
        "not": {"stream": True},
        "any": [{"tenant": ["x"]}, {"feature": ["y"]}],
    }
    assert str(when) == (
        "task a, b; input_tokens gte 8192; metadata plan pro; time from 08:00, to 18:00, "
        "weekdays mon, tue, zone UTC; not (stream true); any of (tenant x) or (feature y)"
    )
    assert str(When()) == "always"
