"""Real tracing backends on loopback, each in a process of its own, with nothing that phones out."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import urllib.error
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tracing.books import ask, until

START_S = 120.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def mlflow(python_home: Path, folder: Path) -> Iterator[str]:
    """MLflow, and its URL."""
    port = free_port()
    command = [
        *(str(python_home / "bin" / "mlflow"), "server", "--host", "127.0.0.1"),
        *("--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--default-artifact-root", str(folder / "artifacts")),
    ]
    environ = {
        "MLFLOW_MODEL_CATALOG_URI": "",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PATH": f"{python_home / 'bin'}{os.pathsep}{os.environ['PATH']}",  # noqa: TID251 - of what is started
    }
    with _running(command, environ, folder / "mlflow.log"):
        url = f"http://127.0.0.1:{port}"
        body = {"max_results": 1}
        _up(f"{url}/api/2.0/mlflow/experiments/search", body, "MLflow")
        yield url


@contextmanager
def phoenix(python_home: Path, folder: Path) -> Iterator[str]:
    """Phoenix, and its URL."""
    port = free_port()
    environ = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_WORKING_DIR": str(folder / "phoenix"),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
    }
    command = [str(python_home / "bin" / "phoenix"), "serve"]
    with _running(command, environ, folder / "phoenix.log"):
        url = f"http://127.0.0.1:{port}"
        _up(f"{url}/graphql", {"query": "{ __typename }"}, "Phoenix")
        yield url


@contextmanager
def prometheus(binary: Path, folder: Path, target: int) -> Iterator[str]:
    """Prometheus, looking at one port of ours each second, and its URL."""
    port, config = free_port(), folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: ours, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
    )
    command = [
        *(str(binary), f"--config.file={config}", f"--storage.tsdb.path={folder / 'prometheus'}"),
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with _running(command, {}, folder / "prometheus.log"):
        url = f"http://127.0.0.1:{port}"
        _up(f"{url}/api/v1/status/buildinfo", None, "Prometheus")
        yield url


@contextmanager
def _running(command: list[str], environ: Mapping[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        server = subprocess.Popen(
            command,
            env={**os.environ, **environ},  # noqa: TID251 - of what is started
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def _up(url: str, body: object, what: str) -> None:
    def answers() -> bool:
        try:
            ask(url, body)
        except (urllib.error.URLError, OSError, ValueError):
            return False
        return True

    until(answers, what, START_S)
