"""How a simulated backend counts tokens: a rule that a test can apply by itself.

A token is up to four characters that are not white space, with the white space before them; white
space at the end of a text is one token more. So `"I was charged twice"` has six:
`"I"`, `" was"`, `" char"`, `"ged"`, `" twic"`, `"e"`. Joined, the tokens are the text.
A prompt costs three tokens per message besides its text, and 85 per image or other part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

_TOKEN = re.compile(r"\s*\S{1,4}|\s+\Z")

TOKENS_PER_MESSAGE = 3
TOKENS_PER_PART = 85


def tokenize(text: str) -> list[str]:
    """Cut a text into the tokens that a simulated backend streams and bills."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """Return how many tokens a simulated backend bills for a text."""
    return len(tokenize(text))


def prompt_tokens(
    messages: Iterable[Mapping[str, Any]], tools: Iterable[Mapping[str, Any]] | None = None
) -> int:
    """Return the `usage.prompt_tokens` that a simulated backend reports for a chat request."""
    total = sum(TOKENS_PER_MESSAGE + _content_tokens(message) for message in messages)
    if tools:
        total += count_tokens(json.dumps(list(tools)))
    return total


def prompt_stream(
    messages: Iterable[Mapping[str, Any]], tools: Iterable[Mapping[str, Any]] | None = None
) -> list[str]:
    """Return the tokens themselves of a prompt, as many as `prompt_tokens` counts; tools come first."""
    stream = tokenize(json.dumps(list(tools))) if tools else []
    for message in messages:
        stream += [str(message.get("role"))] * TOKENS_PER_MESSAGE
        content = message.get("content")
        for part in content if isinstance(content, list) else [{"text": content}]:
            text = part.get("text") if isinstance(part, Mapping) else None
            if isinstance(text, str):
                stream += _tokens_of(text)
            elif isinstance(content, list) and isinstance(part, Mapping):
                stream += [json.dumps(part, sort_keys=True, default=str)] * TOKENS_PER_PART
    return stream


@lru_cache(maxsize=4_096)
def _tokens_of(text: str) -> tuple[str, ...]:
    """Remembered: the messages of a conversation come again with each of its turns."""
    return tuple(tokenize(text))


def _content_tokens(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    if isinstance(content, str):
        return count_tokens(content)
    if not isinstance(content, list):
        return 0
    texts = [part.get("text") for part in content if isinstance(part, Mapping)]
    return sum(count_tokens(t) if isinstance(t, str) else TOKENS_PER_PART for t in texts)


def last_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of a chat's last message; of several parts, the last one that is text."""
    content = messages[-1].get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return next((text for text in reversed(texts) if isinstance(text, str)), "")


def draw(*words: object) -> float:
    """Return a number in [0, 1) that depends on the words alone: chance that can be repeated."""
    digest = blake2b("\x1f".join(map(str, words)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def hex_id(*words: object) -> str:
    """Return 16 hex digits that depend on the words alone."""
    return blake2b("\x1f".join(map(str, words)).encode(), digest_size=8).hexdigest()
