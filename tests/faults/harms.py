"""Harm that is done to a recorded stream on its way, drawn from a seed: as bytes, waits and an end.

Three sorts. `harmless` changes nothing of what is said: other pieces, other line ends, comments, waits
below the limits, rubbish after `[DONE]`. `broken` is what networks and dying servers do: cuts, resets,
stalls, an event that is no chunk, a second stream behind the first. `echoed` is an event that comes twice.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from faults.recordings import Recording, Said, read_plainly

IDLE_S, FIRST_TOKEN_S = 20.0, 10.0  # the product's defaults
STALLS_S = (0.0, 1.0, 9.0, 30.0)
ENDS = ("clean", "reset", "hang")
DONE = b"data: [DONE]\n\n"
NO_CHUNKS = (
    b'data: {"id": "x", "choices": [{"index": 0, "delta": {"content": "\n\n',
    b'data: {"id": "x", "choices": [{"index": 0, "delta": {"content": "\xff"}}]}\n\n',
    b"data: <html><body>502 Bad Gateway</body></html>\n\n",
    b'data: {"error": {"message": "engine died", "code": 500}}\n\n',
    b'event: error\ndata: {"message": "engine died"}\n\n',
    b'data: {"object": "error", "message": "engine died", "code": 500}\n\n',
    b"data: null\n\n",
    b"data: [1, 2]\n\n",
    b'data: {"choices": "x"}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": 5}}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "abort"}]}\n\n',
    b"data: " + b"[" * 5_000 + b"\n\n",
)
ASIDES = (b": ping\n\n", b":\n", b"id: 7\n", b"retry: 100\n", b"foo: bar\n", b"\n", b"event:\n")


@dataclass
class Harm:
    """A harmed stream.

    Attributes:
        sort: `harmless`, `broken` or `echoed`.
        steps: Pieces of the body, and seconds of waiting.
        end: How it ends after them: `clean`, `reset` or `hang`.
        said: What may be reported as whole: what the unharmed recording says, unless it was echoed.
        what: What was done, for whoever has to look at it.
    """

    sort: str
    steps: list[bytes | float]
    end: str
    said: Said
    what: list[str] = field(default_factory=list)


def harmed(recording: Recording, chance: random.Random) -> Harm:
    """Return one stream that was harmed, and how."""
    body = b"".join(recording.blocks)
    harm = Harm("harmless", [], "clean", recording.said)
    if chance.random() < 0.8:
        body = chance.choice(DEEDS)(harm, list(recording.blocks), chance)
    if chance.random() < 0.3:
        body = _dressed(harm, body, chance)
    harm.steps = _pieces(body, chance)
    if chance.random() < 0.25:
        _stall(harm, chance)
    return harm


def _cut(harm: Harm, blocks: list[bytes], chance: random.Random) -> bytes:
    """At any byte."""
    body = b"".join(blocks)
    place = chance.randrange(len(body) + 1)
    return _ended(harm, body[:place], f"cut at {place}", chance)


def _cut_between(harm: Harm, blocks: list[bytes], chance: random.Random) -> bytes:
    """Between two events, which is where a server dies in good order."""
    place = chance.randrange(len(blocks) + 1)
    return _ended(harm, b"".join(blocks[:place]), f"cut before event {place}", chance)


def _cut_in_its_end(harm: Harm, blocks: list[bytes], chance: random.Random) -> bytes:
    """Somewhere in the last two events."""
    body, tail = b"".join(blocks), len(b"".join(blocks[-2:]))
    place = len(body) - chance.randrange(tail + 1)
    return _ended(harm, body[:place], f"cut at {place}", chance)


def _ended(harm: Harm, body: bytes, what: str, chance: random.Random) -> bytes:
    harm.sort, harm.end = "broken", chance.choice(ENDS)
    harm.what.append(f"{what}, {harm.end}")
    return body


def _rubbish(harm: Harm, blocks: list[bytes], chance: random.Random) -> bytes:
    """An event that is no chunk: in the place of another one, or between two."""
    place, instead = chance.randrange(len(blocks)), chance.random() < 0.5
    event = chance.choice(NO_CHUNKS)
    harm.sort = "broken"
    harm.what.append(f"{event[:40]!r} at event {place}{' instead' if instead else ''}")
    return b"".join([*blocks[:place], event, *blocks[place + instead :]])


def _spoilt(harm: Harm, blocks: list[bytes], chance: random.Random) -> bytes:
    """One event loses its last bytes, but not its end."""
    place = chance.randrange(len(blocks) - 1)
    kept = chance.randrange(7, max(8, len(blocks[place]) - 2))
    harm.sort = "broken"
    harm.what.append(f"event {place} is cut to {kept} bytes")
    return b"".join([*blocks[:place], blocks[place][:kept] + b"\n\n", *blocks[place + 1 :]])


def _trailing(harm: Harm, blocks: list[bytes], chance: random.Random) -> bytes:
    """Something after `[DONE]`: whatever it is, it is not read."""
    plain = (chance.randbytes(300), DONE, b"\r\n\0", b"HTTP/1.1 500 No\r\n\r\n")
    trail = chance.choice((_anew(blocks), *NO_CHUNKS, *plain))
    harm.end = chance.choice(ENDS)
    harm.what.append(f"{len(trail)} bytes behind the end, {harm.end}")
    return b"".join(blocks) + trail


def _again(harm: Harm, blocks: list[bytes], chance: random.Random) -> bytes:
    """A stream that is begun anew behind a part of it, as by a proxy that tries again and glues."""
    place = chance.randrange(1, len(blocks))
    harm.sort = "broken"
    harm.what.append(f"begun anew after event {place}")
    return b"".join(blocks[:place]) + _anew(blocks)


def _anew(blocks: list[bytes]) -> bytes:
    """The same answer by another call: it has another id."""
    return b"".join(blocks).replace(b'"id":"chatcmpl-', b'"id":"chatcmpl-anew-')


def _twice(harm: Harm, blocks: list[bytes], chance: random.Random) -> bytes:
    """An event comes twice; if it holds text, nobody can tell from a model that repeats itself."""
    place = chance.randrange(len(blocks))
    harm.sort = "echoed"
    harm.what.append(f"event {place} twice")
    echoed = [*blocks[:place], blocks[place], *blocks[place:]]
    harm.said = read_plainly(echoed)
    return b"".join(echoed)


DEEDS: list[Callable[[Harm, list[bytes], random.Random], bytes]] = [
    _cut, _cut, _cut_between, _cut_in_its_end, _rubbish, _spoilt, _trailing, _again, _twice,
]  # fmt: skip


def _dressed(harm: Harm, body: bytes, chance: random.Random) -> bytes:
    """Other line ends, a BOM, comments and fields that mean nothing, between events or within."""
    how = chance.choice(("crlf", "cr", "bom", "asides", "no space"))
    harm.what.append(how)
    if how == "crlf":
        return body.replace(b"\n", b"\r\n")
    if how == "cr":
        return body.replace(b"\n", b"\r")
    if how == "bom":
        return b"\xef\xbb\xbf" + body
    if how == "no space":
        return body.replace(b"data: ", b"data:")
    blocks = body.split(b"\n\n")
    return b"\n\n".join(
        (b"".join(chance.choices(ASIDES, k=chance.randrange(3))) if chance.random() < 0.3 else b"")
        + block
        for block in blocks
    )


def _pieces(body: bytes, chance: random.Random) -> list[bytes | float]:
    """Cut in any places; now and then a stretch of it byte by byte."""
    how = chance.random()
    if how < 0.15 or len(body) < 2:
        return [body] if body else []
    count = chance.randrange(1, 25)
    places = {chance.randrange(1, len(body)) for _ in range(count)}
    if how > 0.8:
        begin = chance.randrange(len(body))
        places |= set(range(max(1, begin), min(len(body), begin + 40)))
    cuts = [0, *sorted(places), len(body)]
    return [body[a:b] for a, b in pairwise(cuts)]


def _stall(harm: Harm, chance: random.Random) -> None:
    for _ in range(chance.randrange(1, 4)):
        stall_s = chance.choice(STALLS_S)
        harm.steps.insert(chance.randrange(len(harm.steps) + 1), stall_s)
        harm.what.append(f"stall {stall_s:g} s")
    if sum(step for step in harm.steps if isinstance(step, float)) >= FIRST_TOKEN_S:
        harm.sort = "broken" if harm.sort == "harmless" else harm.sort
