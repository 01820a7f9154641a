"""Decide, for every LLM request, whether a hosted API or your own vLLM answers.

    from hybridllm import Router, receipt

    async with Router.from_file("policies/api-first.yaml") as router:
        reply = await router.chat.completions.create(task="classify", messages=[...])
        print(reply.choices[0].message.content, receipt(reply).cost_usd)

Importing this package loads neither `openai` nor an HTTP client; the first request does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybridllm._compose.report import PolicyReport, check, diff
from hybridllm._compose.router import Router
from hybridllm._core.decide.explain import Explanation
from hybridllm._core.decide.plan import Denied, Dropped, Kept, Plan
from hybridllm._core.policy.compiled import Candidate, Policy
from hybridllm._core.policy.problems import Problem
from hybridllm._core.receipt import Attempt, Receipt
from hybridllm._core.request.deadline import deadline_from
from hybridllm._runtime.context import context
from hybridllm._runtime.receipts import receipt
from hybridllm._version import __version__
from hybridllm.errors import (
    BackendsUnavailable,
    BudgetExceeded,
    BulkFileError,
    ContentFiltered,
    DeadlineExceeded,
    HybridLLMError,
    InvalidOutput,
    InvalidRequest,
    LedgerError,
    OutcomeUnknown,
    Overloaded,
    PolicyDenied,
    PolicyError,
    RequestFailed,
    RequestRejected,
    RouteExhausted,
    RouterClosed,
    StreamInterrupted,
    TruncatedOutput,
    WarmingUp,
)

if TYPE_CHECKING:
    from hybridllm._adapters.book_data import shipped_book as model_book
    from hybridllm._adapters.httpx_wire import HttpxWire
    from hybridllm._adapters.ledger.reader import LedgerReader
    from hybridllm._adapters.ledger.upkeep import LedgerInfo, LedgerUpkeep
    from hybridllm._adapters.price_sheets import load_price_sheet
    from hybridllm._compose.backtest import backtest
    from hybridllm._compose.batch import BatchJob, BatchSummary
    from hybridllm._compose.cases import CasesReport, check_cases
    from hybridllm._compose.compare import CompareProgress, compare, shadow_report
    from hybridllm._compose.costs import audit, costs, record_success, settle
    from hybridllm._compose.ledger import Ledger
    from hybridllm._compose.prices import (
        ImportedPrices,
        PriceCatalogue,
        exported_prices,
        imported_prices,
        price_catalogue,
        price_drift,
    )
    from hybridllm._compose.simulate import simulate
    from hybridllm._compose.status import Status
    from hybridllm._compose.status_budgets import BudgetStatus
    from hybridllm._compose.status_cache import CacheStatus
    from hybridllm._compose.status_cascade import CascadeStatus
    from hybridllm._compose.status_ledger import LedgerStatus
    from hybridllm._compose.status_overflow import OverflowStatus
    from hybridllm._compose.status_rows import BackendStatus, CandidateStatus
    from hybridllm._compose.status_shadows import ShadowStatus
    from hybridllm._compose.status_volumes import VolumeStatus
    from hybridllm._compose.variables import variables_set
    from hybridllm._compose.world import World
    from hybridllm._core.backtest.report import BacktestReport
    from hybridllm._core.bulk.paid import Paid
    from hybridllm._core.bulk.result import BulkProgress, BulkResult
    from hybridllm._core.cascade.said import CascadeAnswer
    from hybridllm._core.cases.coverage import Coverage
    from hybridllm._core.cases.run import CaseResult
    from hybridllm._core.compare.comparison import Comparison
    from hybridllm._core.compare.live import ShadowSummary
    from hybridllm._core.ledger.apportion import FixedDay
    from hybridllm._core.ledger.audit import Audited
    from hybridllm._core.ledger.costs import CostReport, CostRow, MachineRow
    from hybridllm._core.ledger.what_if import Supposed, WhatIf
    from hybridllm._core.money.book import Book, BookEntry
    from hybridllm._core.money.catalogue.drift import PriceComparison, PriceDrift
    from hybridllm._core.money.catalogue.export import PriceExport
    from hybridllm._core.money.price import Price
    from hybridllm._core.policy.repriced import PriceSheet, with_prices
    from hybridllm._core.proof.diff import PolicyDiff
    from hybridllm._core.proof.matrix import ReachMatrix
    from hybridllm._core.resilience.seams import Continued, Restarted
    from hybridllm._core.simulate.report import SimulationReport
    from hybridllm._runtime.bulk.job import BulkJob
    from hybridllm._runtime.stream import Stream

__all__ = [
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

# Loaded when first named, so that what needs none of them starts the sooner.
_LATER = {
    "Audited": ("hybridllm._core.ledger.audit", "Audited"),
    "BackendStatus": ("hybridllm._compose.status_rows", "BackendStatus"),
    "BacktestReport": ("hybridllm._core.backtest.report", "BacktestReport"),
    "BatchJob": ("hybridllm._compose.batch", "BatchJob"),
    "BatchSummary": ("hybridllm._compose.batch", "BatchSummary"),
    "Book": ("hybridllm._core.money.book", "Book"),
    "BookEntry": ("hybridllm._core.money.book", "BookEntry"),
    "BudgetStatus": ("hybridllm._compose.status_budgets", "BudgetStatus"),
    "BulkJob": ("hybridllm._runtime.bulk.job", "BulkJob"),
    "BulkProgress": ("hybridllm._core.bulk.result", "BulkProgress"),
    "BulkResult": ("hybridllm._core.bulk.result", "BulkResult"),
    "CacheStatus": ("hybridllm._compose.status_cache", "CacheStatus"),
    "CandidateStatus": ("hybridllm._compose.status_rows", "CandidateStatus"),
    "CascadeAnswer": ("hybridllm._core.cascade.said", "CascadeAnswer"),
    "CascadeStatus": ("hybridllm._compose.status_cascade", "CascadeStatus"),
    "CaseResult": ("hybridllm._core.cases.run", "CaseResult"),
    "CasesReport": ("hybridllm._compose.cases", "CasesReport"),
    "CompareProgress": ("hybridllm._compose.compare", "CompareProgress"),
    "Comparison": ("hybridllm._core.compare.comparison", "Comparison"),
    "Continued": ("hybridllm._core.resilience.seams", "Continued"),
    "CostReport": ("hybridllm._core.ledger.costs", "CostReport"),
    "CostRow": ("hybridllm._core.ledger.costs", "CostRow"),
    "Coverage": ("hybridllm._core.cases.coverage", "Coverage"),
    "FixedDay": ("hybridllm._core.ledger.apportion", "FixedDay"),
    "HttpxWire": ("hybridllm._adapters.httpx_wire", "HttpxWire"),
    "ImportedPrices": ("hybridllm._compose.prices", "ImportedPrices"),
    "Ledger": ("hybridllm._compose.ledger", "Ledger"),
    "LedgerInfo": ("hybridllm._adapters.ledger.upkeep", "LedgerInfo"),
    "LedgerReader": ("hybridllm._adapters.ledger.reader", "LedgerReader"),
    "LedgerStatus": ("hybridllm._compose.status_ledger", "LedgerStatus"),
    "LedgerUpkeep": ("hybridllm._adapters.ledger.upkeep", "LedgerUpkeep"),
    "MachineRow": ("hybridllm._core.ledger.costs", "MachineRow"),
    "OverflowStatus": ("hybridllm._compose.status_overflow", "OverflowStatus"),
    "Paid": ("hybridllm._core.bulk.paid", "Paid"),
    "PolicyDiff": ("hybridllm._core.proof.diff", "PolicyDiff"),
    "Price": ("hybridllm._core.money.price", "Price"),
    "PriceCatalogue": ("hybridllm._compose.prices", "PriceCatalogue"),
    "PriceComparison": ("hybridllm._core.money.catalogue.drift", "PriceComparison"),
    "PriceDrift": ("hybridllm._core.money.catalogue.drift", "PriceDrift"),
    "PriceExport": ("hybridllm._core.money.catalogue.export", "PriceExport"),
    "PriceSheet": ("hybridllm._core.policy.repriced", "PriceSheet"),
    "ReachMatrix": ("hybridllm._core.proof.matrix", "ReachMatrix"),
    "Restarted": ("hybridllm._core.resilience.seams", "Restarted"),
    "ShadowStatus": ("hybridllm._compose.status_shadows", "ShadowStatus"),
    "ShadowSummary": ("hybridllm._core.compare.live", "ShadowSummary"),
    "SimulationReport": ("hybridllm._core.simulate.report", "SimulationReport"),
    "Status": ("hybridllm._compose.status", "Status"),
    "Stream": ("hybridllm._runtime.stream", "Stream"),
    "Supposed": ("hybridllm._core.ledger.what_if", "Supposed"),
    "VolumeStatus": ("hybridllm._compose.status_volumes", "VolumeStatus"),
    "WhatIf": ("hybridllm._core.ledger.what_if", "WhatIf"),
    "World": ("hybridllm._compose.world", "World"),
    "audit": ("hybridllm._compose.costs", "audit"),
    "backtest": ("hybridllm._compose.backtest", "backtest"),
    "check_cases": ("hybridllm._compose.cases", "check_cases"),
    "compare": ("hybridllm._compose.compare", "compare"),
    "costs": ("hybridllm._compose.costs", "costs"),
    "exported_prices": ("hybridllm._compose.prices", "exported_prices"),
    "imported_prices": ("hybridllm._compose.prices", "imported_prices"),
    "load_price_sheet": ("hybridllm._adapters.price_sheets", "load_price_sheet"),
    "model_book": ("hybridllm._adapters.book_data", "shipped_book"),
    "price_catalogue": ("hybridllm._compose.prices", "price_catalogue"),
    "price_drift": ("hybridllm._compose.prices", "price_drift"),
    "record_success": ("hybridllm._compose.costs", "record_success"),
    "settle": ("hybridllm._compose.costs", "settle"),
    "shadow_report": ("hybridllm._compose.compare", "shadow_report"),
    "simulate": ("hybridllm._compose.simulate", "simulate"),
    "variables_set": ("hybridllm._compose.variables", "variables_set"),
    "with_prices": ("hybridllm._core.policy.repriced", "with_prices"),
}


def __getattr__(name: str) -> Any:
    place = _LATER.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(place[0]), place[1])
