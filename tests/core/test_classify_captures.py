"""Every refusal that a real vLLM server was recorded giving."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from captures import Capture, captures
from hybridllm._core.resilience.classify import classify_status
from hybridllm._core.resilience.outcome import Next

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
STOP, ELSEWHERE, RETRY = Next.STOP, Next.ELSEWHERE, Next.RETRY
REFUSALS = [c for c in captures().values() if c.status is not None and c.status != 200]
OVERFLOW_NAMES = ("prompt_fills", "too_long", "over_context", "one_over")


@pytest.mark.parametrize("capture", REFUSALS, ids=[c.name for c in REFUSALS])
def test_every_refusal_of_a_real_server(capture: Capture) -> None:
    """vLLM's own answers: only what is the request's fault stops, and says why."""
    expected = {400: STOP, 401: ELSEWHERE, 404: ELSEWHERE, 405: STOP, 500: RETRY, 503: RETRY}
    asked = capture.request.get("max_tokens") if isinstance(capture.request, dict) else None
    failure = classify_status(
        capture.status or 0,
        headers=dict(capture.headers),
        body=capture.body,
        now_utc=NOW,
        jitter=0.0,
        output_tokens_max=asked if isinstance(asked, int) else None,
    )
    assert failure.next is expected[failure.status_code or 0]
    assert failure.message
    overflow = any(word in capture.name for word in OVERFLOW_NAMES)
    assert (failure.code == "context_length_exceeded") is overflow
