"""JSON Schema, as far as the policy's schema uses it: what an editor underlines.

Knows the keywords of that schema and no others; one more is an error here, so that none goes unchecked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

_TOLD_ONLY = {"$schema", "$defs", "title", "description", "default"}


def _number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: _number(value) and value == int(value),
    "number": _number,
}


def faults(value: Any, schema: Any, root: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the path of everything that the schema does not allow."""
    if isinstance(schema, bool):
        if not schema:
            yield path
        return
    for keyword, rule in schema.items():
        if keyword in _CHECKS:
            if not _CHECKS[keyword](value, rule, root):
                yield path
        elif keyword in _INSIDE:
            for step, inner in _INSIDE[keyword](value, rule, schema):
                yield from faults(value[step], inner, root, f"{path}.{step}" if path else str(step))
        else:
            assert keyword in _TOLD_ONLY, f"the schema has {keyword!r}, which nobody checks"


def _fits(value: Any, schema: Any, root: Mapping[str, Any]) -> bool:
    return next(faults(value, schema, root), None) is None


def _in_properties(value: Any, rule: Any, _schema: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from ((key, rule[key]) for key in value if key in rule)


def _in_others(value: Any, rule: Any, schema: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from ((key, rule) for key in value if key not in schema.get("properties", {}))


def _in_items(value: Any, rule: Any, schema: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, list):
        begin = len(schema.get("prefixItems", ()))
        yield from ((index, rule) for index in range(begin, len(value)))


def _in_first_items(value: Any, rule: Any, _schema: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, list):
        yield from ((index, one) for index, one in enumerate(rule[: len(value)]))


_INSIDE: dict[str, Callable[[Any, Any, Any], Iterator[tuple[Any, Any]]]] = {
    "properties": _in_properties,
    "additionalProperties": _in_others,
    "items": _in_items,
    "prefixItems": _in_first_items,
}
_CHECKS: dict[str, Callable[[Any, Any, Any], bool]] = {
    "type": lambda value, rule, root: _TYPES[rule](value),
    "const": lambda value, rule, root: value == rule and isinstance(value, bool) == isinstance(rule, bool),
    "enum": lambda value, rule, root: value in rule,
    "required": lambda value, rule, root: not isinstance(value, Mapping) or value.keys() >= set(rule),
    "anyOf": lambda value, rule, root: any(_fits(value, one, root) for one in rule),
    "oneOf": lambda value, rule, root: sum(_fits(value, one, root) for one in rule) == 1,
    "not": lambda value, rule, root: not _fits(value, rule, root),
    "$ref": lambda value, rule, root: _fits(value, root["$defs"][rule.rpartition("/")[2]], root),
    "pattern": lambda value, rule, root: not isinstance(value, str) or re.search(rule, value) is not None,
    "maxLength": lambda value, rule, root: not isinstance(value, str) or len(value) <= rule,
    "minimum": lambda value, rule, root: not _number(value) or value >= rule,
    "maximum": lambda value, rule, root: not _number(value) or value <= rule,
    "exclusiveMinimum": lambda value, rule, root: not _number(value) or value > rule,
    "minItems": lambda value, rule, root: not isinstance(value, list) or len(value) >= rule,
    "maxItems": lambda value, rule, root: not isinstance(value, list) or len(value) <= rule,
    "minProperties": lambda value, rule, root: not isinstance(value, Mapping) or len(value) >= rule,
    "maxProperties": lambda value, rule, root: not isinstance(value, Mapping) or len(value) <= rule,
    "propertyNames": lambda value, rule, root: not isinstance(value, Mapping)
    or all(_fits(key, rule, root) for key in value),
}  # fmt: skip
