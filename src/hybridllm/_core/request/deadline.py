"""How long a caller of ours will wait, as the headers of its request say: for applications behind a proxy.

Headers are text from outside: what is not a finite time above 0 is no time at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from hybridllm._core.request.hints import DEADLINE_S_MAX

_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?\Z")
_GRPC = re.compile(r"([0-9]{1,8})([HMSmun])\Z")
_GRPC_UNIT_S = {"H": 3_600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def deadline_from(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds the sender of a request waits, or None if its headers do not say.

    Reads `grpc-timeout`, `x-envoy-expected-rq-timeout-ms`, `x-request-timeout-ms` and `x-stainless-timeout`
    (which openai's clients send, in seconds); where several say so, the shortest holds. For
    `with context(deadline_s=deadline_from(request.headers))`.

    Args:
        headers: Of the request that your application serves; names in any case.
    """
    found = [
        seconds
        for name, value in headers.items()
        if (read := _READERS.get(name.lower())) is not None
        and (seconds := read(value.strip())) is not None
        and 0 < seconds <= DEADLINE_S_MAX
    ]
    return min(found, default=None)


def _seconds(value: str) -> float | None:
    return float(value) if _NUMBER.match(value) else None


def _milliseconds(value: str) -> float | None:
    return float(value) / 1e3 if _NUMBER.match(value) else None


def _grpc(value: str) -> float | None:
    found = _GRPC.match(value)
    return None if found is None else int(found[1]) * _GRPC_UNIT_S[found[2]]


_READERS: Mapping[str, Callable[[str], float | None]] = {
    "grpc-timeout": _grpc,
    "x-envoy-expected-rq-timeout-ms": _milliseconds,
    "x-request-timeout-ms": _milliseconds,
    "x-stainless-timeout": _seconds,
}
