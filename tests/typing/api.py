"""The public API as type checkers see it; read by mypy and pyright in strict mode, never run.

    mypy tests/typing/api.py
    pyright

A line that stops checking is a break for users, and a `type: ignore` that is no longer needed is one too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, assert_type

import httpx
import httpx2
import openai
from openai.pagination import AsyncPage
from openai.types import CreateEmbeddingResponse, Model
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionMessageParam,
    ChatCompletionToolParam,
    ParsedChatCompletion,
)
from pydantic import BaseModel

import hybridllm
from hybridllm import (
    Attempt,
    BackendStatus,
    BatchJob,
    BatchSummary,
    Book,
    BookEntry,
    BulkJob,
    BulkProgress,
    BulkResult,
    Candidate,
    CandidateStatus,
    CasesReport,
    Continued,
    Denied,
    Dropped,
    Explanation,
    HttpxWire,
    HybridLLMError,
    Kept,
    Paid,
    Plan,
    Policy,
    PolicyDenied,
    PolicyError,
    PolicyReport,
    Problem,
    Receipt,
    RequestFailed,
    Restarted,
    RouteExhausted,
    Router,
    Status,
    Stream,
    StreamInterrupted,
    TruncatedOutput,
    World,
    check,
    check_cases,
    context,
    deadline_from,
    model_book,
    receipt,
)
from hybridllm.testing import (
    Fault,
    Reply,
    ScriptedWire,
    SimulatedBackend,
    no_leaks,
    run_in_virtual_time,
)


class Triage(BaseModel):
    label: str


MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
TOOLS: list[ChatCompletionToolParam] = [{"type": "function", "function": {"name": "f"}}]


async def chat(router: Router) -> None:
    """An answer is openai's; so are its parts."""
    reply = await router.chat.completions.create(messages=MESSAGES)
    assert_type(reply, ChatCompletion)
    assert_type(reply.choices[0].message.content, str | None)
    await router.chat.completions.create(
        messages=[{"role": "user", "content": "hello"}],
        task="classify",
        residency="eu",
        tenant="acme",
        feature="triage",
        session="s",
        priority="batch",
        deadline_s=2.0,
        max_cost_usd=Decimal("0.1"),
        metadata={"ticket": "7"},
        model="qwen3-8b",
        max_tokens=4,
        temperature=0.0,
        tools=TOOLS,
        tool_choice="auto",
        response_format={"type": "json_object"},
        extra_body={"top_k": 5},
        extra_headers={"x-request-id": "r"},
        stop=openai.omit,
    )
    assert_type(
        await router.chat.completions.create(messages=MESSAGES, stream=False), ChatCompletion
    )


async def stream(router: Router, either: bool) -> None:
    """`stream=True` is a Stream; a bool that nobody knows is either."""
    chunks = await router.chat.completions.create(messages=MESSAGES, stream=True)
    assert_type(chunks, Stream)
    async with chunks as entered:
        assert_type(entered, Stream)
        async for _ in entered:
            pass
    assert_type(chunks.receipt, Receipt)
    sewn = await router.chat.completions.create(
        messages=MESSAGES, stream=True, on_interrupt="restart"
    )
    assert_type(sewn, Stream)
    async for item in sewn:
        if isinstance(item, Restarted):
            assert_type(item.discarded_text, str)
        elif isinstance(item, Continued):
            assert_type(item.kept_tokens, int)
    assert_type(chunks.model, str)
    assert_type(chunks.backend, str)
    await chunks.close()
    answer = await router.chat.completions.create(messages=MESSAGES, stream=either)
    assert_type(answer, ChatCompletion | Stream)


async def parse(router: Router) -> None:
    """The object is of the class that was given."""
    parsed = await router.chat.completions.parse(
        messages=MESSAGES, response_format=Triage, task="t"
    )
    assert_type(parsed, ParsedChatCompletion[Triage])
    found = parsed.choices[0].message.parsed
    assert_type(found, Triage | None)


async def others(router: Router) -> None:
    """Embeddings and models."""
    answer = await router.embeddings.create(
        input=["a"], model="bge-m3", tenant="acme", dimensions=4
    )
    assert_type(answer, CreateEmbeddingResponse)
    assert_type(await router.models.list(), AsyncPage[Model])


async def making(path: Path, httpx_client: httpx.AsyncClient, client: httpx2.AsyncClient) -> None:
    """Every way to make a router."""
    async with Router.from_file("policy.yaml") as router:
        assert_type(router, Router)
        assert_type(router.policy, Policy)
    Router.from_file(path, environ={"KEY": "k"}, environment="staging")
    Router.from_text("version: 1", name="inline", wire=HttpxWire(httpx_client))
    Router(check(path).policy, wire=HttpxWire(client))
    await Router.from_text(b"version: 1").aclose()


async def bulk(router: Router, path: Path) -> None:
    """Many requests; their results and sums."""
    requests: list[dict[str, Any]] = [{"messages": MESSAGES}]
    job = router.map(requests, concurrency=8, ordered=False, journal=path, unknown="skip")
    assert_type(job, BulkJob)
    async with job as entered:
        assert_type(entered, BulkJob)
        async for result in entered:
            assert_type(result, BulkResult)
            assert_type(result.key, str | None)
            assert_type(result.error, Exception | None)
            assert_type(result.paid, Paid)
            assert_type(result.paid.cost_usd, Decimal | None)
    assert_type(job.progress, BulkProgress)
    assert_type(job.progress.cost_usd, Decimal)
    router.map(
        (("key", request) for request in requests), on_progress=print, operation="embeddings"
    )
    batch = BatchJob(router, path, "out.jsonl", hints={"task": "classify"}, resume=True)
    assert_type(await batch.run(), BatchSummary)


