"""The lines of a journal: one fact a line, as JSON, each with its own checksum.

    {"journal":"hybridllm.bulk","version":1,"operation":"chat","crc":"6b0c4a51"}
    {"sent":0,"hash":"9a0364b9e99bb480dd25e1f0284c8555","crc":"..."}    before item 0 is sent
    {"done":0,"paid":{...},"answer":{...},"crc":"..."}                  its answer
    {"failed":1,"paid":{...},"error":"RouteExhausted","crc":"..."}      it got none

A line without its newline was cut off by a crash. Prompts, keys and the texts of errors are in no line; a
backend may quote a prompt in an error.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hybridllm._core.bulk.fingerprint import DIGEST_BYTES
from hybridllm._core.bulk.paid import Paid, paid_from, paid_json

NAME = "hybridllm.bulk"
VERSION = 1

_CRC = re.compile(rb',"crc":"([0-9a-f]{8})"}\n?\Z')
_ANSWER = b',"answer":'
_HEAD = re.compile(
    rb'\{"(?:sent":(\d{1,15}),"hash":"([0-9a-f]{%d})"|(done|failed)":(\d{1,15}),)'
    % (2 * DIGEST_BYTES)
)


class Kind(StrEnum):
    """What a line says of an item."""

    SENT = "sent"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Entry:
    """The head of a line: what is needed to know where an item stands.

    Attributes:
        digest: Of the request; of an intent only.
        paid: Of a failure only. What an answer cost is read with the answer.
    """

    kind: Kind
    index: int
    digest: bytes | None = None
    paid: Paid | None = None


def header_line(operation: str) -> bytes:
    """Return the first line of a journal."""
    return _line({"journal": NAME, "version": VERSION, "operation": operation})


def sent_line(index: int, digest: bytes) -> bytes:
    """Return the intent to send an item."""
    return _line({"sent": index, "hash": digest.hex()})


def done_line(index: int, answer: bytes, paid: Paid) -> bytes:
    """Return the answer to an item; `answer` is JSON without a line break."""
    head = json.dumps({"done": index, "paid": paid_json(paid)}, separators=(",", ":"))
    return _checked(head[:-1].encode() + _ANSWER + answer + b"}")


def failed_line(index: int, error: str, paid: Paid) -> bytes:
    """Return that an item has no answer; `error` is the name of a class."""
    return _line({"failed": index, "paid": paid_json(paid), "error": error})


def read_header(line: bytes) -> str:
    """Return the operation that a journal is of.

    Raises:
        ValueError: If the line is not the first one of a journal that this version can read.
    """
    try:
        said = json.loads(line)
    except ValueError:
        said = None
    if not isinstance(said, dict) or said.get("journal") != NAME:
        raise ValueError("this is not a journal of hybridllm; choose another file")
    check(line)
    if said.get("version") != VERSION:
        raise ValueError(
            f"the journal has version {said['version']!r}; this release reads {VERSION}"
        )
    return str(said.get("operation"))


def read_entry(line: bytes) -> Entry:
    """Read the head of a line, and check the rest by its checksum.

    Raises:
        ValueError: If the line is damaged.
    """
    check(line)
    found = _HEAD.match(line)
    if found is None:
        raise ValueError("the line is of no known kind")
    sent, digest, kind, index = found.groups()
    if sent is not None:
        return Entry(Kind.SENT, int(sent), bytes.fromhex(digest.decode()))
    if kind == b"done":
        return Entry(Kind.DONE, int(index))
    return Entry(Kind.FAILED, int(index), paid=paid_from(json.loads(line).get("paid")))


def read_done(line: bytes) -> tuple[bytes, Paid]:
    """Return the answer in a line, as JSON, and what was paid for it.

    Raises:
        ValueError: If the line is damaged, or is something else.
    """
    end = check(line)
    head, sign, answer = line[:end].partition(_ANSWER)  # inside a JSON text its quotes are escaped
    if not sign:
        raise ValueError("there is no answer in the line")
    return answer, paid_from(json.loads(head + b"}").get("paid"))


def check(line: bytes) -> int:
    """Compare a line with its checksum, and return where that begins.

    Raises:
        ValueError: If it has none, or another one.
    """
    found = _CRC.search(line, max(0, len(line) - 24))
    if found is None:
        raise ValueError("the line does not end as a line of a journal does")
    if zlib.crc32(line[: found.start()]) != int(found[1], 16):
        raise ValueError("the line does not agree with its checksum")
    return found.start()


def _line(fields: dict[str, Any]) -> bytes:
    return _checked(json.dumps(fields, separators=(",", ":")).encode())


def _checked(text: bytes) -> bytes:
    body = text[:-1]
    return b'%b,"crc":"%08x"}\n' % (body, zlib.crc32(body))
