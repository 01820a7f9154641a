"""A key of an answer's envelope that comes twice."""

from __future__ import annotations

import pytest

from hybridllm._core.wire.repeated import repeats_a_key

ANSWER = (
    b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "a"},'
    b' "finish_reason": "stop"}]}'
)
SCORED = ANSWER.replace(b'"finish_', b'"logprobs": {"content": []}, "finish_')


@pytest.mark.parametrize(
    ("body", "repeats"),
    [
        pytest.param(ANSWER, False, id="none"),
        pytest.param(ANSWER.replace(b'"choices"', b'"choices": [], "choices"'), True, id="choices"),
        pytest.param(ANSWER.replace(b'"message"', b'"message": {}, "message"'), True, id="message"),
        pytest.param(ANSWER.replace(b'"content"', b'"content": "b", "content"'), True, id="content"),
        pytest.param(
            ANSWER.replace(b'"finish_reason"', b'"finish_reason": 1, "finish_reason"'), True, id="end"
        ),
        pytest.param(ANSWER.replace(b'"a"', rb'"\"content\": \"content\""'), False, id="in-a-text"),
        pytest.param(ANSWER.replace(b'"a"', b'"a", "x": {"content": 1}'), False, id="elsewhere"),
        pytest.param(ANSWER[:-1] + b', "x": [{"message": 1}, {"message": 1}]}', False, id="in-two-objects"),
        pytest.param(ANSWER[:-1] + b', "x": 1, "x": 2}', False, id="not-of-the-envelope"),
        pytest.param(SCORED, False, id="logprobs"),
        pytest.param(SCORED.replace(b'"message"', b'"message": {}, "message"'), True, id="beside-logprobs"),
    ],
)  # fmt: skip
def test_a_key_that_comes_twice_is_seen(body: bytes, repeats: bool) -> None:
    """In the envelope; not in texts, and not where one object has what another has too."""
    scored = int(b"logprobs" in body)
    assert repeats_a_key(body, choices=1, logprobs=scored) is repeats
