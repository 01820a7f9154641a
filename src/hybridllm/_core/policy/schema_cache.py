"""What may stand in a route's `cache`, as pydantic models: the shape only."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from hybridllm._core.policy import units
from hybridllm._core.policy.fields import RequestS
from hybridllm._core.policy.spec import Spec

BYTES = (1 << 16, 1 << 36)
ENTRIES = (1, 10_000_000)
_SIZE = re.compile(r"([0-9]{1,12}) ?([KMG]?)\Z")
_GROUPED = re.compile(r"[0-9]{1,3}(?:_[0-9]{3})+\Z")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def _size(value: object) -> int:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    match = _SIZE.match(text)
    if match is None:
        raise ValueError("is not a size; write 64M (67,108,864 bytes) or 512K")
    size = int(match[1]) * _UNITS[match[2]]
    if not BYTES[0] <= size <= BYTES[1]:
        raise ValueError("is out of range: from 64K to 64G")
    return size


def _entries(value: object) -> int:
    if isinstance(value, str) and _GROUPED.match(value):
        value = value.replace("_", "")
    try:
        entries = units.count(value)
    except ValueError:
        raise ValueError("is not a number of answers; write 10000 or 10K") from None
    if not ENTRIES[0] <= entries <= ENTRIES[1]:
        raise ValueError(f"is out of range: from {ENTRIES[0]} to {ENTRIES[1]:,}")
    return entries


Size = Annotated[int, BeforeValidator(_size, json_schema_input_type=int | str)]
Entries = Annotated[int, BeforeValidator(_entries, json_schema_input_type=int | str)]


class CacheSpec(Spec):
    """Answers that are kept in this process's memory, for requests that are equal in every respect."""

    ttl: RequestS = Field(default=Decimal(3_600), description="How long one is kept. Default: 1h.")
    entries: Entries = Field(default=10_000, description="How many, at most; the least used goes.")
    bytes: Size = Field(
        default=1 << 26, description="How large all of them are, at most. Default: 64M."
    )
    when: Literal["temperature_0", "always"] = Field(
        default="temperature_0",
        description="Which requests: those with `temperature: 0` and embeddings, or all, also those that "
        "are answered by chance.",
    )
