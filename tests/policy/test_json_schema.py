"""The JSON Schema that editors use is checked in, and is what the loader takes.

`python tests/policy/test_json_schema.py` writes it anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hybridllm
from hybridllm._core.policy.schema import json_schema

FILE = Path(hybridllm.__file__).parent / "data" / "policy.schema.json"


def text() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def test_the_checked_in_schema_is_current() -> None:
    """Written anew after every change of the policy's schema."""
    assert FILE.read_text(encoding="utf-8") == text(), f"run: python {Path(__file__).name}"


def definitions() -> dict[str, Any]:
    schema = json_schema()
    return {"the policy": schema, **schema["$defs"]}


def test_every_key_is_described() -> None:
    """An editor shows it beside the key."""
    for name, definition in definitions().items():
        for key, schema in definition.get("properties", {}).items():
            assert schema.get("description"), f"{name}.{key}"


def test_no_mapping_takes_unknown_keys() -> None:
    """An editor underlines what the loader would refuse."""
    for name, definition in definitions().items():
        if "properties" in definition:
            assert definition["additionalProperties"] is False, name


def test_short_forms_are_allowed() -> None:
    """What a person may write short is no error in an editor."""
    route = definitions()["RouteSpec"]["properties"]
    assert {"type": "string"} in route["use"]["anyOf"]
    assert {"const": "free", "type": "string"} in definitions()["ModelSpec"]["properties"]["price"][
        "anyOf"
    ]


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
