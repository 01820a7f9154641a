"""`hybridllm explain`: the decision of the router, without a connection."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hybridllm import Router


def test_an_allowed_request_shows_who_in_order_and_who_not(hybridllm, policy_file: Path) -> None:
    """The route, each candidate with its price, each dropped one with its reason."""
    result = hybridllm("explain", policy_file, "--task", "classify", "--residency", "eu")

    assert result.exit_code == 0
    for words in (
        r"allowed by route cheap",
        r"1 +eu/small +eu +0\.01 +0\.02",
        r"2 +own/large +eu +free +free",
        r"1 +route 'cheap', model 1",
        r"us/small +region +region 'us' is not in \[eu\]",
    ):
        assert re.search(words, result.stdout), f"{words!r} is not in\n{result.stdout}"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(("--residency", "phii"), "did you mean 'phi'", id="misspelt-tag"),
        pytest.param(("--task", "clasify"), "did you mean 'classify'", id="misspelt-task"),
        pytest.param(("--model", "small", "--needs", "vision"), "vision", id="capability"),
        pytest.param(("--tokens", "9000"), "do not fit the context", id="context"),
        pytest.param(("--model", "small", "--residency", "phi"), "operator", id="residency"),
        pytest.param(("--model", "small", "--max-cost", "0"), "max_cost_usd", id="cost"),
    ],
)
def test_a_denied_request_ends_with_3_and_says_why(
    hybridllm, policy_file: Path, options: tuple[str, ...], words: str
) -> None:
    """The reason stands in the text, and in the object of --json."""
    result = hybridllm("explain", policy_file, *options)
    as_json = hybridllm("explain", policy_file, *options, "--json")

    assert result.exit_code == as_json.exit_code == 3
    assert "denied by" in result.stdout
    assert words in result.stdout
    told = json.loads(as_json.stdout)
    assert told["allowed"] is False
    assert words in told["message"]


@pytest.mark.parametrize(
    "hints",
    [
        {},
        {"task": "classify"},
        {"task": "review", "residency": "eu"},
        {"model": "small", "tenant": "acme"},
        {"task": "classify", "stream": True, "needs": ["vision"], "environment": "staging"},
    ],
)
def test_json_is_what_the_router_itself_says(
    hybridllm, policy_file: Path, hints: dict[str, object]
) -> None:
    """Every option reaches the decision."""
    options: list[str] = []
    for name, value in hints.items():
        values = value if isinstance(value, list) else [value]
        for one in values:
            options += [f"--{name}"] if one is True else [f"--{name}", str(one)]

    result = hybridllm("explain", policy_file, *options, "--json")

    environment = hints.pop("environment", None)
    router = Router.from_file(policy_file, environ={}, environment=environment)
    assert json.loads(result.stdout) == router.explain(**hints).to_dict()


def test_a_wrong_hint_is_wrong_usage(hybridllm, policy_file: Path) -> None:
    """An unknown capability is told with those that exist."""
    result = hybridllm("explain", policy_file, "--needs", "visoin")

    assert result.exit_code == 2
    assert "vision" in result.stderr
    assert "Traceback" not in result.output


def test_a_policy_with_problems_ends_with_1(hybridllm, policy_file: Path) -> None:
    """The problems are told as `check` tells them."""
    policy_file.write_text(policy_file.read_text().replace("kind: vllm", "kind: vlm"))

    result = hybridllm("explain", policy_file)

    assert result.exit_code == 1
    assert f"{policy_file}:20:" in result.stderr
