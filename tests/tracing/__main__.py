"""`nox -s tracing`: MLflow, Phoenix and Prometheus show the money that the ledger has, to 1e-9 USD.

    python -m tracing MLFLOW_VENV PHOENIX_VENV PROMETHEUS [--pictures FOLDER]

Exits with 1 if one of them disagrees, or does not see the attempts that failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import start_http_server

from hybridllm import LedgerReader
from tracing import books, servers, sixty

PROJECT = "hybridllm"
REQUESTS = sum(count for *_, count in sixty.PARTS)
PRICES_KNOWN_S = 6.0  # Phoenix looks at its prices every five
CHROMIUM = (
    "chromium",
    "--headless=new",
    "--no-sandbox",
    "--hide-scrollbars",
    "--disable-gpu",
    "--force-prefers-reduced-motion",
)


def main() -> int:
    """Return how many of the backends disagree."""
    parser = argparse.ArgumentParser(prog="python -m tracing")
    parser.add_argument("mlflow", type=Path)
    parser.add_argument("phoenix", type=Path)
    parser.add_argument("prometheus", type=Path)
    parser.add_argument("--pictures", type=Path, help="where screenshots go; they need chromium")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mlflow = stack.enter_context(servers.mlflow(given.mlflow, folder))
        phoenix = stack.enter_context(servers.phoenix(given.phoenix, folder))
        port = servers.free_port()
        scraped, _ = start_http_server(port, addr="127.0.0.1")
        stack.callback(scraped.shutdown)
        prometheus = stack.enter_context(servers.prometheus(given.prometheus, folder, port))
        experiment = books.ask(f"{mlflow}/api/2.0/mlflow/experiments/create", {"name": PROJECT})[
            "experiment_id"
        ]
        ledger = folder / "ledger.db"
        asyncio.run(_send(folder, ledger, mlflow, experiment, phoenix))
        expected, failed = books.of_ledger(ledger)
        print(f"{'ledger':<11}", _shown(expected), f"{failed} attempts failed")
        read = {
            "mlflow": books.of_mlflow(mlflow, experiment, REQUESTS),
            "phoenix": books.of_phoenix(phoenix, PROJECT, sixty.TENANTS, expected),
            "prometheus": (books.of_prometheus(prometheus, expected), None),
        }
        wrong = sum(_disagrees(name, *said, expected, failed) for name, said in read.items())
        if given.pictures is not None:
            _pictures(given.pictures, ledger, mlflow, experiment, phoenix)
    return wrong


async def _send(folder: Path, ledger: Path, mlflow: str, experiment: str, phoenix: str) -> None:
    async with sixty.backends() as there:
        _teach(phoenix, sixty.policy(there), folder / "policy.yaml")
        resource = Resource.create(
            {"service.name": "support", "openinference.project.name": PROJECT}
        )
        tracer_provider = TracerProvider(resource=resource)
        for url, headers in (
            (mlflow, {"x-mlflow-experiment-id": experiment}),
            (phoenix, {}),
        ):
            exporter = OTLPSpanExporter(f"{url}/v1/traces", headers=headers)
            tracer_provider.add_span_processor(BatchSpanProcessor(exporter))
        meter_provider = MeterProvider([PrometheusMetricReader()])
        await sixty.send(there, ledger, tracer_provider, meter_provider)
        await asyncio.to_thread(tracer_provider.shutdown)


def _teach(phoenix: str, policy: str, file: Path) -> None:
    """Give Phoenix the policy's prices: it reckons by its own list, whatever spans say."""
    file.write_text(policy, encoding="utf-8")
    command = (sys.executable, "-m", "hybridllm", "prices", "export", str(file), "--to", "phoenix")
    exported = subprocess.run(command, check=True, capture_output=True, text=True)
    for body in json.loads(exported.stdout):
        said = books.ask(f"{phoenix}/graphql", body)
        assert not said.get("errors"), said
    time.sleep(PRICES_KNOWN_S)


def _shown(said: books.Books) -> str:
    return "  ".join(f"{tenant} {said[tenant]:.10f}" for tenant in sorted(said))


def _disagrees(
    name: str, said: books.Books, seen: int | None, expected: books.Books, failed: int
) -> bool:
    off = max(abs(said.get(tenant, 0.0) - usd) for tenant, usd in expected.items())
    wrong = off > 1e-9 or said.keys() != expected.keys() or seen not in (None, failed)
    attempts = "" if seen is None else f"{seen} attempts failed, "
    print(f"{name:<11}", _shown(said), f"{attempts}off by {off:.1e}", "WRONG" if wrong else "ok")
    return wrong


def _pictures(folder: Path, ledger: Path, mlflow: str, experiment: str, phoenix: str) -> None:
    """Have a browser without a screen look at a request that failed over, in both."""
    (seen,) = [
        row
        for row in LedgerReader(ledger).attempts()
        if row.reason == "failover" and row.outcome == "served"
    ][:1]
    node = books.project(phoenix, PROJECT)
    for name, url in (
        (
            "tracing-mlflow",
            f"{mlflow}/#/experiments/{experiment}/traces?selectedEvaluationId=tr-{seen.trace_id}",
        ),
        ("tracing-phoenix", f"{phoenix}/projects/{node}/traces/{seen.trace_id}"),
    ):
        file = (folder / f"{name}.png").absolute()
        with tempfile.TemporaryDirectory() as profile:
            looked = (
                *CHROMIUM,
                f"--user-data-dir={profile}",
                "--window-size=1500,760",
                "--virtual-time-budget=30000",
                f"--screenshot={file}",
                url,
            )
            subprocess.run(looked, check=True, capture_output=True, timeout=90)
        print(file.name, f"{file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