async def marked(router: Router) -> None:
    """What conditions look at: tags, metadata, a vector space."""
    await router.chat.completions.create(
        messages=MESSAGES, tags=["beta"], metadata={"plan": "pro", "seats": 7, "vip": True}
    )
    await router.embeddings.create(input="hello", vector_space="bge-m3", tags={"bulk"})


async def reloading(router: Router) -> None:
    """A reload says whether another policy is in force; the status says what became of reloads."""
    assert_type(Router.from_file("policy.yaml", watch=True, watch_s=0.5), Router)
    assert_type(await router.reload(), bool)
    assert_type(router.status(), Status)
    assert_type(router.status().last_error, str | None)
    assert_type(router.status().observed["constraint 'x' would drop a/b"], int)


def looking(router: Router, path: Path) -> None:
    """Every candidate and every backend, in words and figures."""
    assert_type(Router.from_text("version: 1", status_dir=path), Router)
    status = router.status()
    assert_type(status.candidates, tuple[CandidateStatus, ...])
    assert_type(status.candidates[0].reason, str)
    assert_type(status.candidates[0].probe_in_s, float | None)
    assert_type(status.backends, tuple[BackendStatus, ...])
    assert_type(status.backends[0].limit, int | None)
    assert_type(status.panic, tuple[str, ...])
    assert_type(status.to_dict(), dict[str, Any])


def testing_a_policy() -> None:
    """One line in anybody's own tests."""
    report = check_cases("policy.yaml")
    assert_type(report, CasesReport)
    report.assert_passed(min_coverage=100)


def deciding(router: Router) -> None:
    """Explaining is synchronous, and takes what a call takes."""
    told = router.explain(task="classify", residency="phi", input_tokens=5, needs=["tools"])
    assert_type(told, Explanation)
    assert_type(told.allowed, bool)
    assert_type(told.route, str | None)
    assert_type(told.candidates, tuple[str, ...])
    assert_type(told.dropped, tuple[tuple[str, str], ...])
    assert_type(told.plan, Plan | Denied)
    assert_type(told.to_dict(), dict[str, Any])
    if isinstance(told.plan, Plan):
        assert_type(told.plan.kept, tuple[Kept, ...])
        assert_type(told.plan.kept[0].candidate, Candidate)
        assert_type(told.plan.dropped, tuple[Dropped, ...])
    at_night = World(
        down=["global-us"],
        ttft_ms={"vllm-fra": {90: 1200}},
        in_flight={"vllm-fra": 9},
        load={
            "vllm-fra": {"waiting": 9, "kv_cache_pct": 93.5},
            "global-us": {"rate_limited": True},
        },
        volume={"tokens_per_day": 600_000_000, "sustained_days": 120, "of": "all"},
        break_even="above",
        now=datetime(2026, 12, 1, 22, tzinfo=UTC),
        carried=("phi",),
    )
    assert_type(router.explain(task="classify", world=at_night), Explanation)
    assert_type(told.to_mermaid(), str)
    assert_type(deadline_from({"grpc-timeout": "5S"}), float | None)
    with context(tenant="acme", residency="eu"):
        pass


def receipts(reply: ChatCompletion) -> None:
    """Money is Decimal or unknown."""
    told = receipt(reply)
    assert_type(told, Receipt)
    assert_type(told.cost_usd, Decimal | None)
    assert_type(told.attempts, tuple[Attempt, ...])
    assert_type(told.to_dict(), dict[str, Any])


def checking() -> None:
    """A policy file, and the book."""
    report = hybridllm.check("policy.yaml")
    assert_type(report, PolicyReport)
    assert_type(report.problems, tuple[Problem, ...])
    book = model_book()
    assert_type(book, Book)
    entry = book.get("qwen3-8b")
    assert_type(entry, BookEntry | None)
    try:
        check("nowhere.yaml")
    except PolicyError as error:
        assert_type(error.problems, tuple[Problem, ...])


async def failing(router: Router) -> None:
    """Facts are attributes, with types."""
    try:
        await router.chat.completions.create(messages=MESSAGES)
    except PolicyDenied as error:
        assert_type(error.rule, str)
        assert_type(error.dropped, tuple[Dropped, ...])
    except StreamInterrupted as error:
        assert_type(error.partial_text, str)
        assert_type(error.tokens_seen, int)
        assert_type(error.resumable, bool)
    except RouteExhausted as error:
        assert_type(error.failures, tuple[tuple[str, str], ...])
    except TruncatedOutput as error:
        assert_type(error.receipt, Receipt | None)
    except RequestFailed as error:
        assert_type(error.status_code, int | None)
    except HybridLLMError:
        pass


async def testing() -> None:
    """What users test their own applications with."""
    wire = ScriptedWire({"b.test": [Reply.status(503), Reply.chat("hello")]})
    async with no_leaks(), SimulatedBackend(fault=Fault.hang(times=1)) as backend:
        assert_type(backend.base_url, str)
        Router.from_text("version: 1", wire=wire)


def in_virtual_time() -> None:
    """The result is that of the function."""

    async def main() -> int:
        return 1

    assert_type(run_in_virtual_time(main), int)


async def mistakes(router: Router) -> None:
    """What must not check: each of these is an error of the caller, found before it runs."""
    create = router.chat.completions.create
    await create(task="t")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await create(messages=MESSAGES, residenci="eu")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await create(messages=MESSAGES, priority="urgent")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await router.embeddings.create(model="m")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
