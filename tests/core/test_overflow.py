"""Leaving backends that have too much to do: an order of those who may be asked, and nothing more."""

from __future__ import annotations

import pytest

from core.plans import kept
from hybridllm._core.decide.overflow import Left, overflowed
from hybridllm._core.decide.plan import Kept
from hybridllm._core.decide.snapshot import Load, Snapshot
from hybridllm._core.policy.compiled import Route
from hybridllm._core.policy.conditions import ALWAYS
from hybridllm._core.policy.hybrid import Cause, Overflow, Trigger

SATURATED = Cause(Trigger.SATURATED)
BUSY = Load(saturated="9 waiting")


def route(*overflows: Overflow) -> Route:
    return Route("r", ALWAYS, (), overflows=overflows)


def out_of(
    *sources: str, causes: tuple[Cause, ...] = (SATURATED,), queue_s: float | None = None
) -> Overflow:
    return Overflow(sources, ("api",), causes, queue_s)


def left(
    names: tuple[Kept, ...], overflow: Overflow, *, hot: bool = False, **loads: Load
) -> tuple[list[str], Left]:
    sources = frozenset(("r", 0, name) for name in overflow.sources) if hot else frozenset()
    found, said = overflowed(names, route(overflow), Snapshot(loads=loads, hot=sources))
    return [one.candidate.name for one in found], said


OWN_THEN_API = kept("fra/m", "api/m")


@pytest.mark.parametrize(
    ("cause", "load", "hot", "leaves"),
    [
        pytest.param(SATURATED, Load(), False, False, id="idle"),
        pytest.param(SATURATED, BUSY, False, True, id="saturated"),
        pytest.param(SATURATED, Load(cold=12.0), False, True, id="asleep"),
        pytest.param(Cause(Trigger.IN_FLIGHT, 64), Load(in_flight=64), True, False, id="at-bound"),
        pytest.param(Cause(Trigger.IN_FLIGHT, 64), Load(in_flight=65), False, True, id="above"),
        pytest.param(
            Cause(Trigger.PREDICTED_WAIT, 1500), Load(wait_s=1.5), False, False, id="wait"
        ),
        pytest.param(
            Cause(Trigger.PREDICTED_WAIT, 1500), Load(wait_s=1.6), False, True, id="longer"
        ),
        pytest.param(
            Cause(Trigger.PREDICTED_WAIT, 1500), Load(wait_s=1.4), True, True, id="not-yet"
        ),
        pytest.param(Cause(Trigger.PREDICTED_WAIT, 1500), Load(wait_s=1.3), True, False, id="cool"),
        pytest.param(Cause(Trigger.PREDICTED_WAIT, 1500), Load(), True, False, id="unknown-is-no"),
        pytest.param(Cause(Trigger.KV_CACHE, 90), Load(kv_used=0.91), False, True, id="cache-full"),
        pytest.param(
            Cause(Trigger.KV_CACHE, 90), Load(kv_used=0.89), False, False, id="cache-room"
        ),
        pytest.param(Cause(Trigger.KV_CACHE, 90), Load(stale=True), False, True, id="stale-is-hot"),
        pytest.param(
            Cause(Trigger.RATE_LIMITED), Load(rate_limited=frozenset({"m"})), False, True, id="429"
        ),
        pytest.param(
            Cause(Trigger.RATE_LIMITED),
            Load(rate_limited=frozenset({"other"})),
            False,
            False,
            id="429-of-another-model",
        ),
        pytest.param(Cause(Trigger.OUTAGE), Load(out=frozenset({"m"})), False, True, id="out"),
        pytest.param(Cause(Trigger.BUDGET), Load(broke=frozenset({"m"})), False, True, id="broke"),
        pytest.param(
            Cause(Trigger.BUDGET, 50, "day"), Load(spent_usd=(50.0, 99.0)), False, True, id="spent"
        ),
        pytest.param(
            Cause(Trigger.BUDGET, 50, "month"),
            Load(spent_usd=(51.0, 49.0)),
            False,
            False,
            id="not-spent",
        ),
    ],
)
def test_a_request_leaves_when_a_cause_holds(
    cause: Cause, load: Load, hot: bool, leaves: bool
) -> None:
    """A number that was hot cools only at nine tenths of its bound; our own requests are exact."""
    names, said = left(OWN_THEN_API, out_of("fra", causes=(cause,)), hot=hot, fra=load)
    assert names == (["api/m", "fra/m"] if leaves else ["fra/m", "api/m"])
    assert said.hot == (frozenset({("r", 0, "fra")}) if leaves else frozenset())
    assert said.cooled == (frozenset({("r", 0, "fra")}) if hot and not leaves else frozenset())
    assert said.to == (frozenset({"api"}) if leaves else frozenset())
    assert said.why.startswith("fra ") is leaves


def test_whom_it_leaves_is_asked_before_whom_it_goes_to_whatever_orders_them() -> None:
    """Without overflow the API may have been the cheaper, or the idler."""
    names, said = left(kept("api/m", "fra/m"), out_of("fra"))
    assert names == ["fra/m", "api/m"]
    assert not said.to


def test_a_request_leaves_only_if_all_sources_are_hot() -> None:
    """One of two machines has room: it is asked first, the API next, and the hot one last."""
    plan = kept("fra/m", "par/m", "api/m")
    names, said = left(plan, out_of("fra", "par"), fra=BUSY)
    assert names == ["par/m", "api/m", "fra/m"]
    assert not said.to
    names, said = left(plan, out_of("fra", "par"), fra=BUSY, par=BUSY)
    assert names == ["api/m", "fra/m", "par/m"]
    assert said.why == "fra is saturated (9 waiting), par is saturated (9 waiting)"


def test_others_keep_their_places() -> None:
    """Who is neither left nor gone to stands where it stood."""
    names, _ = left(kept("x/m", "fra/m", "y/m", "api/m"), out_of("fra"), fra=BUSY)
    assert names == ["x/m", "api/m", "y/m", "fra/m"]


def test_who_may_not_leave_waits_and_nobody_is_added() -> None:
    """`phi` keeps its own machine alone: the overflow cannot bring the API back."""
    names, said = left(kept("fra/m"), out_of("fra", queue_s=0.5), fra=BUSY)
    assert names == ["fra/m"]
    assert (said.to, said.waits, said.queue_s) == (frozenset(), frozenset({"fra"}), 0.5)


def test_nobody_waits_for_a_backend_that_has_told_nothing_lately() -> None:
    """A dead scraper is no full machine: who may leave does, who may not asks."""
    stale = Load(saturated="told nothing for 6 s", stale=True)
    _, said = left(kept("fra/m"), out_of("fra"), fra=stale)
    assert said.waits == frozenset()
    names, _ = left(OWN_THEN_API, out_of("fra"), fra=stale)
    assert names == ["api/m", "fra/m"]


def test_both_directions_on_one_route_do_not_meet_in_a_loop() -> None:
    """The machine is full and the API says 429: an order of both, and no more than that."""
    both = route(
        Overflow(("fra",), ("api",), (SATURATED,)),
        Overflow(("api",), ("fra",), (Cause(Trigger.RATE_LIMITED),)),
    )
    loads = {"fra": BUSY, "api": Load(rate_limited=frozenset({"m"}))}
    found, said = overflowed(OWN_THEN_API, both, Snapshot(loads=loads))
    assert {one.candidate.name for one in found} == {"fra/m", "api/m"}
    assert len(said.hot) == 2
