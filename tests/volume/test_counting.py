"""What is counted for whom: scopes, tenants of one's own, models, money; and what a look at it says."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from hybridllm import Policy
from hybridllm._core.policy.hybrid import Measure, Volume
from hybridllm._core.volume.counters import OWN_MAX
from hybridllm._core.volume.needs import needs_of
from hybridllm._runtime.volumes import Volumes
from hybridllm.testing import FakeClock
from volume.counted import attempt, policy, receipt, used

DAY_S = 86_400.0
CAPACITY = "price: free, capacity: {usd_per_month: 1500}"


def counting(rules: Policy, *, own_max: int = OWN_MAX) -> tuple[Volumes, FakeClock]:
    clock = FakeClock()
    volumes = Volumes(rules, clock=clock, own_max=own_max)
    volumes.begin()
    return volumes, clock


def routes_held(volumes: Volumes, clock: FakeClock, **who: str | None) -> list[str]:
    """The scopes of the conditions that hold."""
    held = volumes.held(clock.monotonic_s(), **{"tenant": None, "task": None} | who)
    scopes = [one.scope for one, whose in held if isinstance(one, Volume)]
    return sorted(scopes)


@pytest.mark.parametrize(
    ("of", "measure", "reached"),
    [
        ("all", "tokens_per_minute: {gte: 70}", True),
        ("all", "tokens_per_minute: {gte: 71}", False),
        ("all", "requests_per_minute: {gte: 2}", True),  # however many attempts
        ("all", "usd_per_minute: {gte: 0.75}", True),
        ("model:m", "tokens_per_minute: {gte: 70}", True),
        ("model:n", "tokens_per_minute: {gte: 1}", False),
        ("backend:own", "tokens_per_minute: {gte: 30}", True),
        ("backend:own", "tokens_per_minute: {gte: 31}", False),
        ("backend:own", "requests_per_minute: {gte: 1}", True),
        ("backend:api", "requests_per_minute: {gte: 2}", True),
        ("backend:api", "requests_per_minute: {gte: 3}", False),
        ("route:rest", "tokens_per_minute: {gte: 70}", True),
        ("route:heavy-0", "tokens_per_minute: {gte: 1}", False),
        ("task:t", "tokens_per_minute: {gte: 30}", True),
        ("task:t", "tokens_per_minute: {gte: 31}", False),
        ("tenant:acme", "tokens_per_minute: {gte: 40}", True),
        ("tenant:acme", "tokens_per_minute: {gte: 41}", False),
    ],
)
def test_a_request_counts_in_every_scope_that_it_belongs_to(
    of: str, measure: str, reached: bool
) -> None:
    """A retry is one more attempt of the same request; a model and a backend count what they were asked."""
    volumes, clock = counting(policy(f'volume: {{{measure}, of: "{of}"}}'))
    lost = attempt(None, backend="api", served=False)
    again = attempt((20, 10), backend="own", usd="0.5")
    volumes.count(receipt(lost, again, task="t"), clock.monotonic_s())
    volumes.count(receipt(attempt((30, 10), usd="0.25"), tenant="acme"), clock.monotonic_s())
    volumes.count(receipt(), clock.monotonic_s())  # was sent to nobody
    clock.advance(1)
    assert routes_held(volumes, clock) == ([of] if reached else [])


def test_an_attempt_on_the_same_backend_again_is_the_same_request() -> None:
    """Of a backend, too."""
    volumes, clock = counting(policy('volume: {requests_per_minute: {gte: 2}, of: "backend:api"}'))
    volumes.count(receipt(attempt(None, served=False), attempt((1, 1))), clock.monotonic_s())
    clock.advance(1)
    assert routes_held(volumes, clock) == []


def test_a_window_begins_to_hold_within_a_second_and_ends_after_its_dwell() -> None:
    """Hysteresis: between `exit` and `gte` it stays as it is."""
    volumes, clock = counting(
        policy("volume: {tokens_per_minute: {gte: 100}, exit: 50, min_dwell: 90s}")
    )
    volumes.count(used(100), clock.monotonic_s())
    assert routes_held(volumes, clock) == []
    clock.advance(1)
    assert routes_held(volumes, clock) == ["all"]
    clock.advance(58)
    volumes.count(used(60), clock.monotonic_s())
    clock.advance(31)
    assert routes_held(volumes, clock) == ["all"]  # 60 of the last minute
    clock.advance(40)
    assert routes_held(volumes, clock) == []


def test_little_volume_holds_once_the_window_was_counted_whole() -> None:
    """A router that has just begun knows nothing of the hour before."""
    volumes, clock = counting(policy("volume: {requests_per_hour: {lt: 2}}"))
    assert routes_held(volumes, clock) == []
    clock.advance(3_700)
    assert routes_held(volumes, clock) == ["all"]
    for _ in range(3):
        volumes.count(used(1), clock.monotonic_s())
    clock.advance(61)
    assert routes_held(volumes, clock) == []


def test_a_tenants_own_volume_is_about_nobody_else() -> None:
    """Who brings no tenant has no volume of its own."""
    volumes, clock = counting(policy("volume: {tokens_per_day: {gte: 100}, of: tenant}"))
    volumes.count(used(100, tenant="acme"), clock.monotonic_s())
    volumes.count(used(99, tenant="other"), clock.monotonic_s())
    volumes.count(used(1_000), clock.monotonic_s())
    clock.advance(1)
    for tenant in ("acme", "other", None, "never-seen"):
        held = volumes.held(clock.monotonic_s(), tenant=tenant, task=None)
        assert {whose for _, whose in held} == {"acme"}
        if tenant != "acme":
            assert all(whose != tenant for _, whose in held)


def test_a_name_that_is_pushed_out_counts_anew() -> None:
    """Memory is bounded, and missing history is no yes."""
    volumes, clock = counting(
        policy("volume: {tokens_per_day: {gte: 100}, min_dwell: 0s, of: tenant}"), own_max=2
    )

    def holds(tenant: str) -> bool:
        held = volumes.held(clock.monotonic_s(), tenant=tenant, task=None)
        return any(whose == tenant for _, whose in held)

    for tenant in ("a", "b"):
        volumes.count(used(100, tenant=tenant), clock.monotonic_s())
        clock.advance(1)
    assert holds("a")
    volumes.count(used(1, tenant="b"), clock.monotonic_s())
    clock.advance(1)
    volumes.count(used(1, tenant="c"), clock.monotonic_s())
    clock.advance(1)
    assert not holds("a")
    volumes.count(used(60, tenant="a"), clock.monotonic_s())
    clock.advance(1)
    assert not holds("a")


def test_a_tenant_that_is_named_and_counted_as_its_own_is_counted_once() -> None:
    """One scope, two conditions."""
    volumes, clock = counting(
        policy(
            'volume: {tokens_per_day: {gte: 100}, of: "tenant:acme"}',
            "volume: {tokens_per_hour: {gte: 100}, of: tenant}",
        )
    )
    volumes.count(used(60, tenant="acme"), clock.monotonic_s())
    clock.advance(1)
    assert routes_held(volumes, clock, tenant="acme") == []
    volumes.count(used(60, tenant="acme"), clock.monotonic_s())
    clock.advance(1)
    assert routes_held(volumes, clock, tenant="acme") == ["tenant", "tenant:acme"]


def test_what_nobody_asks_for_is_not_counted() -> None:
    """A policy without live conditions costs nothing; with a file, the whole and the models are kept."""
    rules = policy()
    volumes = Volumes(rules, clock=FakeClock())
    assert not volumes.counting
    assert not needs_of(rules, kept=False)
    assert set(needs_of(rules, kept=True).fixed) == {"all", "model:m", "model:n"}
    assert set(needs_of(policy("break_even: above", capacity=CAPACITY), kept=False).fixed) == {
        "all",
        "model:m",
        "model:n",
    }


def test_another_policy_keeps_the_states_of_the_conditions_that_it_shares() -> None:
    """And forgets those of the others."""
    hour = "volume: {tokens_per_hour: {gte: 100}}"
    volumes, clock = counting(policy(hour, 'volume: {tokens_per_day: {gte: 100}, of: "model:m"}'))
    volumes.count(used(100), clock.monotonic_s())
    clock.advance(1)
    assert routes_held(volumes, clock) == ["all", "model:m"]
    volumes.follow(policy(hour, "volume: {tokens_per_day: {gte: 200}}"))
    assert routes_held(volumes, clock) == ["all"]
    volumes.follow(policy())
    assert routes_held(volumes, clock) == []
    volumes.count(used(100), clock.monotonic_s())  # of no use to anybody, and no harm
    volumes.follow(policy(hour))
    assert routes_held(volumes, clock) == []


def test_who_wakes_machines_ahead_is_told_how_near_it_is() -> None:
    """Of one's own, how near the nearest of the latest is."""
    rules = policy(
        "volume: {tokens_per_hour: {gte: 100}}",
        "volume: {tokens_per_hour: {gte: 100}, of: tenant}",
        "volume: {tokens_per_day: {gte: 100}, sustained: 4d}",
        "break_even: above",
        capacity=CAPACITY,
    )
    whole, own, sustained, even = rules.live
    volumes, clock = counting(rules)
    for _ in range(2):
        volumes.count(used(100, tenant="b"), clock.monotonic_s())
        clock.advance(DAY_S)
        volumes.beat()
    volumes.count(used(50, tenant="a"), clock.monotonic_s())
    volumes.count(used(30, tenant="b"), clock.monotonic_s())
    clock.advance(1)
    volumes.beat()
    assert volumes.near(whole) == pytest.approx(0.8)
    assert volumes.near(own) == pytest.approx(0.5)
    assert volumes.near(sustained) == pytest.approx(2.8 / 4)
    assert volumes.near(even) == 0.0
    volumes.count(used(20), clock.monotonic_s())
    clock.advance(1)
    volumes.beat()
    assert volumes.near(whole) == 1.0


