"""Rows as lines of a journal: each with a checksum, so that one that a crash cut off is seen.

    a 5f3759df ["9f..e1-1","9f..e1",1,...]

`a` is an attempt, `r` a request; the checksum is CRC-32 of what follows it, 8 hex digits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_type_hints
from zlib import crc32

from pydantic_core import to_json

from hybridllm._core.ledger.rows import AttemptRow, RequestRow

HEADER = b"hybridllm-ledger-journal 1\n"
"""The first line of a journal."""

Row = AttemptRow | RequestRow
_INTEGER_MAX = 2**63 - 1  # of a database
_KINDS: Mapping[type, Sequence[tuple[type, ...]]] = {
    row: [getattr(kind, "__args__", (kind,)) for kind in get_type_hints(row).values()]
    for row in (AttemptRow, RequestRow)
}
"""Of each row, what its fields may be: what is something else stops a database for all rows after it."""


@dataclass(slots=True)
class Lines:
    """What a journal holds.

    Attributes:
        rows: In the order they were written.
        torn: Whether its last line was cut off.
        damaged: How many lines are not as they were written.
    """

    rows: list[Row] = field(default_factory=list)
    torn: bool = False
    damaged: int = 0


def attempt_line(row: AttemptRow) -> bytes:
    """Return an attempt as a line."""
    text = _encoded(row)
    return b"a %08x %b\n" % (crc32(text), text)


def request_line(row: RequestRow) -> bytes:
    """Return a request as a line."""
    text = _encoded(row)
    return b"r %08x %b\n" % (crc32(text), text)


def _encoded(row: Row) -> bytes:
    try:
        return to_json(tuple(row))  # half of what it takes for a row: it would ask what a row is
    except ValueError:  # half of a character, in a caller's tenant
        return json.dumps(row, separators=(",", ":")).encode()


def read_lines(lines: Iterable[bytes]) -> Lines:
    """Return what the lines hold, given without their ends and without the header."""
    found = Lines()
    for line in lines:
        row = _row(line)
        if row is None:
            found.damaged += 1
        else:
            found.rows.append(row)
    return found


def _row(line: bytes) -> Row | None:
    kind, checksum, text = line[:2], line[2:10], line[11:]
    if line[10:11] != b" " or b"%08x" % crc32(text) != checksum:
        return None
    try:
        values: Any = json.loads(text)
        row = AttemptRow(*values) if kind == b"a " else RequestRow(*values)
    except (TypeError, ValueError, RecursionError):
        return None  # of another version
    return row if odd_field(row) is None else None


def odd_field(row: Row) -> str | None:
    """Return the name of a field that holds what it cannot; None: none does."""
    for name, value, kinds in zip(row._fields, row, _KINDS[type(row)], strict=True):
        if value.__class__ not in kinds:
            return name
    return None


def storable(row: Any) -> Any:
    """Return a row as every database can take it: whole numbers of 64 bits, texts of characters.

    A caller's tenant may hold a NUL, or half of a character; a backend's count may be beyond all bounds.
    """
    return row._make([_storable(value) for value in row])


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    return max(-_INTEGER_MAX, min(_INTEGER_MAX, value)) if isinstance(value, int) else value
