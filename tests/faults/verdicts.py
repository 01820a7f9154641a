"""What a caller saw of a harmed stream, and whether he may have seen that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from faults.harms import Harm
from faults.recordings import Said
from hybridllm import DeadlineExceeded, Receipt, RequestFailed, Router, StreamInterrupted, receipt
from hybridllm._core.receipt import RequestOutcome
from runtime.world import MESSAGES

ELSEWHERE = "\u0398\u03b1\u03bb\u03ae\u03c2 answers instead"
"""What the healthy backend says; no recording holds a word of it."""


@dataclass
class Seen:
    """What a caller saw.

    Attributes:
        said: All that was handed out.
        error: What ended it; None: it was reported as complete.
        begun: Whether the stream was handed out at all.
    """

    said: Said
    error: RequestFailed | None
    begun: bool
    receipt: Receipt


async def read(router: Router, answers: int) -> Seen:
    """Make one call and read its stream to its end."""
    said = Said()
    begun = False
    try:
        stream: Any = await router.chat.completions.create(
            task="t", messages=MESSAGES, stream=True, n=answers
        )
        begun = True
        async with stream:
            async for chunk in stream:
                said.hear_object(chunk)
    except RequestFailed as error:
        return Seen(said, error, begun, receipt(error))
    return Seen(said, None, begun, stream.receipt)


def verdict(seen: Seen, harm: Harm, *, alone: bool) -> str:
    """Return how it ended: `whole`, `elsewhere`, `interrupted` or `failed`; fail if that was wrong."""
    attempts = [(attempt.backend, attempt.error) for attempt in seen.receipt.attempts]
    assert seen.receipt.outcome is not RequestOutcome.OK or seen.error is None
    if seen.error is None:
        assert seen.receipt.outcome is RequestOutcome.OK
        assert seen.said.whole
        if attempts[-1] == ("us", None):
            assert attempts[0][1] is not None
            assert seen.said.texts == {(0, "content"): ELSEWHERE}
            return "elsewhere"
        assert attempts == [("eu", None)]
        assert harm.said.whole
        assert seen.said == harm.said
        return "whole"
    if seen.begun:
        assert isinstance(seen.error, StreamInterrupted | DeadlineExceeded)
        assert [backend for backend, _ in attempts] == ["eu"]  # nobody else went on with it
        assert seen.said.begins(harm.said)
        if isinstance(seen.error, StreamInterrupted):
            assert seen.error.partial_text.startswith(seen.said.text)
            assert harm.said.text.startswith(seen.error.partial_text)
            assert seen.error.tokens_seen > 0
        return "interrupted"
    assert alone
    assert seen.said == Said()
    return "failed"
