"""The JSON Schema that editors use is checked in, and is what the loader takes.

`PYTHONPATH=tests python tests/policy/test_json_schema.py` writes it anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import hybridllm
from hybridllm._adapters.yaml_document import read_document
from hybridllm._core.policy.document import Findings, plain
from hybridllm._core.policy.json_schema import json_schema
from hybridllm._core.policy.schema import PolicySpec
from hybridllm._core.policy.schema_price import PriceSheetSpec
from hybridllm._core.policy.spec import Spec
from policy.json_schema_rules import faults
from policy.seeded_mistakes import POLICY, SEEDS, Seed

DATA = Path(hybridllm.__file__).parent / "data"
FILE, SHEET_FILE = DATA / "policy.schema.json", DATA / "prices.schema.json"
SHIPPED = sorted(
    path
    for path in (Path(__file__).parents[2] / "policies").glob("*.yaml")
    if ".test." not in path.name
)
OF_SHAPE = """\
version key-typo section-typo kind missing-kind unit half-a-price capability not-yet attempts order operator
condition-typo deep-typo typo-in-any reserved bound-typo metadata-mapping any-is-no-list clock two-kinds
no-kind bucket-typo weight-0 negative-price key-held
volume-rate volume-bound-typo break-even-side break-even-no-side overflow-key overflow-no-cause-named
overflow-cause overflow-bound overflow-never overflow-budget overflow-budget-window saturation-share
saturation-typo cold-start-takes cold-start-word capacity-gpus
"""
UNDERLINED = frozenset(OF_SHAPE.split())


def text(of: type[Spec] = PolicySpec) -> str:
    return json.dumps(json_schema(of), indent=2, ensure_ascii=False) + "\n"


def test_the_checked_in_schema_is_current() -> None:
    """Written anew after every change of the policy's schema."""
    assert FILE.read_text(encoding="utf-8") == text(), f"run: python {Path(__file__).name}"
    assert SHEET_FILE.read_text(encoding="utf-8") == text(PriceSheetSpec)


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


def underlined(text: str) -> list[str]:
    """Return the paths of what an editor underlines in a policy."""
    findings = Findings("p.yaml")
    root = read_document(text.encode(), findings)
    assert root is not None
    schema = json_schema()
    return list(faults(plain(root), schema, schema))


@pytest.mark.parametrize("text", [POLICY, *(path.read_text("utf-8") for path in SHIPPED)])
def test_an_editor_underlines_nothing_in_a_good_policy(text: str) -> None:
    """The shipped policies, with their variables as they stand in the file."""
    assert underlined(text) == []


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, id=seed.name) for seed in SEEDS if seed.name in UNDERLINED]
)
def test_an_editor_underlines_a_mistake_of_shape(seed: Seed) -> None:
    """Names that do not fit together it cannot know; `check` does."""
    assert underlined(seed.text)


def test_the_mistakes_that_editors_underline_are_there() -> None:
    """Or the test before would be empty in part."""
    assert {seed.name for seed in SEEDS} >= UNDERLINED


def test_short_forms_are_allowed() -> None:
    """What a person may write short is no error in an editor."""
    route = definitions()["RouteSpec"]["properties"]
    assert {"type": "string"} in route["use"]["anyOf"]
    assert {"const": "free", "type": "string"} in definitions()["ModelSpec"]["properties"]["price"][
        "anyOf"
    ]


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    SHEET_FILE.write_text(text(PriceSheetSpec), encoding="utf-8")
