"""The JSON Schema of a policy file or a price sheet, as editors use it: what models give, made plainer."""

from __future__ import annotations

from typing import Any

from hybridllm._core.policy.schema import PolicySpec
from hybridllm._core.policy.spec import Spec


def json_schema(of: type[Spec] = PolicySpec) -> dict[str, Any]:
    """Return the JSON Schema of a file, as editors use it."""
    schema = of.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        for name, key in model.get("properties", {}).items():
            model["properties"][name] = _without_null(key)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _without_null(key: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a key that may be left out, but not left without a value."""
    kinds = [kind for kind in key.get("anyOf", ()) if kind != {"type": "null"}]
    if not kinds:
        return key
    told = {name: value for name, value in key.items() if name not in ("anyOf", "default")}
    if key.get("default") is not None:
        told["default"] = key["default"]
    return {**(kinds[0] if len(kinds) == 1 else {"anyOf": kinds}), **told}
