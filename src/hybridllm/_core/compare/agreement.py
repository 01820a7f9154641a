"""When two answers say the same: for words and for JSON, without asking a model.

Equal is what no reader would tell apart: JSON with the same values, or text with the same words. Whether two
essays are as good as each other is for a judge of the application's own.
"""

from __future__ import annotations

import json
import re
from typing import Any

_WORDS = re.compile(r"[^\W_]+(?:[.,:'/-][^\W_]+)*", re.UNICODE)
_JSON_BEGINS = ("{", "[")
_FOLDED = str.maketrans({"\u2019": "'", "\u2018": "'", "\u2010": "-", "\u2011": "-", "\u2013": "-"})


def agree(answer: str, other: str) -> bool:
    """Return whether two answers say the same: equal JSON, or the same words in the same order.

    Case, white space, typographic quotes and dashes, and punctuation around words do not count; digits do.
    """
    if answer == other:
        return True
    first, second = _json(answer), _json(other)
    if first is not None and second is not None:
        return bool(first == second)
    if (first is None) != (second is None):
        return False
    return _words(answer) == _words(other)


def _words(text: str) -> list[str]:
    return _WORDS.findall(text.translate(_FOLDED).casefold())


def _json(text: str) -> Any:
    """Return the object or list that a text is, in a code fence or bare; None: it is none."""
    bare = text.strip()
    if bare.startswith("```") and bare.endswith("```"):
        bare = bare[3:-3].removeprefix("json").strip()
    if not bare.startswith(_JSON_BEGINS):
        return None
    try:
        return json.loads(bare)
    except (ValueError, RecursionError):
        return None
