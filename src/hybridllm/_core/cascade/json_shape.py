"""Whether a JSON value is what a JSON Schema describes, by the keywords that structured output knows.

Other keywords are passed over: a value is refused for what is surely wrong, never for what is not understood.
Says the keyword that is broken, and no name: names in a schema are the caller's content.
Source: https://platform.openai.com/docs/guides/structured-outputs (supported schemas).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DEPTH_MAX, STEPS_MAX = 64, 20_000
"""A schema may lead back to itself, and by several ways at once; then what is left is not judged."""


@dataclass(slots=True)
class _Judging:
    root: Any
    steps: int = 0


def misfit(value: Any, schema: Any) -> str | None:
    """Return how a value does not fit; None: it does, or there is no schema that tells."""
    broken = _broken(value, schema, _Judging(schema), 0)
    return None if broken is None else f"does not fit its schema ({broken})"


def _broken(value: Any, schema: Any, judging: _Judging, depth: int) -> str | None:
    if schema is False:
        return "false"
    judging.steps += 1
    if depth > DEPTH_MAX or judging.steps > STEPS_MAX or not isinstance(schema, Mapping):
        return None
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return _broken(value, _referred(judging.root, reference), judging, depth + 1)
    for check in (_type, _values, _bounds):
        broken = check(value, schema)
        if broken is not None:
            return broken
    return _combined(value, schema, judging, depth) or _inside(value, schema, judging, depth)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value) and value.is_integer()
    return _is_number(value)  # one beyond all floats is one too


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": _is_number,
    "integer": _is_integer,
}


def _type(value: Any, schema: Mapping[str, Any]) -> str | None:
    named = schema.get("type")
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, Sequence):
        return None
    known = [_TYPES[name] for name in names if isinstance(name, str) and name in _TYPES]
    return None if not known or any(fits(value) for fits in known) else "type"


def _values(value: Any, schema: Mapping[str, Any]) -> str | None:
    if "const" in schema and not _same(value, schema["const"]):
        return "const"
    allowed = schema.get("enum")
    if isinstance(allowed, Sequence) and not any(_same(value, one) for one in allowed):
        return "enum"
    return None


def _bounds(value: Any, schema: Mapping[str, Any]) -> str | None:
    if isinstance(value, str | list):
        what = "Length" if isinstance(value, str) else "Items"
        size: float = len(value)
        names = (f"min{what}", f"max{what}", "", "")
    elif _is_number(value):
        size, names = value, ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    else:
        return None
    bounds = [schema.get(name) for name in names]
    least, most, above, below = [one if _is_number(one) else None for one in bounds]
    if least is not None and size < least:
        return names[0]
    if most is not None and size > most:
        return names[1]
    if above is not None and size <= above:
        return names[2]
    return names[3] if below is not None and size >= below else None


def _combined(value: Any, schema: Mapping[str, Any], judging: _Judging, depth: int) -> str | None:
    for inner in _list(schema.get("allOf")):
        broken = _broken(value, inner, judging, depth + 1)
        if broken is not None:
            return broken
    for name in ("anyOf", "oneOf"):
        choices = _list(schema.get(name))
        if choices and all(_broken(value, one, judging, depth + 1) for one in choices):
            return name
    return None


def _inside(value: Any, schema: Mapping[str, Any], judging: _Judging, depth: int) -> str | None:
    if isinstance(value, list):
        each = (_broken(one, schema.get("items"), judging, depth + 1) for one in value)
        return next((broken for broken in each if broken is not None), None)
    if not isinstance(value, dict):
        return None
    declared = schema.get("properties")
    properties = declared if isinstance(declared, Mapping) else {}
    required = [name for name in _list(schema.get("required")) if isinstance(name, str)]
    if any(name not in value for name in required):
        return "required"
    others = schema.get("additionalProperties")
    for name, one in value.items():
        if name in properties:
            broken = _broken(one, properties[name], judging, depth + 1)
        elif others is False:
            broken = "additionalProperties"
        else:
            broken = _broken(one, others, judging, depth + 1)
        if broken is not None:
            return broken
    return None


def _referred(root: Any, reference: str) -> Any:
    """Return what `#/$defs/Name` points at; None, which anything fits, if it points elsewhere."""
    if not reference.startswith("#"):
        return None
    found = root
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _same(value: Any, other: Any) -> bool:
    """Equal as JSON has it: true is not 1."""
    return bool(isinstance(value, bool) == isinstance(other, bool) and value == other)


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()
