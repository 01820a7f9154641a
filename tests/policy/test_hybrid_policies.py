"""What a policy says of own machines, volumes and overflow: what it comes to, and what never holds."""

from __future__ import annotations

from decimal import Decimal

import pytest

from hybridllm._core.policy.conditions import Live, leaves, when_text
from hybridllm._core.policy.hybrid import (
    DEFAULT_SATURATION,
    HOURS_A_MONTH,
    BreakEven,
    Capacity,
    Cause,
    ColdStart,
    Measure,
    Overflow,
    Saturation,
    Trigger,
    Volume,
    Window,
)
from policy.policy_text import changed, load, problems_of, warnings_of

OWN = "    price: free\n"
LAST = "  - name: default\n    use: [{model: qwen3-32b, on: [own-eu, hosted-us]}]\n"


def own(line: str) -> str:
    """The good policy with another line about its own server."""
    return changed(OWN, f"{OWN}    {line}\n")


def when(conditions: str) -> str:
    """The good policy with another condition on its first route, and a capacity to weigh."""
    return own("capacity: {usd_per_month: 1500}").replace("task: [classify, extract]", conditions)


def overflow(text: str) -> str:
    """The good policy with overflows on its last route."""
    return changed(LAST, f"{LAST}    overflow: {text}\n")


def live(text: str) -> Live:
    """The live condition of a policy that has one."""
    policy = load(text)
    (condition,) = policy.live
    found = [one for one in leaves(policy.routes[0].when) if isinstance(one, Live)]
    assert found == [condition]
    return condition


@pytest.mark.parametrize(
    ("line", "attribute", "expected"),
    [
        ("price: free", "saturation", DEFAULT_SATURATION),
        (
            "saturation: {max_inflight: 64, queue_depth: 8, kv_cache_pct: 87.5, stale_after: 2s}",
            "saturation",
            Saturation(64, 8, 0.875, 2.0),
        ),
        (
            "capacity: {usd_per_month: 1500, tokens_per_day: 86.4M}",
            "capacity",
            Capacity(Decimal(1500), Decimal(0), 1_000.0),
        ),
        (
            "capacity: {usd_per_gpu_hour: 2, gpus: 4, hidden_usd_per_month: 300, elastic: true}",
            "capacity",
            Capacity(8 * HOURS_A_MONTH, Decimal(300), None, elastic=True),
        ),
        ("cold_start: {takes: 15s}", "cold_start", ColdStart(15.0)),
        (
            "cold_start: {takes: 2m, wake: http://ctl.internal/WAKE/own, wake_at: 0.5, when_cold: wait}",
            "cold_start",
            ColdStart(120.0, "http://ctl.internal/WAKE/own", 0.5, waits=True),
        ),
    ],
)
def test_what_is_said_of_own_machines(line: str, attribute: str, expected: object) -> None:
    """Money as months, speed as seconds, shares as shares."""
    text = changed(OWN, f"{OWN}    {line}\n" if line != "price: free" else OWN)
    assert getattr(load(text).backends["own-eu"], attribute) == expected


