"""What a plain scalar means: YAML 1.2, core schema (chapter 10.3 of https://yaml.org/spec/1.2.2/).

So `NO` is Norway, `on` a word, `12:30:45` a string, `010` ten, `1e5` a number. A number with a point
becomes a `Decimal` from its text: prices never pass through a binary float.
"""

from __future__ import annotations

import re
from decimal import Decimal

from hybridllm._core.policy.document import ScalarValue

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}\Z")
_INT = re.compile(r"[-+]?[0-9]+\Z")
_OTHER_BASE = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"([-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?))(?:[eE]([-+]?[0-9]+))?\Z")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_DIGITS_MAX = 18
_EXPONENT_MAX = 18


def is_word(text: str) -> bool:
    """Return whether a plain scalar is a word as keys are, which means itself."""
    return _WORD.match(text) is not None and text not in _NULL and text not in _BOOL


def resolved_scalar(text: str) -> ScalarValue:
    """Return the value of a plain (unquoted) scalar.

    Raises:
        ValueError: If it is a number too long, or not a finite one; the message is a predicate.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0] not in "+-.0123456789":
        return text
    return _number(text)


def _number(text: str) -> ScalarValue:
    if _NOT_FINITE.match(text):
        raise ValueError("is not a finite number")
    if _INT.match(text):
        _check_digits(text)
        return int(text, 10)
    if _OTHER_BASE.match(text):
        _check_digits(text[2:])
        return int(text, 0)
    if float_match := _FLOAT.match(text):
        mantissa, exponent = float_match.groups()
        _check_digits(mantissa)
        if exponent and (len(exponent) > 4 or abs(int(exponent)) > _EXPONENT_MAX):
            raise ValueError(f"has too large an exponent: at most {_EXPONENT_MAX} is read")
        return Decimal(text)
    return text


def _check_digits(text: str) -> None:
    if len(text.lstrip("+-").replace(".", "")) > _DIGITS_MAX:
        raise ValueError(f"has too many digits: at most {_DIGITS_MAX} are read")
