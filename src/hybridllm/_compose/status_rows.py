"""How each candidate and each backend is, read from the fleet: one row each.

Reads values and changes nothing, so that any thread may ask. Holds no word of a backend: of a failure it
tells the status or the kind.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hybridllm._core.affinity.cached import NOTHING_TOLD
from hybridllm._core.policy.hybrid import HOURS_A_MONTH
from hybridllm._core.resilience.breaker import BreakerConfig, BreakerState, Phase, refuses
from hybridllm._core.resilience.pace import Pace, faded_s
from hybridllm._core.resilience.window import totals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybridllm._core.policy.compiled import Backend, Candidate, Policy
    from hybridllm._runtime.fleet import Fleet

_PROBES = BreakerConfig().probes


@dataclass(frozen=True, slots=True)
class CandidateStatus:
    """A backend and a model on it, at one moment. Times are in milliseconds or seconds, as the names say.

    Attributes:
        backend: Its name in the policy.
        model: The logical model.
        breaker: `closed`, `open` or `half_open`.
        refused: Whether breaker or gate refuse it: then it is asked only if everybody is refused.
        reason: Why, or what else is to be said, in words; empty: all is well.
        probe_in_s: Until a request may see whether it is back; 0: the next one may; None: it is closed.
        openings: Of its breaker, that are not forgotten; each doubles how long the next one lasts.
        failures_in_row: Since the last answer; 0 once the breaker has opened.
        attempts: That ended in the last 10 s while the breaker was closed; so `failures` and `slow`, of them.
        last_failure: Its status or kind, `503`, `first_token_timeout`; None: none since the start.
        last_failure_ago_s: How long ago that was.
        gate: `rate`, `quota`, `credential` or `model`, if one is closed.
        gate_after: The status or kind of the answer that closed it.
        gate_ends_s: Until it ends by itself.
        pace_ms: What a whole answer takes lately, by which load is balanced; None: not measured.
        first_token_pace_ms: The same for a stream's first token.
        first_token_ms_p50: Half of the latest first tokens took at most this; None: not measured lately.
        first_token_ms_p95: The same for 95 of 100.
        answer_ms_p50: The same for whole answers without a stream.
        answer_ms_p95: The same for 95 of 100.
        share: Of its traffic, that it gets: below 1 in the first seconds after its breaker has closed.
        prompt_tokens: Of all answers that told how many of them were cached.
        cached_tokens: Those of them that were.
        cached_share: What share was cached in the last minutes, 0 to 1; None: no answer has told.
    """

    backend: str
    model: str
    breaker: str = "closed"
    refused: bool = False
    reason: str = ""
    probe_in_s: float | None = None
    openings: int = 0
    failures_in_row: int = 0
    attempts: int = 0
    failures: int = 0
    slow: int = 0
    last_failure: str | None = None
    last_failure_ago_s: float | None = None
    gate: str | None = None
    gate_after: str | None = None
    gate_ends_s: float | None = None
    pace_ms: float | None = None
    first_token_pace_ms: float | None = None
    first_token_ms_p50: float | None = None
    first_token_ms_p95: float | None = None
    answer_ms_p50: float | None = None
    answer_ms_p95: float | None = None
    share: float = 1.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    cached_share: float | None = None

    @property
    def name(self) -> str:
        """`backend/model`, as logs and errors call it."""
        return f"{self.backend}/{self.model}"

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """A backend at one moment.

    Attributes:
        backend: Its name in the policy.
        in_flight: Requests under way there.
        limit: How many it may have at once now; None: the policy sets no `concurrency`.
        waiting: Requests that wait for a slot there.
        attempts: That have ended there, since this router began.
        tokens_in: Prompt tokens of those, reported or estimated; `tokens_out`: completion tokens.
        cost_usd: Of those, as far as it is known: a text, exact.
        cost_unknown: How many of them may have cost something that we do not know.
        cost_drift: How far our cost is from the backend's own, as a share of that, over the attempts of which
            it said one: -0.1 is a tenth less; None: it said none.
        average_usd_per_mtok: What a million tokens costs there at present use (`capacity`); None: not known.
        utilisation: Share of what it can process; None: not known.
        awake_in_s: Until it is expected to be awake; None: it is, or never sleeps (`cold_start`).
        machines_usd_per_hour: What its machines cost, whatever they do (`capacity`, hidden costs included);
            None: the policy does not say.
        running: Requests that it works on, whoever sent them, as is believed; None: unknown, or nothing looks
            at its load. So are those that follow.
        queued: Requests in its own queue, whoever sent them.
        kv_used: Share of its KV cache in use, 0 to 1.
        wait_s: How long a new request would wait in its queue.
        saturated: Why it has as much to do as it can take; empty: it has not.
        stale: Whether it told something once, and not lately.
        tokens_per_s: Tokens that it was measured to process at its present load, prompt and completion.
        tokens_per_s_best: The most that it kept up.
        cache_hit_rate: Share of prompt tokens that it found in its prefix cache lately, as it tells.
    """

    backend: str
    in_flight: int = 0
    limit: int | None = None
    waiting: int = 0
    attempts: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: str = "0"
    cost_unknown: int = 0
    cost_drift: float | None = None
    average_usd_per_mtok: float | None = None
    utilisation: float | None = None
    awake_in_s: float | None = None
    machines_usd_per_hour: float | None = None
    running: float | None = None
    queued: float | None = None
    kv_used: float | None = None
    wait_s: float | None = None
    saturated: str = ""
    stale: bool = False
    tokens_per_s: float | None = None
    tokens_per_s_best: float | None = None
    cache_hit_rate: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


def backend_rows(policy: Policy, fleet: Fleet | None) -> tuple[BackendStatus, ...]:
    """Return the backends, in the order of the policy; None: nothing was sent yet."""
    if fleet is None:
        return tuple(
            BackendStatus(name, machines_usd_per_hour=_machines_usd_per_hour(backend))
            for name, backend in policy.backends.items()
        )
    in_flight = fleet.in_flight_by_backend
    rows = []
    for name in policy.backends:
        limit, waiting = fleet.slots.seen(name) or (None, 0)
        back_in_s = fleet.warmths.back_in_s(name)
        awake_in_s = None if back_in_s is None else round(back_in_s, 1)
        total, fixed = fleet.totals.seen(name), fleet.uses.price_of(policy.backends[name])
        average = None if fixed is None else fixed.average_usd_per_mtok
        rows.append(
            BackendStatus(
                name,
                in_flight.get(name, 0),
                limit,
                waiting,
                attempts=total.attempts,
                tokens_in=total.tokens_in,
                tokens_out=total.tokens_out,
                cost_usd=f"{total.usd:f}",
                cost_unknown=total.unknown,
                cost_drift=None if total.drift is None else round(total.drift, 6),
                average_usd_per_mtok=None if average is None else round(float(average), 4),
                utilisation=None if fixed is None else fixed.utilisation,
                awake_in_s=awake_in_s,
                machines_usd_per_hour=_machines_usd_per_hour(policy.backends[name]),
                **_load(name, fleet),
            )
        )
    return tuple(rows)


def _load(name: str, fleet: Fleet) -> dict[str, Any]:
    """Return what is known of its load; nothing, if no decision looks at it."""
    seen = fleet.loads.seen(name)
    if seen is None:
        return {}
    one, load = seen
    running, best = load.belief.running, one.throughput.best
    return {
        "running": _rounded(running),
        "queued": _rounded(load.belief.waiting),
        "kv_used": _rounded(load.kv_used, 3),
        "wait_s": _rounded(load.wait_s, 2),
        "saturated": load.saturated,
        "stale": load.stale,
        "tokens_per_s": _rounded(one.throughput.at(running or 0.0)),
        "tokens_per_s_best": _rounded(best or None),
        "cache_hit_rate": _rounded(one.cache_hit_rate, 3),
    }


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)


def _machines_usd_per_hour(backend: Backend) -> float | None:
    capacity = backend.capacity
    if capacity is None:
        return None
    return round(float((capacity.usd_per_month + capacity.hidden_usd_per_month) / HOURS_A_MONTH), 4)


def candidate_rows(
    policy: Policy, fleet: Fleet | None, *, now_s: float
) -> tuple[CandidateStatus, ...]:
    """Return the candidates of every model, in the order of the policy."""
    return tuple(
        _untried(candidate) if fleet is None else _row(candidate, fleet, now_s)
        for candidates in policy.candidates.values()
        for candidate in candidates
    )


def models_in_panic(rows: tuple[CandidateStatus, ...]) -> tuple[str, ...]:
    """Return the models of which every candidate is refused."""
    served = dict.fromkeys(row.model for row in rows)
    return tuple(
        model for model in served if all(row.refused for row in rows if row.model == model)
    )


def _untried(candidate: Candidate) -> CandidateStatus:
    return CandidateStatus(candidate.backend.name, candidate.model.name)


def _row(candidate: Candidate, fleet: Fleet, now_s: float) -> CandidateStatus:
    record = fleet.remembered(candidate)
    if record is not None:
        record.count_good()
    state = BreakerState() if record is None else record.breaker
    failed = None if record is None else record.failed
    cached = NOTHING_TOLD if record is None else record.cached
    closed = fleet.gate(candidate)
    share = fleet.returns.share(candidate.name)
    sums = totals(state.window, now_s)
    words = []
    gate_ends_s = None
    if closed is not None:
        gate_ends_s = max(0.0, closed.until_s - now_s)
        words.append(f"{closed.words}, {spell_s(gate_ends_s)} left")
    words += _breaker_words(state, failed, now_s)
    if share < 1.0:
        words.append(f"gets its share back: {share:.0%}")
    first_tokens, answers = fleet.latencies.seen(candidate.name)
    return CandidateStatus(
        candidate.backend.name,
        candidate.model.name,
        breaker=state.phase.value,
        refused=closed is not None or refuses(state, now_s),
        reason="; ".join(words),
        probe_in_s=_probe_in_s(state, now_s),
        openings=state.openings,
        failures_in_row=state.row if state.phase is Phase.CLOSED else 0,
        attempts=sums.attempts,
        failures=sums.failures,
        slow=sums.slow,
        last_failure=None if failed is None else failed[0],
        last_failure_ago_s=None if failed is None else round(max(0.0, now_s - failed[1]), 1),
        gate=None if closed is None else closed.gate.value,
        gate_after=None if closed is None else closed.failure.label,
        gate_ends_s=None if gate_ends_s is None else round(gate_ends_s, 1),
        pace_ms=_pace_ms(None if record is None else record.pace, now_s),
        first_token_pace_ms=_pace_ms(None if record is None else record.first_token_pace, now_s),
        first_token_ms_p50=_ms(first_tokens, 50),
        first_token_ms_p95=_ms(first_tokens, 95),
        answer_ms_p50=_ms(answers, 50),
        answer_ms_p95=_ms(answers, 95),
        share=round(share, 2),
        prompt_tokens=cached.prompt_tokens,
        cached_tokens=cached.cached_tokens,
        cached_share=None if cached.share_lately is None else round(cached.share_lately, 3),
    )


def _breaker_words(
    state: BreakerState, failed: tuple[str, float] | None, now_s: float
) -> list[str]:
    last = "" if failed is None else f", last {failed[0]}"
    if state.phase is Phase.CLOSED:
        return [f"failures in a row: {state.row}{last}"] if state.row else []
    if state.phase is Phase.OPEN:
        left_s = state.until_s - now_s
        when = f"probe in {spell_s(left_s)}" if left_s > 0 else "the next request is a probe"
        return [f"open{last}; {when}"]
    good = f"{state.row} of {_PROBES} probes good"
    if refuses(state, now_s):
        return [f"a probe is under way, {good}"]
    return [f"{good}, the next request is a probe"]


def _probe_in_s(state: BreakerState, now_s: float) -> float | None:
    if state.phase is Phase.CLOSED:
        return None
    return round(state.until_s - now_s, 1) if refuses(state, now_s) else 0.0


def _pace_ms(pace: Pace | None, now_s: float) -> float | None:
    return None if pace is None else round(faded_s(pace, now_s) * 1e3, 1)


def _ms(percentiles: Mapping[int, float], rank: int) -> float | None:
    found = percentiles.get(rank)
    return None if found is None else round(found, 1)


def spell_s(seconds: float) -> str:
    """Show seconds to people."""
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
