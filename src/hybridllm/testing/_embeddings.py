"""Vectors of a simulated embedding model: unit length, and the same for the same model and text."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from hybridllm.testing._tokens import count_tokens

_DIGEST_BYTES = 64


def embed(model: str, body: Mapping[str, Any], *, dimensions: int) -> list[list[float] | str]:
    """Return the vectors for the request's input: numbers, or base64 of little-endian float32.

    Args:
        model: Two models never give the same vector for a text.
        body: The request's JSON; its `dimensions` goes before the backend's.
        dimensions: The backend's.
    """
    size = body.get("dimensions") or dimensions
    vectors = [_vector(model, _text_of(each), size) for each in inputs(body)]
    if body.get("encoding_format") != "base64":
        return [*vectors]
    return [base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() for vector in vectors]


def inputs(body: Mapping[str, Any]) -> list[str | list[int]]:
    """Return the request's inputs: each a text, or a list of token numbers."""
    given = body.get("input")
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given and isinstance(given[0], int):
        return [given]
    return list(given) if isinstance(given, list) else []


def input_tokens(body: Mapping[str, Any]) -> int:
    """Return how many tokens the inputs have."""
    return sum(map(text_tokens, inputs(body)))


def text_tokens(given: str | list[int]) -> int:
    """Return how many tokens one input has."""
    return count_tokens(given) if isinstance(given, str) else len(given)


def _text_of(given: str | list[int]) -> str:
    return given if isinstance(given, str) else json.dumps(given)


def _vector(model: str, text: str, size: int) -> list[float]:
    raw = [value for _, value in zip(range(size), _numbers(f"{model}\x1f{text}"), strict=False)]
    length = math.sqrt(sum(value * value for value in raw))
    # Rounded to float32, so that both encodings hold the very same numbers.
    exact = struct.pack(f"<{size}f", *(value / length for value in raw))
    return list(struct.unpack(f"<{size}f", exact))


def _numbers(key: str) -> Iterator[float]:
    """Yield numbers from -1 to 1 without an end."""
    block = 0
    while True:
        digest = blake2b(f"{key}\x1f{block}".encode(), digest_size=_DIGEST_BYTES).digest()
        for start in range(0, _DIGEST_BYTES, 4):
            yield int.from_bytes(digest[start : start + 4], "big") / 2**31 - 1.0
        block += 1
