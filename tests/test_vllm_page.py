"""The page on vLLM names, for each thing that it says, the tests that show it: they are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "vllm.md").read_text(encoding="utf-8")
ROWS = [
    line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| vLLM")
]


@cache
def there() -> dict[str, bool]:
    """Every test, and whether it is one on a running server."""
    found: dict[str, bool] = {}
    for file in TESTS.rglob("test_*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[node.name] = file.parent.name == "real"
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:50])
def test_what_the_page_says_of_vllm_is_shown_by_tests_that_exist(row: str) -> None:
    """Those in italics on a running server, the others on recordings and simulations."""
    named = [(name, bool(star)) for star, name in re.findall(r"(\*?)`(test_\w+)`", row)]
    assert named
    assert named == [(name, there().get(name)) for name, _ in named]


def test_every_test_on_a_running_server_is_on_the_page() -> None:
    """Or somebody would look for what it shows."""
    named = set(re.findall(r"\*`(test_\w+)`", PAGE))
    assert {name for name, real in there().items() if real and name.startswith("test_")} == named
