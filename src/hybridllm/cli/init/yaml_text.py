"""YAML, written by hand: the comments are half of a starter policy, and no library keeps them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from textwrap import wrap

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./ -]*(?<! )\Z")
# Words that YAML 1.1, which editors may still read, takes for something else than a text.
_NO_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"})
_COMMENT_COLUMN = 43
_WIDTH = 100


def scalar(text: str) -> str:
    """Return a text as a value: plain where it is a word, quoted otherwise. ASCII only, no line breaks."""
    if _PLAIN.match(text) and text.lower() not in _NO_TEXT:
        return text
    return json.dumps(text.replace("${", "$${"))


def flow(items: Iterable[str]) -> str:
    """Return a list on one line."""
    return f"[{', '.join(scalar(item) for item in items)}]"


def flow_mapping(entries: Mapping[str, str]) -> str:
    """Return a mapping of texts on one line."""
    pairs = ", ".join(f"{scalar(key)}: {scalar(value)}" for key, value in entries.items())
    return f"{{{pairs}}}"


def explained(line: str, comment: str) -> str:
    """Return a line with a comment behind it, in the column of the others if it fits."""
    return f"{line:<{_COMMENT_COLUMN - 1}} # {comment}"


def comment(text: str, *, indent: int = 0) -> Iterator[str]:
    """Yield a text as lines of comment."""
    prefix = f"{' ' * indent}# "
    for line in wrap(text, _WIDTH - len(prefix), break_long_words=False, break_on_hyphens=False):
        yield prefix + line