@pytest.mark.parametrize(
    ("text", "expected", "words"),
    [
        (
            "volume: {tokens_per_day: {gte: 500M}, sustained: 90d}",
            Volume(
                Measure.TOKENS, Window.DAY, Decimal(500_000_000), Decimal(450_000_000),
                sustained_days=90, min_dwell_s=86_400.0,
            ),
            "volume tokens_per_day gte 500000000, sustained 90d",
        ),
        (
            "volume: {usd_per_month: {lt: 12.50}, of: tenant, exit: 20, min_dwell: 1h}",
            Volume(
                Measure.USD, Window.MONTH, Decimal("12.50"), Decimal(20), "tenant", below=True,
                min_dwell_s=3_600.0,
            ),
            "volume usd_per_month lt 12.50, of tenant, exit 20, min_dwell 3600s",
        ),
        (
            'volume: {requests_per_minute: {gte: 6K}, of: "task:classify"}',
            Volume(Measure.REQUESTS, Window.MINUTE, Decimal(6_000), Decimal(5_400), "task:classify"),
            "volume requests_per_minute gte 6000, of task:classify",
        ),
        ("break_even: below", BreakEven(above=False), "break_even below"),
        (
            "break_even: {is: above, of: own-eu, margin: 0.2, min_dwell: 7d}",
            BreakEven(above=True, backends=("own-eu",), margin=0.2, min_dwell_s=604_800.0),
            "break_even is above, of own-eu, margin 0.2, min_dwell 604800s",
        ),
    ],
)  # fmt: skip
def test_a_live_condition(text: str, expected: Live, words: str) -> None:
    """What is not said is usual, and not told; two that differ in anything have different words."""
    made = when(text)
    assert live(made) == expected
    assert when_text(load(made).routes[0].when) == words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{from: own-eu, to: hosted-us, when: saturated}",
            (Overflow(("own-eu",), ("hosted-us",), (Cause(Trigger.SATURATED),)),),
        ),
        (
            "[{from: [own-eu], to: [hosted-us], queue_ms: 500, when: {predicted_wait_ms: {gt: 1500}, "
            "kv_cache_pct: {gt: 85}, inflight: {gt: 64}}}, "
            "{from: hosted-us, to: own-eu, when: [rate_limited, outage]}]",
            (
                Overflow(
                    ("own-eu",),
                    ("hosted-us",),
                    (
                        Cause(Trigger.PREDICTED_WAIT, 1_500.0),
                        Cause(Trigger.KV_CACHE, 85.0),
                        Cause(Trigger.IN_FLIGHT, 64.0),
                    ),
                    0.5,
                ),
                Overflow(
                    ("hosted-us",),
                    ("own-eu",),
                    (Cause(Trigger.RATE_LIMITED), Cause(Trigger.OUTAGE)),
                ),
            ),
        ),
        (
            "{from: hosted-us, to: own-eu, when: {budget: {usd: 50}}}",
            (Overflow(("hosted-us",), ("own-eu",), (Cause(Trigger.BUDGET, 50.0, "day"),)),),
        ),
        (
            "{from: hosted-us, to: own-eu, when: {budget: true}}",
            (Overflow(("hosted-us",), ("own-eu",), (Cause(Trigger.BUDGET),)),),
        ),
    ],
)
def test_an_overflow(text: str, expected: tuple[Overflow, ...]) -> None:
    """Both directions may stand on one route; whoever is left is watched."""
    policy = load(overflow(text))
    assert policy.routes[-1].overflows == expected
    assert policy.loaded == {name for one in expected for name in one.sources}


def test_figures_may_come_from_variables() -> None:
    """A variable is a string; a figure in it means what it says."""
    text = overflow(
        "{from: own-eu, to: hosted-us, when: {inflight: {gt: '${MOST}'}}, queue_ms: '${Q}'}"
    )
    text = text.replace(
        OWN, f"{OWN}    saturation: {{queue_depth: '${{DEPTH}}', kv_cache_pct: '80'}}\n"
    )
    policy = load(text, MOST="64", Q="250", DEPTH="3")
    (found,) = policy.routes[-1].overflows
    assert (found.causes, found.queue_s) == ((Cause(Trigger.IN_FLIGHT, 64.0),), 0.25)
    assert policy.backends["own-eu"].saturation == Saturation(None, 3, 0.8)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (
            overflow("{from: [own-eu, hosted-us], to: hosted-eu, when: saturated}").replace(
                "use: [{model: qwen3-32b, on: [own-eu, hosted-us]}]",
                "use: [qwen3-32b, {model: qwen3-8b, on: [hosted-eu]}]",
            ),
            "routes[1].overflow[0].when",
            "never holds for 'hosted-us', so that no request that may use it overflows: nothing says when",
        ),
        (
            when("break_even: above").replace(
                "hosted-us: qwen3-32b", "hosted-us: {name: x, price: {input_per_1m: 1, output_per_1m: 1}}"
            ).replace("qwen3-8b: {on", "qwen3-8b: {price: free, on"),
            None,
            "",
        ),
        (
            when("break_even: above")
            .replace("qwen3-8b: {on", "own-8b: {on")
            .replace("[qwen3-8b]", "[own-8b]")
            .replace("qwen3-32b:\n", "own-32b:\n")
            .replace("[qwen3-32b]", "[own-32b]")
            .replace("model: qwen3-32b", "model: own-32b"),
            "routes[0].when.break_even",
            "never holds: no price of a hosted API is known that the own machines could be weighed against",
        ),
    ],
    ids=["one-of-two-sources", "a-price-is-known", "no-price-is-known"],
)  # fmt: skip
def test_what_never_holds_is_told(text: str, path: str | None, message: str) -> None:
    """As a warning where a part of it can hold, or may one day."""
    told = {one.path: one.message for one in warnings_of(text)}
    assert path is None or message in told[path]
    assert path is not None or not any("never holds" in one for one in told.values())


def test_every_overflow_has_a_place_of_its_own() -> None:
    """Whether one stands alone or in a list, a wrong name is told where it stands."""
    for text in (
        "{from: nobody, to: hosted-us, when: outage}",
        "[{from: nobody, to: hosted-us, when: outage}]",
    ):
        made = overflow(text)
        (problem,) = problems_of(made)
        line = made.splitlines()[problem.line - 1]
        assert line[problem.column - 1 :].startswith("nobody")
