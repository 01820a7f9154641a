"""What the caller is told when no answer can be had. Messages hold names and reasons, never content."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Sequence
from dataclasses import dataclass

from hybridllm._core.policy.compiled import Candidate
from hybridllm._core.receipt import RequestOutcome
from hybridllm._core.resilience.next_step import GiveUp, GiveUpReason
from hybridllm._core.resilience.outcome import Failure, Next
from hybridllm._runtime.run import Run
from hybridllm.errors import (
    BackendsUnavailable,
    DeadlineExceeded,
    HybridLLMError,
    Overloaded,
    RequestFailed,
    RequestRejected,
    RouteExhausted,
    RouterClosed,
    WarmingUp,
)


@dataclass(frozen=True, slots=True)
class Refused:
    """A candidate that cannot be asked now.

    Attributes:
        words: Why, in words of ours.
        failure: What closed its gate; None: its breaker is open.
    """

    candidate: Candidate
    words: str
    failure: Failure | None = None


def failed(
    run: Run,
    verdict: GiveUp,
    *,
    now_s: float,
    refused: Sequence[Refused] = (),
    back_in_s: float = 0.0,
) -> RequestFailed:
    """Settle a request that got no answer, and return the error to raise.

    Args:
        run: The request.
        verdict: Why no further attempt is made.
        now_s: Monotonic.
        refused: Who could not be asked, and why.
        back_in_s: When the first of them will be asked again.
    """
    if run.seam is not None:
        return run.seam.gave_up(verdict.reason)
    match verdict.reason:
        case GiveUpReason.REJECTED:
            return _rejected(run, now_s)
        case GiveUpReason.DEADLINE:
            return _late(run, now_s)
        case GiveUpReason.UNAVAILABLE:
            return _unavailable(run, now_s, refused, back_in_s)
        case GiveUpReason.EXHAUSTED | GiveUpReason.ATTEMPTS | GiveUpReason.BUDGET:
            return _exhausted(run, now_s, refused, budget=verdict.reason is GiveUpReason.BUDGET)


def settle_unsent(run: Run, error: HybridLLMError, *, now_s: float) -> None:
    """Settle a request that cannot be sent, or whose router was closed; unless it is settled."""
    if not run.settled:
        label = "router_closed" if isinstance(error, RouterClosed) else "invalid_request"
        run.settle(RequestOutcome.ERROR, now_s=now_s, error=label)


def settle_early(run: Run, error: BaseException, *, now_s: float) -> None:
    """Settle a request that was cancelled, or met a bug; unless it is settled."""
    if not run.settled:
        cancelled = isinstance(error, CancelledError)
        run.settle(
            RequestOutcome.CANCELLED if cancelled else RequestOutcome.ERROR,
            now_s=now_s,
            error=None if cancelled else type(error).__name__,
        )


def _rejected(run: Run, now_s: float) -> RequestFailed:
    place, failure = next(one for one in run.failures if one[1].next is Next.STOP)
    backend = run.plan.kept[place].candidate.backend.name
    receipt = run.settle(RequestOutcome.REJECTED, now_s=now_s, error=failure.label)
    said = f": {failure.message}" if failure.message else ""
    return RequestRejected(
        f"backend {backend!r} refused the request ({failure.label}){said}",
        receipt=receipt,
        status_code=failure.status_code,
        code=failure.code,
        param=failure.param,
    )


def _late(run: Run, now_s: float) -> RequestFailed:
    receipt = run.settle(RequestOutcome.DEADLINE, now_s=now_s, error="deadline_exceeded")
    return DeadlineExceeded(
        f"no answer within the deadline of {run.deadline_s:g} s: {_history(run)}",
        deadline_s=run.deadline_s,
        receipt=receipt,
    )


def overloaded(
    run: Run, backends: Sequence[str], *, retry_after_s: float, now_s: float
) -> RequestFailed:
    """Settle a request that got no slot, and return the error to raise."""
    if run.seam is not None:
        return run.seam.gave_up("no free slot")
    receipt = run.settle(RequestOutcome.ERROR, now_s=now_s, error="overloaded")
    return Overloaded(
        f"no free slot on {', '.join(backends)} (concurrency or saturation in the policy); try again in "
        f"{retry_after_s:.1f} s",
        retry_after_s=retry_after_s,
        receipt=receipt,
        status_code=429,
    )


def warming_up(
    run: Run, backends: Sequence[str], *, back_in_s: float, now_s: float
) -> RequestFailed:
    """Settle a request that only a backend which wakes up may answer, and return the error to raise."""
    if run.seam is not None:
        return run.seam.gave_up("the backend sleeps")
    receipt = run.settle(RequestOutcome.ERROR, now_s=now_s, error="warming_up")
    names = ", ".join(backends)
    return WarmingUp(
        f"nobody of route {run.plan.route!r} but {names} may answer, which is waking up; try again in "
        f"{back_in_s:.0f} s, or let requests wait for it (cold_start.when_cold: wait)",
        route=run.plan.route,
        failures=[*_failures(run), *((name, "waking up") for name in backends)],
        retry_after_s=back_in_s,
        receipt=receipt,
    )


def _unavailable(
    run: Run, now_s: float, refused: Sequence[Refused], back_in_s: float
) -> RequestFailed:
    receipt = run.settle(RequestOutcome.ERROR, now_s=now_s, error="backends_unavailable")
    parts = []
    for one in refused:
        said = f": {one.failure.message}" if one.failure is not None and one.failure.message else ""
        parts.append(f"{one.candidate.name} ({one.words}{said})")
    # Where gates alone stand in the way, the error is what closed them: a 429 is still a RateLimitError.
    last = refused[0].failure if all(one.failure is not None for one in refused) else None
    why = ", ".join(parts)
    return BackendsUnavailable(
        f"nobody of route {run.plan.route!r} can be asked now: {why}; the first of them is asked again in "
        f"{back_in_s:.1f} s",
        route=run.plan.route,
        failures=[(one.candidate.backend.name, one.words) for one in refused],
        retry_after_s=back_in_s,
        receipt=receipt,
        status_code=last.status_code if last is not None else None,
        code=last.code if last is not None else None,
    )


def _exhausted(
    run: Run, now_s: float, refused: Sequence[Refused], *, budget: bool
) -> RequestFailed:
    """Everybody failed, or was refused and not asked."""
    tried = {run.plan.kept[place].candidate.name for place, _ in run.failures}
    passed_over = [one for one in refused if one.candidate.name not in tried]
    others = "".join(f", {one.candidate.name} ({one.words})" for one in passed_over)
    receipt = run.settle(RequestOutcome.ERROR, now_s=now_s, error="all_backends_failed")
    last = run.failures[-1][1] if run.failures else None
    spent = "; the retry budget of this router is spent (retries.budget)" if budget else ""
    return RouteExhausted(
        f"no candidate of route {run.plan.route!r} answered: {_history(run)}{others}{spent}",
        route=run.plan.route,
        failures=[
            *_failures(run),
            *((one.candidate.backend.name, one.words) for one in passed_over),
        ],
        budget_exhausted=budget,
        receipt=receipt,
        status_code=last.status_code if last is not None else None,
        code=last.code if last is not None else None,
    )


def _failures(run: Run) -> list[tuple[str, str]]:
    return [
        (run.plan.kept[place].candidate.backend.name, failure.label)
        for place, failure in run.failures
    ]


def _history(run: Run) -> str:
    """`eu/qwen3-8b (503: busy), us/qwen3-8b (connect: refused)`."""
    parts = []
    for place, failure in run.failures:
        said = f": {failure.message}" if failure.message else ""
        parts.append(f"{run.plan.kept[place].candidate.name} ({failure.label}{said})")
    return ", ".join(parts) or "nobody was asked"
