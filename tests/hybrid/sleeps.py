"""A machine that sleeps through fifteen seconds of traffic, bridged by the API; in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from hybrid.worlds import URLS, own_and_api
from hybridllm import Router
from hybridllm.testing import (
    Ending,
    Journey,
    LoopClock,
    Service,
    SimulatedFleet,
    VllmService,
    run_in_virtual_time,
    send_all,
    traffic,
)

WAKE_URL = "http://own.internal:8000/wake_up"
POLICY = own_and_api(
    own=f'cold_start: {{takes: 15s, wake: "{WAKE_URL}"}}',
    route="use: [{model: m, on: [own, api]}]",
)
OWN = VllmService(
    slots=32, tokens_per_s_max=2_000, answer_tokens=48, asleep=True, woken_by_request=False
)
API = Service(first_token_s=0.5, spread=0.25, answer_tokens=48, tokens_per_s=100)
RATE, END_S, SLO_S = 10.0, 40.0, 2.0


@dataclass(frozen=True, slots=True)
class SleepFigures:
    """What callers saw.

    Attributes:
        first_token_max_s: Of those who may leave.
        answered: Share of those who may leave that got an answer.
        awake_s: When the machine answered its first request again.
        all_back_s: From when on nobody who came was served elsewhere.
        phi_out: Attempts of `phi` at the API.
        phi_told: What `phi` was told while it slept; `phi_wait_s`: how long one waited for that, at most.
        asked_asleep: Requests and probes that the sleeping machine got.
    """

    first_token_max_s: float
    answered: float
    awake_s: float
    all_back_s: float
    phi_out: int
    phi_told: tuple[str, ...]
    phi_wait_s: float
    asked_asleep: int


def play(seed: int = 1) -> tuple[Sequence[Journey], SimulatedFleet]:
    """Ten requests a second to a machine that sleeps at first."""
    fleet = SimulatedFleet(
        URLS,
        seed=seed,
        service={"own": OWN, "api": API},
        wake_urls={"own": WAKE_URL},
    )
    router = Router.from_text(
        POLICY,
        wire=fleet,
        environ={},
        clock=LoopClock(),
        chance=Random(seed).random,
    )
    mix = {"public": {}, "phi": {"residency": "phi"}}
    asks = traffic(RATE, until_s=END_S, seed=seed, streams=1, mix=mix, weights=(0.9, 0.1))

    async def run() -> Sequence[Journey]:
        async with router:
            return await send_all(router, asks)

    return run_in_virtual_time(run()), fleet


def figures(journeys: Sequence[Journey], fleet: SimulatedFleet) -> SleepFigures:
    """Return what became of it."""
    public = [one for one in journeys if one.ask.kind == "public"]
    phi = [one for one in journeys if one.ask.kind == "phi"]
    own = [one.ask.at_s for one in journeys if one.served_by == "own"]
    elsewhere = [one.ask.at_s for one in public if one.served_by == "api"]
    awake_s = min(own)
    told = [one for one in phi if one.error is not None]
    return SleepFigures(
        first_token_max_s=max(one.first_token_s or 0.0 for one in public),
        answered=sum(one.ending is Ending.ANSWERED for one in public) / len(public),
        awake_s=awake_s,
        all_back_s=max(elsewhere, default=0.0),
        phi_out=sum(attempt.backend == "api" for one in phi for attempt in one.tries),
        phi_told=tuple(sorted({str(one.error) for one in told})),
        phi_wait_s=max((one.duration_s for one in told), default=0.0),
        asked_asleep=fleet["own"].requests(0.0, awake_s),
    )
