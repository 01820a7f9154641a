"""Whole requests played against every failure: they end within their limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.decide.plan import Kept
from hybridllm._core.policy.compiled import Backend, BackendKind, Candidate, Model
from hybridllm._core.receipt import AttemptReason
from hybridllm._core.resilience.next_step import (
    ATTEMPT_S_MIN,
    GiveUp,
    GiveUpReason,
    next_step,
)
from hybridllm._core.resilience.outcome import BreakerEffect, Failure, FailureKind, Next
from hybridllm._core.resilience.standing import Standing


def kept(names: list[str]) -> tuple[Kept, ...]:
    """`eu/big`, `us/big`, `eu/small`: every model but the first is a fallback."""
    entries = []
    for name in names:
        backend, model = name.split("/")
        candidate = Candidate(
            Backend(backend, BackendKind.API, f"https://{backend}.test/v1"), Model(model), model
        )
        entries.append(Kept(candidate, model != names[0].split("/")[1], "test"))
    return tuple(entries)


def failed(then: Next, cool_off_s: float | None = None, *, whole_backend: bool = False) -> Failure:
    return Failure(
        FailureKind.STATUS,
        then,
        BreakerEffect.FAILURE,
        "x",
        cool_off_s=cool_off_s,
        cool_off_backend=whole_backend,
    )


STOP, STALE = failed(Next.STOP), failed(Next.SAME_ONCE)
FAILURES = (
    STOP,
    STALE,
    STALE,
    failed(Next.ELSEWHERE),
    failed(Next.RETRY),
    failed(Next.RETRY),
    failed(Next.RETRY, 1.1),
    failed(Next.ELSEWHERE, 60.0, whole_backend=True),
)

worlds = st.lists(
    st.sampled_from(("a/m", "b/m", "c/m", "a/n", "b/n", "c/n")), min_size=1, max_size=6, unique=True
)
outcomes = st.sampled_from(FAILURES)


@given(
    worlds,
    st.data(),
    st.integers(0, 4),
    st.integers(1, 8),
    st.floats(0, 100),
    st.floats(0, 1),
)
def test_any_request_ends_within_its_limits(
    names: list[str],
    data: st.DataObject,
    retries_max: int,
    attempts_max: int,
    remaining_s: float,
    jitter: float,
) -> None:
    """Plays whole requests against every failure and every refusal.

    It ends; only the plan's candidates are asked; attempts, repeats and time are bounded; a rejected
    request is asked of nobody else; a refused candidate is asked in panic only, or after its own gate.
    """
    entries = kept(names)
    failures: list[tuple[int, Failure]] = []
    stale: set[int] = set()
    refused = st.frozensets(st.integers(0, len(entries) - 1))
    for _ in range(attempts_max + len(entries) + 1):
        gated = data.draw(refused)
        cooling = gated & data.draw(refused)
        found = next_step(
            kept=entries,
            failures=failures,
            standing=Standing(dict.fromkeys(gated, "test"), dict.fromkeys(cooling, 30.0)),
            retries_max=retries_max,
            attempts_max=attempts_max,
            remaining_s=remaining_s,
            jitter=jitter,
        )
        if isinstance(found, GiveUp):
            break
        tried = [index for index, _ in failures]
        assert 0 <= found.index < len(entries)
        assert found.after_s >= 0
        assert remaining_s - found.after_s >= ATTEMPT_S_MIN
        assert (found.reason is AttemptReason.RETRY) is (found.index in tried)
        assert tried.count(found.index) <= retries_max + 1
        if found.index in gated:
            last = dict(failures).get(found.index)
            assert found.panic or (last is not None and last.cool_off_s is not None)
        if found.panic:
            assert found.index in gated
            assert found.index not in tried
        backends_off = {
            entries[index].candidate.backend.name for index, f in failures if f.cool_off_backend
        }
        assert entries[found.index].candidate.backend.name not in backends_off
        if not failures:
            assert found.panic is (len(gated) == len(entries))
        remaining_s -= found.after_s
        failures.append((found.index, data.draw(outcomes)))
        if failures[-1][1] is STALE:
            stale.add(found.index)
    else:
        pytest.fail("the request never ended")
    if any(failure is STOP for _, failure in failures):
        assert found.reason is GiveUpReason.REJECTED
        assert [failure for _, failure in failures].index(STOP) == len(failures) - 1
    assert len(failures) <= attempts_max + len(stale)
