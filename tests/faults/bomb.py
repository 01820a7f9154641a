"""How far the memory of a process grows when a backend sends bombs; prints it as JSON. For row H17.

Run as a program, so that the peak is the bombs': `python bomb.py`. One goes off after the other.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import zlib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.odd_answers import odd_table
from faults.skipping import run_skipping
from odd_backend import Odd
from raw_server import Exchange, chunk

DECODED_BYTES = 250 << 20
BLOCK = b" " * (1 << 16)
SENT_MAX = 64 << 20


SENT: list[int] = []  # pieces of the bomb that is going off


def packed(wbits: int) -> bytes:
    """250 MiB of blanks, a few hundred KiB small."""
    pack = zlib.compressobj(1, wbits=wbits)
    pieces = [pack.compress(BLOCK) for _ in range(DECODED_BYTES // len(BLOCK))]
    return b"".join([*pieces, pack.flush()])


def bomb(data: bytes, *fields: bytes) -> Odd:
    """An answer of this body, which says with these fields what it is."""
    lines = [b"HTTP/1.1 200 OK", *fields, b"content-length: %d" % len(data)]

    async def play(exchange: Exchange) -> None:
        await exchange.write(b"\r\n".join(lines) + b"\r\n\r\n" + data)

    return play


def endless(status: bytes) -> Odd:
    """An answer that goes on for as long as somebody reads it."""

    async def play(exchange: Exchange) -> None:
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\n" % status
        await exchange.write(head + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(SENT_MAX // len(BLOCK)):
            await exchange.write(chunk(BLOCK))
            SENT.append(len(BLOCK))
            await asyncio.sleep(0)

    return play


JSON, SSE = b"content-type: application/json", b"content-type: text/event-stream"
GZIP = b"content-encoding: gzip"


def bombs() -> dict[str, Odd]:
    """Each by its name; those for a stream are called so."""
    gzipped = packed(31)
    return {
        "gzip": bomb(gzipped, JSON, GZIP),
        "gzip-stream": bomb(gzipped, SSE, GZIP),
        "deflate": bomb(packed(15), JSON, b"content-encoding: identity, deflate"),
        "unknown": bomb(gzipped, JSON, b"content-encoding: x-unknown"),
        "unsaid": bomb(gzipped, JSON),
        "unsaid-stream": bomb(gzipped, SSE),
        "endless": endless(b"200 OK"),
        "error": endless(b"503 Busy"),
    }


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def main() -> dict[str, Any]:
    histories, most_sent = {}, 0
    made = bombs()
    async with odd_table() as here:
        for way in (False, True):
            await here.again(stream=way)  # all that is loaded once is loaded
        before = peak_kib()
        for name, odd in made.items():
            told = await here.told(odd, stream=name.endswith("-stream"))
            histories[name] = told.history
            most_sent = max(most_sent, sum(SENT))
            SENT.clear()
        grown = peak_kib() - before
    return {
        "histories": histories,
        "grown_mib": grown / 1024,
        "sent_mib": most_sent / (1 << 20),
    }


if __name__ == "__main__":
    print(json.dumps(run_skipping(main)))
