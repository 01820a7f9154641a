"""Every example runs as it stands, and shows what its first line promises."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from hybridllm.testing import DemoBackends, demo_backends

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SECONDS_MAX = 60


def printed_by(name: str) -> str:
    """What an example prints, run as a user would run it; a warning is an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", f"examples/{name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_every_example_is_run_here() -> None:
    """One that is added to the folder is added to this file."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "bulk_tickets.py",
        "fastapi_app.py",
        "plain_app.py",
        "streaming.py",
        "tracing_console.py",
        "worker.py",
    }


def test_the_plain_app_pays_for_each_ticket_and_is_denied_a_wrong_tag() -> None:
    """The tag `eu` of its context keeps every ticket in the EU."""
    *tickets, denied = printed_by("plain_app.py").splitlines()
    assert len(tickets) == 3
    for line in tickets:
        assert re.fullmatch(r"'[^']+': global-eu, 0\.0\d+ USD, \d\.\d{3} s", line), line
    assert denied.startswith("denied, and nothing was sent: residency tag 'uk'")


def test_the_bulk_example_pays_for_nothing_twice_unasked() -> None:
    """It goes on where it was left; only what was under way may have been paid for before."""
    died, *progress, sums, runs = printed_by("bulk_tickets.py").splitlines()
    assert died == "-- the process dies --"
    assert len(progress) == 4
    assert sums.startswith("1000 answered, 0 failed")
    found = re.fullmatch(r"(\d+) of them by the first run, (\d+) perhaps paid for twice", runs)
    assert found is not None
    assert int(found[1]) > 500
    assert int(found[2]) <= 64


def test_the_streaming_example_loses_a_region_unseen() -> None:
    """Both answers are whole; the second one's receipt shows who failed."""
    before, after = printed_by("streaming.py").split("-- global-us is down --")
    for part in (before, after):
        assert "This is a simulated answer" in part
        assert "ok  route default of api-first" in part
        assert "cut off" not in part
    assert "1. global-us/deepseek-v4-flash  primary  served" in before
    assert re.search(r"1\. global-us/deepseek-v4-flash  primary  (?!served)", after)
    assert "global-eu/deepseek-v4-flash  failover  served" in after


def test_the_worker_finishes_its_jobs_after_sigterm() -> None:
    """It takes no more, breaks nothing off, and ends with 0."""
    command = [sys.executable, "-W", "error", "examples/worker.py"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("job 1: ")
        process.send_signal(signal.SIGTERM)
        said, errors = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, errors) == (0, "")
    assert "stopping: no more work is taken" in said
    assert "broken off" not in said
    assert re.search(r"done: \d+ jobs\n$", said)


def spans(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that the console exporter prints one behind the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        span, at = decoder.raw_decode(text, at)
        yield span
        at += len(text[at:]) - len(text[at:].lstrip())


def test_the_tracing_example_prints_both_attempts() -> None:
    """One request, two attempts below it: the one that failed, and the one that served."""
    failed, served, request = spans(printed_by("tracing_console.py"))
    assert request["name"] == "route chat"
    assert request["attributes"]["hybridllm.outcome"] == "ok"
    for attempt in (failed, served):
        assert attempt["name"] == "chat qwen3-8b"
        assert attempt["parent_id"] == request["context"]["span_id"]
    assert failed["attributes"]["hybridllm.backend.name"] == "global-us"
    assert failed["status"]["status_code"] == "ERROR"
    assert served["attributes"]["hybridllm.backend.name"] == "global-eu"
    assert served["attributes"]["hybridllm.attempt.reason"] == "failover"


# FastAPI


@asynccontextmanager
async def served() -> AsyncIterator[tuple[httpx.AsyncClient, DemoBackends]]:
    """The application of the example, open, and a client that calls it in process."""
    spec = importlib.util.spec_from_file_location("fastapi_app", EXAMPLES / "fastapi_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    async with demo_backends() as environ:
        app = module.create_app(environ)
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://app.test") as client,
        ):
            yield client, environ


@pytest.mark.parametrize(
    ("residency", "backend", "is_free"),
    [
        pytest.param(None, "global-us", False, id="anywhere"),
        pytest.param("eu", "global-eu", False, id="eu"),
        pytest.param("phi", "vllm-fra", True, id="our-own"),
    ],
)
async def test_a_question_is_answered_where_its_tag_allows(
    residency: str | None, backend: str, is_free: bool
) -> None:
    """With what it cost, as a text: JSON has no Decimal."""
    async with served() as (client, _):
        answer = await client.post("/questions", json={"text": "Why?", "residency": residency})
    assert answer.status_code == 200
    told = answer.json()
    assert told["backend"] == backend
    assert told["text"].startswith("This is a simulated answer")
    assert (Decimal(told["cost_usd"]) == 0) is is_free


async def test_a_tag_that_the_policy_does_not_know_is_a_403() -> None:
    """Nothing reaches any backend."""
    async with served() as (client, environ):
        answer = await client.post("/questions", json={"text": "Why?", "residency": "uk"})
        assert answer.status_code == 403
        assert answer.json()["detail"] == "not allowed by policy: unknown residency tag 'uk'"
        assert not any(backend.requests for backend in environ.backends.values())


async def test_a_question_that_nobody_can_answer_is_a_502() -> None:
    """All backends are down: the caller is told, and not with a traceback."""
    async with served() as (client, environ):
        for backend in environ.backends.values():
            backend.kill()
        answer = await client.post("/questions", json={"text": "Why?"})
    assert answer.status_code == 502
    assert answer.json()["detail"] == "no backend could answer"
