"""What the package promises by name: pinned, explained, and cheap to import."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from dataclasses import is_dataclass
from typing import Any

import pytest

import hybridllm
import hybridllm.testing

# A name that is added here is a promise; one that is taken away breaks somebody.
PUBLIC = [
    "Attempt",
    "Audited",
    "BackendStatus",
    "BackendsUnavailable",
    "BacktestReport",
    "BatchJob",
    "BatchSummary",
    "Book",
    "BookEntry",
    "BudgetExceeded",
    "BudgetStatus",
    "BulkFileError",
    "BulkJob",
    "BulkProgress",
    "BulkResult",
    "CacheStatus",
    "Candidate",
    "CandidateStatus",
    "CascadeAnswer",
    "CascadeStatus",
    "CaseResult",
    "CasesReport",
    "CompareProgress",
    "Comparison",
    "ContentFiltered",
    "Continued",
    "CostReport",
    "CostRow",
    "Coverage",
    "DeadlineExceeded",
    "Denied",
    "Dropped",
    "Explanation",
    "FixedDay",
    "HttpxWire",
    "HybridLLMError",
    "ImportedPrices",
    "InvalidOutput",
    "InvalidRequest",
    "Kept",
    "Ledger",
    "LedgerError",
    "LedgerInfo",
    "LedgerReader",
    "LedgerStatus",
    "LedgerUpkeep",
    "MachineRow",
    "OutcomeUnknown",
    "OverflowStatus",
    "Overloaded",
    "Paid",
    "Plan",
    "Policy",
    "PolicyDenied",
    "PolicyDiff",
    "PolicyError",
    "PolicyReport",
    "Price",
    "PriceCatalogue",
    "PriceComparison",
    "PriceDrift",
    "PriceExport",
    "PriceSheet",
    "Problem",
    "ReachMatrix",
    "Receipt",
    "RequestFailed",
    "RequestRejected",
    "Restarted",
    "RouteExhausted",
    "Router",
    "RouterClosed",
    "ShadowStatus",
    "ShadowSummary",
    "SimulationReport",
    "Status",
    "Stream",
    "StreamInterrupted",
    "Supposed",
    "TruncatedOutput",
    "VolumeStatus",
    "WarmingUp",
    "WhatIf",
    "World",
    "__version__",
    "audit",
    "backtest",
    "check",
    "check_cases",
    "compare",
    "context",
    "costs",
    "deadline_from",
    "diff",
    "exported_prices",
    "imported_prices",
    "load_price_sheet",
    "model_book",
    "price_catalogue",
    "price_drift",
    "receipt",
    "record_success",
    "settle",
    "shadow_report",
    "simulate",
    "variables_set",
    "with_prices",
]
TESTING = [
    "Ailment",
    "Ask",
    "Crowded",
    "Cut",
    "DemoBackends",
    "Ending",
    "FakeClock",
    "Fault",
    "FaultKind",
    "FaultTransport",
    "Flapping",
    "FleetBackend",
    "Frozen",
    "HealthAnswers",
    "Journey",
    "Killed",
    "LeakedTasks",
    "LoopClock",
    "MetricsFault",
    "RecordedRequest",
    "Reply",
    "ScriptedWire",
    "SentRequest",
    "Service",
    "SimulatedBackend",
    "SimulatedFleet",
    "Slower",
    "Toxic",
    "ToxicKind",
    "ToxicProxy",
    "Try",
    "UnscriptedRequest",
    "VirtualTimeDeadlock",
    "VirtualTimeLoop",
    "VllmService",
    "count_tokens",
    "demo_backends",
    "no_leaks",
    "prompt_tokens",
    "run_in_virtual_time",
    "send_all",
    "tokenize",
    "traffic",
]
HEAVY = (
    "openai",
    "aiohttp",
    "httpx",
    "httpx2",
    "tenacity",
    "opentelemetry.sdk",
    "yaml",
    "typer",
    "sqlalchemy",
)


def test_the_public_names_are_these() -> None:
    """Sorted, so that a diff of them is one line."""
    assert hybridllm.__all__ == PUBLIC
    assert hybridllm.testing.__all__ == TESTING
    assert sorted(PUBLIC) == PUBLIC
    assert sorted(TESTING) == TESTING


@pytest.mark.parametrize(
    ("module", "name"),
    [(hybridllm, name) for name in PUBLIC if name != "__version__"]
    + [(hybridllm.testing, name) for name in TESTING],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_public_name_and_its_methods_are_explained(module: Any, name: str) -> None:
    """Whoever asks `help()` is answered; a type alias explains itself."""
    thing = getattr(module, name)
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return
    assert own_words(thing), f"{name} has no docstring"
    if inspect.isclass(thing):
        assert [n for n, each in methods(thing) if not inspect.getdoc(each)] == []


def own_words(thing: Any) -> str:
    """Its docstring; the one that `dataclass` writes is none."""
    said = thing.__doc__ or ""
    return "" if is_dataclass(thing) and said.startswith(f"{thing.__name__}(") else said


def methods(kind: type) -> list[tuple[str, Any]]:
    return [
        (name, each)
        for name, each in vars(kind).items()
        if not name.startswith("_")
        and (inspect.isfunction(each) or isinstance(each, property | classmethod | staticmethod))
    ]


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Names that are loaded later do not hide a typing mistake."""
    with pytest.raises(AttributeError, match="Routre"):
        _ = hybridllm.Routre
    assert hybridllm.HttpxWire is hybridllm.HttpxWire
    assert hybridllm.model_book().names()


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh process has loaded after some code."""
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


POLICY = """
version: 1
backends: {b: {kind: api, base_url: "https://b.test/v1"}}
models: {m: {on: {b: m}}}
routes: [{name: all, use: [m]}]
"""


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        pytest.param(
            "import hybridllm", (*HEAVY, "pydantic", "sqlalchemy", "jsonschema"), id="import"
        ),
        pytest.param("import hybridllm; hybridllm.context(tenant='a')", HEAVY, id="context"),
        pytest.param(
            f"import hybridllm; hybridllm.Router.from_text('''{POLICY}''').explain(task='x')",
            tuple(name for name in HEAVY if name != "yaml"),
            id="explain",
        ),
        pytest.param(
            "import hybridllm; hybridllm.model_book()",
            ("openai", "aiohttp", "httpx", "httpx2"),
            id="model-book",
        ),
    ],
)
def test_what_is_not_needed_is_not_loaded(code: str, heavy: tuple[str, ...]) -> None:
    """An import costs every process that has the package, also those that never make a request."""
    loaded = loaded_after(code)
    assert {name for name in heavy if name in loaded} == set()
    assert "hybridllm.testing" not in loaded


def test_the_public_types_are_told_to_type_checkers() -> None:
    """Without `py.typed` every annotation would be Any to a user."""
    from importlib.resources import files

    assert files("hybridllm").joinpath("py.typed").is_file()
