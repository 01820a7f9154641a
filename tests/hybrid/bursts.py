"""A burst of three times what the own machine can do, and what became of it, in figures.

Everything runs in virtual time: the router is the real one, the machine is a simulated vLLM with slots, a KV
cache and a metrics page, which may be at fault.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from hybrid.worlds import URLS, own_and_api
from hybridllm import Router
from hybridllm.testing import (
    Ailment,
    Ending,
    Fault,
    Journey,
    LoopClock,
    MetricsFault,
    Service,
    SimulatedFleet,
    VllmService,
    run_in_virtual_time,
    send_all,
    traffic,
)

POLICY = own_and_api(
    own="SATURATION",
    route="use: [{model: m, on: [own, api]}], "
    "overflow: {from: own, to: [api], when: WHEN, queue_ms: 2000}",
)
OWN = VllmService(slots=8, tokens_per_s=60, tokens_per_s_max=300, answer_tokens=96)
API = Service(first_token_s=0.5, spread=0.25, answer_tokens=96, tokens_per_s=100)
SLO_S = 2.0
"""Of the first token, at the 99th percentile."""

SAMPLE_S = 0.25
CALM_S, RUSH_S, AFTER_S = 20.0, 40.0, 30.0
CALM, TIMES = 0.25, 3.0


@dataclass(frozen=True, slots=True)
class Burst:
    """One run.

    Attributes:
        metrics: How they are, in words.
        when: The cause of the overflow, as a policy writes it.
        saturation: Of the own machine, as a policy writes it.
        ailment: What is wrong with its metrics, from the middle of the calm on; None: nothing.
        phi: Share of the requests that may not leave.
    """

    metrics: str = "true"
    when: str = "saturated"
    saturation: str = "saturation: {queue_depth: 0}"
    ailment: Ailment | None = None
    phi: float = 0.1
    own: VllmService = OWN
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """The own machine at one moment: requests at work, and waiting in its own queue."""

    at_s: float
    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class BurstFigures:
    """What became of it.

    Attributes:
        share: Of the requests that may leave, in the burst, that went to the API; `ideal`: that had to.
        first_token_p99_s: Of those in the burst that may leave.
        back_s: After the end of the burst, the last request that left.
        flips: Begins and ends of overflow.
        phi_out: Attempts of `phi` at the API.
        phi_wait_s: The longest that one of `phi` waited for its first token, or its error.
        phi_errors: What it was told.
        queued_max: The most that ever waited in the machine's own queue.
        calm_left: Requests that left before the burst.
    """

    share: float
    ideal: float
    first_token_p99_s: float
    answered: float
    back_s: float
    flips: int
    phi_out: int
    phi_wait_s: float
    phi_errors: dict[str, int]
    queued_max: int
    calm_left: int


def capacity_per_s(own: VllmService) -> float:
    """Return how many requests a second the machine answers with all slots at work."""
    return own.tokens_per_s_full / own.answer_tokens


def play(burst: Burst) -> tuple[Sequence[Journey], list[Sample], Router]:
    """A quarter of the capacity, then `TIMES` of it, then a quarter again; and what became of it."""
    fleet = SimulatedFleet(
        URLS,
        seed=burst.seed,
        service={"own": burst.own, "api": API},
    )
    if burst.ailment is not None:
        fleet.strike("own", burst.ailment, from_s=CALM_S / 2)
    router = Router.from_text(
        POLICY.replace("WHEN", burst.when).replace("SATURATION", burst.saturation),
        wire=fleet,
        environ={},
        clock=LoopClock(),
        chance=Random(burst.seed).random,
    )
    capacity = capacity_per_s(burst.own)
    mix: dict[str, Any] = {"public": {}, "phi": {"residency": "phi"}}
    asks = []
    begin_s = 0.0
    for times, length_s in ((CALM, CALM_S), (TIMES, RUSH_S), (CALM, AFTER_S)):
        asks += traffic(
            capacity * times,
            from_s=begin_s,
            until_s=begin_s + length_s,
            seed=burst.seed,
            streams=1,
            mix=mix,
            weights=(1 - burst.phi, burst.phi),
        )
        begin_s += length_s

    samples: list[Sample] = []

    async def watch() -> None:
        own = fleet["own"]
        while True:
            await asyncio.sleep(SAMPLE_S)
            samples.append(Sample(len(samples) * SAMPLE_S, own.at_work, own.waiting))

    async def run() -> Sequence[Journey]:
        async with router, asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            journeys = await send_all(router, asks)
            watching.cancel()
        return journeys

    return run_in_virtual_time(run()), samples, router


def figures(burst: Burst) -> BurstFigures:
    """Play a burst and return its figures."""
    journeys, samples, router = play(burst)
    end_s = CALM_S + RUSH_S
    rush = [one for one in journeys if CALM_S <= one.ask.at_s < end_s]
    public = [one for one in rush if one.ask.kind == "public"]
    phi = [one for one in journeys if one.ask.kind == "phi"]
    left_at_s = [one.ask.at_s for one in journeys if "api" in _asked(one)]
    firsts = sorted(
        one.first_token_s for one in public if one.first_token_s is not None and one.error is None
    )
    capacity = capacity_per_s(burst.own)
    phi_served = sum(one.error is None for one in phi if CALM_S <= one.ask.at_s < end_s) / RUSH_S
    room = capacity - phi_served
    ideal = max(0.0, 1.0 - room / (len(public) / RUSH_S))
    tally = router._engine.overflows.tallies.get("all")
    return BurstFigures(
        share=sum(one.served_by == "api" for one in public) / len(public),
        ideal=ideal,
        first_token_p99_s=firsts[int(len(firsts) * 0.99)],
        answered=sum(one.ending is Ending.ANSWERED for one in public) / len(public),
        back_s=max((at_s - end_s for at_s in left_at_s), default=0.0),
        flips=0 if tally is None else 2 * tally.begun - (tally.spell is not None),
        phi_out=sum("api" in _asked(one) for one in phi),
        phi_wait_s=max((_waited_s(one) for one in phi), default=0.0),
        phi_errors=dict(Counter(one.error for one in phi if one.error is not None)),
        queued_max=max(one.waiting for one in samples),
        calm_left=sum(at_s < CALM_S for at_s in left_at_s),
    )


def _asked(journey: Journey) -> set[str]:
    return {attempt.backend for attempt in journey.tries}


def _waited_s(journey: Journey) -> float:
    return journey.duration_s if journey.first_token_s is None else journey.first_token_s


_FEW = VllmService(slots=8, tokens_per_s=60, tokens_per_s_max=300, answer_tokens=96, kv_blocks=20)
"""Its cache holds fewer requests than it has slots: some of those that run are sent back to wait."""

_WAIT = "{predicted_wait_ms: {gt: 800}}"
BURSTS = (
    Burst(),
    Burst("true; our own requests are limited", saturation="saturation: {max_inflight: 8}"),
    Burst("true", when=_WAIT),
    Burst("dead: refused", ailment=MetricsFault.struck(Fault.refuse())),
    Burst("dead: status 500", ailment=MetricsFault.struck(Fault.status(500))),
    Burst("frozen", ailment=MetricsFault.frozen()),
    Burst("lying: always idle", ailment=MetricsFault.idle()),
    Burst("lying: fewer run than it has slots", own=_FEW),
    Burst("18 s late", ailment=MetricsFault.late(18)),
    Burst("18 s late", when=_WAIT, ailment=MetricsFault.late(18)),
    Burst(
        "dead: refused",
        when=_WAIT,
        ailment=MetricsFault.struck(Fault.refuse()),
    ),
)


def with_seed(burst: Burst, seed: int) -> Burst:
    """Return the same burst with other traffic."""
    return replace(burst, seed=seed)
