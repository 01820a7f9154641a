"""By what requests that begin alike are known: a number made of a session's name, or of how a prompt begins.

A prompt's beginning is what stands up to its first user message, that one included: later turns of a
conversation leave it as it is. Of each message the first `CHARS_MAX` characters count, so that requests on
one long text, each with its own question behind it, are known as alike.

Holds no text, and needs no salt: the number never leaves the process. Routers in many processes make the same
one, so that they agree on a replica without talking to each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Any

BLOCK_CHARS = 1_024
CHARS_MAX = 4 * BLOCK_CHARS
"""Of one message that count. Fewer would take long instructions for all there is; more, a shared text of a
thousand tokens and a question for a text of its own."""
MESSAGES_MAX = 8
PARTS_MAX = 32
_TAIL_CHARS = (
    256  # of a picture's address or data: its head is the same in all pictures of a format
)


def prefix_of(session: str | None, messages: Iterable[Mapping[str, Any]]) -> int | None:
    """Return what a request's prefix is known by, in 64 bits; None: there is nothing to know it by.

    Args:
        session: Goes before everything else: all of its requests begin alike.
        messages: Of the prompt, in order.
    """
    if session is not None:
        return _number(("session", session))
    said: list[str] = []
    for message in islice(messages, MESSAGES_MAX):
        content = message.get("content")
        if isinstance(content, str):
            said.append(content[:CHARS_MAX])
        elif isinstance(content, Iterable):
            said.extend(_parts(content))
        if message.get("role") == "user":
            break
    return _number(said) if any(said) else None


def _parts(parts: Iterable[Any]) -> Iterator[str]:
    for part in islice(parts, PARTS_MAX):
        for value in part.values() if isinstance(part, Mapping) else ():
            if isinstance(value, str):
                yield value[:CHARS_MAX]
            elif isinstance(value, Mapping):  # of a picture, a sound, a file
                yield from (one[-_TAIL_CHARS:] for one in value.values() if isinstance(one, str))


def _number(texts: Iterable[str]) -> int:
    said = "\0".join(texts).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(said, digest_size=8, person=b"hybridllm prefix").digest(), "big")
