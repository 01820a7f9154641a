"""Whether an answer says one thing twice: a key of the envelope that comes twice in its object.

Parsers disagree on which of the two counts, so something between the backend and us may have seen
another answer than the caller would. Counting comes first, as nearly every answer is beyond suspicion
then; only the others are parsed once more. Keys in strings do not count: their quotes are escaped.
"""

from __future__ import annotations

import json
from typing import Any


def repeats_a_key(body: bytes, *, choices: int, logprobs: int) -> bool:
    """Return whether the body of a chat completion repeats a key of its envelope.

    Args:
        body: JSON, not nested too deeply for a parser that recurses.
        choices: How many the parsed answer has.
        logprobs: How many of them have log probabilities; these have a `content` of their own.
    """
    if (
        body.count(b'"choices"') <= 1
        and body.count(b'"content"') <= choices + logprobs
        and body.count(b'"message"') <= choices
        and body.count(b'"finish_reason"') <= choices
    ):
        return False
    try:
        json.loads(body.decode(), object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        return True
    return False


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key comes twice")
