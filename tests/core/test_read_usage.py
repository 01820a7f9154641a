"""What a backend says it used is a count, or it is unknown."""

from __future__ import annotations

import pytest

from hybridllm._core.money.read_usage import read_usage
from hybridllm._core.money.usage import TOKENS_MAX, Usage


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param({"prompt_tokens": 3, "completion_tokens": 2}, Usage(3, 2), id="plain"),
        pytest.param({"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0), id="zero"),
        pytest.param({"prompt_tokens": 3.0, "completion_tokens": 2.0}, Usage(3, 2), id="floats"),
        pytest.param({"prompt_tokens": 3, "total_tokens": 3}, Usage(3, 0), id="embeddings"),
        pytest.param({"prompt_tokens": 3, "total_tokens": 8}, Usage(3, 5), id="rest-of-total"),
        pytest.param(
            {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": None,
             "completion_tokens_details": None}, Usage(9, 5), id="details-null"),
        pytest.param(
            {"prompt_tokens": 9, "completion_tokens": 5,
             "prompt_tokens_details": {"cached_tokens": 9},
             "completion_tokens_details": {"reasoning_tokens": 4}},
            Usage(9, 5, cached_input_tokens=9, reasoning_tokens=4), id="details"),
        pytest.param(
            {"prompt_tokens": 9, "completion_tokens": 5,
             "prompt_tokens_details": {"cached_tokens": 10},
             "completion_tokens_details": {"reasoning_tokens": 6}},
            Usage(9, 5), id="parts-larger-than-the-whole"),
        pytest.param(
            {"prompt_tokens": 9, "completion_tokens": 5,
             "prompt_tokens_details": {"cached_tokens": -1}, "completion_tokens_details": [4]},
            Usage(9, 5), id="odd-details"),
        pytest.param({"prompt_tokens": TOKENS_MAX, "completion_tokens": 0}, Usage(TOKENS_MAX, 0),
                     id="at-limit"),
        pytest.param({"prompt_tokens": TOKENS_MAX + 1, "completion_tokens": 0}, None, id="over"),
        pytest.param(None, None, id="null"),
        pytest.param([], None, id="list"),
        pytest.param({}, None, id="empty"),
        pytest.param({"completion_tokens": 2}, None, id="no-prompt-tokens"),
        pytest.param({"prompt_tokens": 3}, None, id="absent-is-not-zero"),
        pytest.param({"prompt_tokens": 3, "total_tokens": 2}, None, id="total-below-prompt"),
        pytest.param({"prompt_tokens": 3, "completion_tokens": -5}, None, id="negative"),
        pytest.param({"prompt_tokens": True, "completion_tokens": 2}, None, id="true"),
        pytest.param({"prompt_tokens": "3", "completion_tokens": 2}, None, id="text"),
        pytest.param({"prompt_tokens": 3, "completion_tokens": 2.5}, None, id="half"),
        pytest.param({"prompt_tokens": 3, "completion_tokens": float("nan")}, None, id="nan"),
        pytest.param({"prompt_tokens": 3, "completion_tokens": float("inf")}, None, id="inf"),
        pytest.param({"prompt_tokens": 3, "completion_tokens": "x", "total_tokens": 5}, None,
                     id="a-lie-is-not-replaced"),
    ],
)  # fmt: skip
def test_usage_is_a_count_or_unknown(usage: object, expected: Usage | None) -> None:
    """Absent is not zero, and nothing is believed that no tokenizer could have counted."""
    assert read_usage(usage) == expected
