"""What tracing backends say of money, read over their own interfaces, beside what the ledger says."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from hybridllm import LedgerReader
from hybridllm._core.money.pico import usd_of

Books = dict[str, float]
"""USD per tenant."""
PATIENCE_S = 60.0


def ask(url: str, body: Any = None, *, patience_s: float = 20.0) -> Any:
    """Return what a server of this machine answers, decoded from JSON."""
    data = None if body is None else json.dumps(body).encode()
    head = {"content-type": "application/json"}
    request = urllib.request.Request(url, data, head)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=patience_s) as answer:
        return json.load(answer)


def until(true: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until it is true.

    Raises:
        TimeoutError: If it does not come true.
    """
    end_s = time.perf_counter() + patience_s
    while time.perf_counter() < end_s:
        if true():
            return
        time.sleep(0.5)
    raise TimeoutError(f"{what}: not within {patience_s:g} s")


def of_ledger(ledger: Path) -> tuple[Books, int]:
    """Return what the ledger says per tenant, and how many attempts failed.

    Raises:
        AssertionError: If the traffic lacked what it should have had: then the sums would prove little.
    """
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    failed, rows = 0, list(LedgerReader(ledger).attempts())
    kinds = {(row.reason, row.outcome, row.usage_source) for row in rows}
    for kind in (
        ("primary", "failed", None),
        ("primary", "failed", "estimated"),  # a cut stream
        ("primary", "served", "estimated"),
        ("primary", "lost_hedge", "estimated"),
        ("failover", "served", "provider"),
        ("hedge", "served", "provider"),
    ):
        assert kind in kinds, kind
    for row in rows:
        failed += row.outcome == "failed"
        if row.cost_pico is not None:
            sums[str(row.tenant)] += usd_of(row.cost_pico)
    return {tenant: float(usd) for tenant, usd in sums.items()}, failed


def of_mlflow(url: str, experiment: str, traces: int) -> tuple[Books, int]:
    """Return what MLflow says per tenant, and how many attempts it shows as failed."""
    found: list[Any] = []

    def all_there() -> bool:
        found[:] = ask(
            f"{url}/api/3.0/mlflow/traces/search",
            {
                "locations": [
                    {
                        "type": "MLFLOW_EXPERIMENT",
                        "mlflow_experiment": {"experiment_id": experiment},
                    }
                ],
                "max_results": 500,
            },
        )["traces"]
        return len(found) >= traces

    until(all_there, "traces in MLflow")
    sums: defaultdict[str, list[float]] = defaultdict(list)
    failed = 0
    for trace in found:
        spans = ask(f"{url}/ajax-api/3.0/mlflow/get-trace-artifact?request_id={trace['trace_id']}")
        attempts = [span["attributes"] for span in spans["spans"]]
        (tenant,) = {json.loads(one["hybridllm.tenant.id"]) for one in attempts}
        failed += sum(one.get("hybridllm.attempt.outcome") == '"failed"' for one in attempts)
        said = trace.get("trace_metadata", {}).get("mlflow.trace.cost")
        if said is not None:
            sums[tenant].append(json.loads(said)["total_cost"])
    return {tenant: sum(usd) for tenant, usd in sums.items()}, failed


_SUMS = """query($id: ID!, $filter: String) {
  node(id: $id) { ... on Project { costSummary(filterCondition: $filter) { total { cost } } } }
}"""
_FAILED = """query($id: ID!) { node(id: $id) { ... on Project {
  spans(first: 1000, filterCondition: "status_code == 'ERROR' and span_kind == 'LLM'") {
    edges { node { name } }
  }
} } }"""


def project(url: str, name: str) -> str:
    """Return Phoenix's id of a project, once its first span is taken in."""
    found: list[str] = []

    def there() -> bool:
        said = ask(f"{url}/graphql", {"query": "{ projects { edges { node { id name } } } }"})
        nodes = [edge["node"] for edge in said["data"]["projects"]["edges"]]
        found[:] = [str(node["id"]) for node in nodes if node["name"] == name]
        return bool(found)

    until(there, "the project in Phoenix")
    return found[0]


def of_phoenix(url: str, name: str, tenants: tuple[str, ...], expected: Books) -> tuple[Books, int]:
    """Return what Phoenix says per tenant, by its own prices, and how many attempts it shows as failed."""
    node = project(url, name)
    books: Books = {}

    def read() -> bool:
        for tenant in tenants:
            said = ask(
                f"{url}/graphql",
                {
                    "query": _SUMS,
                    "variables": {
                        "id": node,
                        "filter": f"attributes['hybridllm']['tenant']['id'] == '{tenant}'",
                    },
                },
            )
            books[tenant] = said["data"]["node"]["costSummary"]["total"]["cost"] or 0.0
        return all(abs(books[tenant] - expected[tenant]) < 1e-9 for tenant in tenants)

    _patiently(read, "money in Phoenix")
    failed = ask(f"{url}/graphql", {"query": _FAILED, "variables": {"id": node}})
    return books, len(failed["data"]["node"]["spans"]["edges"])


def of_prometheus(url: str, expected: Books) -> Books:
    """Return what a query to Prometheus says per tenant."""
    books: Books = {}
    query = urllib.parse.quote(
        "sum by (hybridllm_tenant_id) ({__name__=~'hybridllm_cost.*_total'})"
    )

    def read() -> bool:
        said = ask(f"{url}/api/v1/query?query={query}")["data"]["result"]
        books.update(
            {one["metric"].get("hybridllm_tenant_id", ""): float(one["value"][1]) for one in said}
        )
        return books.keys() == expected.keys() and all(
            abs(books[tenant] - usd) < 1e-9 for tenant, usd in expected.items()
        )

    _patiently(read, "money in Prometheus")
    return books


def _patiently(read: Callable[[], bool], what: str) -> None:
    """Wait until they agree; if they do not, what is said then is what is compared."""
    with suppress(TimeoutError):
        until(read, what, 30)