def test_money_is_told_by_utc_day_and_month() -> None:
    """Of the backends that an overflow leaves when their budget is used up."""
    more = ", overflow: {from: api, to: [own], when: {budget: {usd: 50, per: day}}}"
    volumes, clock = counting(policy(more=more))
    assert volumes.spent_usd("api") == (0.0, 0.0)
    for _ in range(2):
        volumes.count(receipt(attempt((1, 1), usd="0.1")), clock.monotonic_s())
        clock.advance(DAY_S)
        volumes.beat()
    volumes.count(receipt(attempt((1, 1), usd="0.1")), clock.monotonic_s())
    clock.advance(1)
    volumes.beat()
    assert volumes.spent_usd("api") == pytest.approx((0.1, 0.3))
    clock.set_utc(clock.utc_now() + timedelta(days=31))
    clock.advance(1)
    volumes.beat()
    assert volumes.spent_usd("api") == (0.0, 0.0)


def test_a_crossing_is_told_and_logged_with_what_it_looked_at(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A listener that fails harms nobody."""
    volumes, clock = counting(policy("volume: {usd_per_hour: {gte: 0.2}, min_dwell: 0s}"))
    heard: list[str] = []
    volumes.crossings.listeners += [
        lambda crossing: 1 // 0,
        lambda crossing: heard.append(crossing.text),
    ]
    with caplog.at_level(logging.INFO, "hybridllm"):
        volumes.count(receipt(attempt((1, 1), usd="0.25")), clock.monotonic_s())
        clock.advance(1)
        volumes.beat()
        clock.advance(3_700)
        volumes.beat()
    assert heard == [
        "volume usd_per_hour gte 0.2, min_dwell 0s: holds now, at 0.25 USD",
        "volume usd_per_hour gte 0.2, min_dwell 0s: holds no longer, at 0.00 USD",
    ]
    assert [one.text for one in volumes.crossings.latest] == heard
    assert heard[0] in caplog.text
    assert "a listener to crossings failed: ZeroDivisionError" in caplog.text


def test_a_router_that_keeps_no_days_says_once_that_it_forgets_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Three months are long for a process."""
    rules = policy("volume: {tokens_per_day: {gte: 100}, sustained: 90d}")
    volumes, _ = counting(rules)
    volumes.follow(rules)
    (record,) = caplog.records
    assert "sustained 90d" in record.getMessage()
    assert "volume_file" in record.getMessage()
    caplog.clear()
    counting(policy("volume: {tokens_per_hour: {gte: 100}}"))
    assert caplog.records == []


def test_a_loop_whose_time_begins_anew_counts_on() -> None:
    """What was counted in the loop before is as old as it was when that ended."""
    rules = policy("volume: {tokens_per_minute: {gte: 100}}")
    clock = FakeClock(start_s=5_000.0)
    volumes = Volumes(rules, clock=clock)
    volumes.begin()
    volumes.count(used(60), 5_000.0)
    clock.advance(30)
    volumes.beat()
    clock._now_s = 3.0
    volumes.begin()
    volumes.count(used(60), 3.0)
    clock.advance(1)
    assert routes_held(volumes, clock) == ["all"]


def test_a_second_that_midnight_divides_belongs_to_both_days() -> None:
    """Day totals are exact."""
    volumes, clock = counting(policy('volume: {requests_per_month: {gte: 1}, of: "model:m"}'))
    clock.advance(DAY_S - 0.5)
    clock.set_utc(clock.utc_now() + timedelta(seconds=0.25))  # a quarter of a second is left
    volumes.beat()
    volumes.count(used(1), clock.monotonic_s())
    clock.advance(0.5)
    volumes.count(used(2), clock.monotonic_s())
    clock.advance(1)
    volumes.beat()
    days = volumes._counters.fixed["all"].days.within(0, 10**6)
    assert [one.of(Measure.TOKENS) for one in days.values()] == [1, 2]
