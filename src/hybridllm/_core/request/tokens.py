"""How long a prompt is, about.

Only for deciding whether it fits a context, never for money. Rule of thumb, chosen to be right for
English and not too low for anything else: four characters of ASCII make a token, three bytes of
UTF-8 elsewhere (so a Chinese character is one), four tokens a message for its frame, and a flat
figure for a picture or a piece of sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridllm.errors import InvalidRequest

MESSAGE_TOKENS = 4
PICTURE_TOKENS = 1_000  # between OpenAI's 85 (low detail) and Qwen-VL's 1,280 for a full page
SOUND_TOKENS = 1_000
FILE_TOKENS = 2_000
VALUES_MAX = 200_000  # of one nested value; more cannot be a schema that somebody means
_CHARS_PER_TOKEN = 4
_BYTES_PER_TOKEN = 3


def text_tokens(text: str) -> int:
    """Return about how many tokens `text` makes."""
    if text.isascii():
        return len(text) // _CHARS_PER_TOKEN + 1
    return len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN + 1


def value_tokens(value: Any) -> int:
    """Return about how many tokens a JSON value makes when a backend renders it into the prompt.

    Iterative, and counted: a caller's nested value can exhaust neither the stack nor the clock.

    Raises:
        InvalidRequest: If it holds too many values, or itself.
    """
    total, pending, seen = 0, [value], 0
    while pending:
        item = pending.pop()
        seen += 1
        if seen > VALUES_MAX:
            raise InvalidRequest(f"a value holds more than {VALUES_MAX} values, or itself")
        if isinstance(item, str):
            total += text_tokens(item)
        elif isinstance(item, Mapping):
            pending.extend(item.keys())
            pending.extend(item.values())
        elif isinstance(item, list | tuple):
            pending.extend(item)
        else:
            total += 1
    return total
