"""Makes a JSON value that a JSON Schema allows, for answers in a given form.

Knows what request schemas made from types use: objects, arrays, enums, constants, references, unions,
bounds. Patterns and formats are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_Path = frozenset[str]  # the references that led here, to notice one that leads to itself


def example_of(schema: Any) -> Any:
    """Return a value that the schema allows; the same one every time.

    Raises:
        ValueError: If the schema refers to nothing, or requires itself without an end.
    """
    return _example(schema, schema, frozenset())


def _example(schema: Any, root: Any, path: _Path) -> Any:
    if not isinstance(schema, Mapping):
        return "text" if schema is True else None
    if "$ref" in schema:
        reference = str(schema["$ref"])
        if reference in path:
            raise ValueError(f"schema requires {reference!r} within itself, without an end")
        return _example(_resolve(reference, root), root, path | {reference})
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return _one_of(schema[union], root, path)
    if schema.get("allOf"):
        return _all_of(schema["allOf"], root, path)
    return _of_type(schema, root, path)


def _of_type(schema: Mapping[str, Any], root: Any, path: _Path) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "string"
    match kind:
        case "string":
            return _text(schema)
        case "integer":
            return _integer(schema)
        case "number":
            return _number(schema, step=0.5)
        case "boolean":
            return True
        case "array":
            return _array(schema, root, path)
        case "object":
            return _properties(schema, root, path)
        case "null":
            return None
        case _:
            raise ValueError(f"Invalid type: {kind}")


def _array(schema: Mapping[str, Any], root: Any, path: _Path) -> list[Any]:
    """The fewest items, but at least one if that is possible."""
    if "prefixItems" in schema:
        return [_example(item, root, path) for item in schema["prefixItems"]]
    required = int(schema.get("minItems", 0))
    try:
        item = _example(schema.get("items", {}), root, path)
    except ValueError:
        if required:
            raise
        return []
    return [item] * max(required, min(1, int(schema.get("maxItems", 1))))


def _properties(schema: Mapping[str, Any], root: Any, path: _Path) -> dict[str, Any]:
    """Every property; a self-reference ends where the schema does not require it."""
    required = set(schema.get("required", ()))
    value: dict[str, Any] = {}
    for name, each in schema.get("properties", {}).items():
        try:
            value[name] = _example(each, root, path)
        except ValueError:
            if name in required:
                raise
    return value


def _one_of(schemas: list[Any], root: Any, path: _Path) -> Any:
    """The first alternative that has an example; null only if it is the last resort."""
    failure = ValueError("schema has no alternative")
    for each in sorted(schemas, key=lambda schema: schema.get("type") == "null"):
        try:
            return _example(each, root, path)
        except ValueError as error:
            failure = error
    raise failure


def _all_of(schemas: list[Any], root: Any, path: _Path) -> Any:
    values = [_example(each, root, path) for each in schemas]
    if all(isinstance(value, dict) for value in values):
        return {name: each for value in values for name, each in value.items()}
    return values[0]


def _text(schema: Mapping[str, Any]) -> str:
    shortest = max(int(schema.get("minLength", 0)), min(4, int(schema.get("maxLength", 4))))
    return ("text" * (shortest // 4 + 1))[:shortest]


def _integer(schema: Mapping[str, Any]) -> int:
    number = _number(schema, step=1)
    return math.ceil(number) if "minimum" in schema else math.floor(number)


def _number(schema: Mapping[str, Any], *, step: float) -> float:
    """The smallest allowed number if there is one, else the largest, else 1."""
    if "minimum" in schema:
        return float(schema["minimum"])
    if "exclusiveMinimum" in schema:
        return float(schema["exclusiveMinimum"]) + step
    if "maximum" in schema:
        return float(schema["maximum"])
    if "exclusiveMaximum" in schema:
        return float(schema["exclusiveMaximum"]) - step
    return 1.0


def _resolve(reference: str, root: Any) -> Any:
    target = root
    for word in reference.removeprefix("#").strip("/").split("/"):
        if not word:
            continue
        if not isinstance(target, Mapping) or word not in target:
            raise ValueError(f"schema refers to {reference!r}, which it does not define")
        target = target[word]
    return target
