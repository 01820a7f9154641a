"""What the caller is told when no answer can be had. Messages hold names and reasons, never content."""

from __future__ import annotations

from hybridllm._core.receipt import RequestOutcome
from hybridllm._core.resilience.next_step import GiveUp, GiveUpReason
from hybridllm._runtime.run import Run
from hybridllm.errors import DeadlineExceeded, RequestFailed, RequestRejected, RouteExhausted


def failed(run: Run, verdict: GiveUp, *, now_s: float) -> RequestFailed:
    """Settle a request that got no answer, and return the error to raise."""
    if run.seam is not None:
        return run.seam.gave_up()
    match verdict.reason:
        case GiveUpReason.REJECTED:
            return _rejected(run, now_s)
        case GiveUpReason.DEADLINE:
            return _late(run, now_s)
        case GiveUpReason.EXHAUSTED | GiveUpReason.ATTEMPTS:
            return _exhausted(run, now_s)


def _rejected(run: Run, now_s: float) -> RequestFailed:
    place, failure = run.failures[-1]
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


def _exhausted(run: Run, now_s: float) -> RequestFailed:
    receipt = run.settle(RequestOutcome.ERROR, now_s=now_s, error="all_backends_failed")
    last = run.failures[-1][1] if run.failures else None
    return RouteExhausted(
        f"no candidate of route {run.plan.route!r} answered: {_history(run)}",
        route=run.plan.route,
        failures=_failures(run),
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
