"""Prompts and keys show nowhere: not in spans, logs, reprs, receipts, errors or their tracebacks.

A traceback is taken with the locals of its frames, as error reporters do, and with the contexts that
`raise ... from None` only hides. So no function of this file keeps a canary in a local.
"""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from pydantic import BaseModel

from adapters.span_trees import recording
from hybridllm import Router, receipt
from hybridllm.testing import LoopClock, Reply, ScriptedWire, run_in_virtual_time

PROMPT = "canary-prompt-7f3a"
KEY = "sk-canary-key-0123456789abcdef"
POLICY = """
version: 1
environment: test
backends:
  us: {kind: api, base_url: "https://us.test/v1", api_key_env: KEY, region: us}
  fra: {kind: vllm, base_url: "https://fra.test/v1", api_key_env: KEY, region: eu, propagate_trace: true}
models:
  m: {price: {input_per_1m: 1, output_per_1m: 2}, capabilities: [json_schema, embeddings],
      on: {us: m, fra: m}}
residency: {space: {regions: [orbit]}}
routes:
  - {name: default, use: [m]}
"""


class Answer(BaseModel):
    value: int


class _BrokenWire(ScriptedWire):
    """A wire with a bug: it raises what no wire may raise."""

    async def send(self, request: Any) -> Any:
        raise RuntimeError("a bug")


def messages() -> list[dict[str, str]]:
    return [{"role": "user", "content": PROMPT}]


async def chat(asked: Router, **params: Any) -> None:
    await asked.chat.completions.create(messages=messages(), **params)


async def stream(asked: Router, **params: Any) -> None:
    async with await asked.chat.completions.create(
        messages=messages(), stream=True, **params
    ) as answer:
        async for _ in answer:
            pass


async def parse(asked: Router) -> None:
    await asked.chat.completions.parse(messages=messages(), response_format=Answer)


async def embed(asked: Router) -> None:
    await asked.embeddings.create(input=[PROMPT], model="m")


async def out_of_patience(asked: Router) -> None:
    async with asyncio.timeout(0.5):
        await chat(asked)


async def out_of_patience_in_a_stream(asked: Router) -> None:
    async with asyncio.timeout(0.5):
        await stream(asked)


async def cancelled(asked: Router) -> None:
    """The task itself is cancelled, and its CancelledError is looked at."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(error_of(chat, asked))
        await asyncio.sleep(0.5)
        task.cancel()
    raise await task


async def closed(asked: Router) -> None:
    await asked.aclose()
    await chat(asked)


async def denied(asked: Router) -> None:
    await chat(asked, residency="space")


async def unknown_tag(asked: Router) -> None:
    await chat(asked, residency="moon")


async def late(asked: Router) -> None:
    await chat(asked, deadline_s=0.5)


async def late_in_a_stream(asked: Router) -> None:
    await stream(asked, deadline_s=0.5)


async def wrong_hint(asked: Router) -> None:
    await chat(asked, deadline_s=-1)


async def wrong_parameter(asked: Router) -> None:
    """It cannot be said in JSON; found out only when the body is made."""
    await asked.chat.completions.create(messages=messages(), odd={PROMPT: object()})


async def wrong_messages(asked: Any) -> None:
    await asked.chat.completions.create(messages=PROMPT)


async def wrong_header(asked: Router) -> None:
    await asked.chat.completions.create(
        messages=messages(), extra_headers={"Authorization": f"Bearer {KEY}"}
    )


def words(said: str) -> dict[str, Any]:
    return {"error": {"message": said, "type": said, "param": said, "code": said}}


def begun(*more: bytes) -> Reply:
    """A stream that has begun, and what follows its first token."""
    first = Reply.chat_stream(["It"], usage=None, finish_reason=None, done=False)
    return Reply.stream(*first.chunks, *more)


@dataclass(frozen=True)
class Case:
    """A way in which a request fails, and the name of the error that its caller gets."""

    error: str
    act: Callable[[Router], Awaitable[None]]
    reply: Reply | None = None

    def __repr__(self) -> str:
        return f"Case({self.error})"


CASES = {
    "rejected": Case("RequestRejected", chat, Reply.status(400)),
    "rejected-embeddings": Case("RequestRejected", embed, Reply.status(422)),
    "rejected-parse": Case("RequestRejected", parse, Reply.status(400)),
    "rejected-echoes-key": Case("RequestRejected", chat, Reply.status(400, words(KEY))),
    "unauthorized-echoes-key": Case("RouteExhausted", chat, Reply.status(401, words(KEY))),
    "exhausted-echoes-key": Case("RouteExhausted", chat, Reply.status(503, words(KEY))),
    "exhausted-connect": Case("RouteExhausted", chat, Reply.fail("connect")),
    "exhausted-reset": Case("RouteExhausted", chat, Reply.fail("reset")),
    "exhausted-garbage": Case("RouteExhausted", chat, Reply.raw(f"<html>{KEY} {PROMPT}".encode())),
    "exhausted-no-answer": Case("RouteExhausted", chat, Reply.json({"choices": PROMPT, "id": KEY})),
    "exhausted-error-in-200": Case("RouteExhausted", chat, Reply.json(words(KEY))),
    "exhausted-stream": Case("RouteExhausted", stream, Reply.status(500, words(KEY))),
    "denied": Case("PolicyDenied", denied),
    "denied-unknown-tag": Case("PolicyDenied", unknown_tag),
    "invalid-hint": Case("InvalidRequest", wrong_hint),
    "invalid-parameter": Case("InvalidRequest", wrong_parameter),
    "invalid-messages": Case("InvalidRequest", wrong_messages),
    "invalid-header": Case("InvalidRequest", wrong_header),
    "deadline": Case("DeadlineExceeded", late, Reply.hang()),
    "deadline-in-a-stream": Case("DeadlineExceeded", late_in_a_stream, begun().then_hang()),
    "cancelled": Case("CancelledError", cancelled, Reply.hang()),
    "cancelled-by-timeout": Case("TimeoutError", out_of_patience, Reply.hang()),
    "cancelled-opening-a-stream": Case("TimeoutError", out_of_patience_in_a_stream, Reply.hang()),
    "cancelled-in-a-stream": Case("TimeoutError", out_of_patience_in_a_stream, begun().then_hang()),
    "stream-reset": Case("StreamInterrupted", stream, begun().then_fail()),
    "stream-idle": Case("StreamInterrupted", stream, begun().then_hang()),
    "stream-garbage": Case("StreamInterrupted", stream, begun(f"data: {{{PROMPT}\n\n".encode())),
    "stream-error-event": Case(
        "StreamInterrupted", stream, begun(f"data: {json.dumps(words(KEY))}\n\n".encode())
    ),
    "truncated": Case("TruncatedOutput", parse, Reply.chat('{"value":', finish_reason="length")),
    "filtered": Case("ContentFiltered", parse, Reply.chat(None, finish_reason="content_filter")),
    "closed": Case("RouterClosed", closed),
    "wire-with-a-bug": Case("RuntimeError", chat),
    "wire-with-a-bug-stream": Case("RuntimeError", stream),
}
ECHOES_OF_THE_PROMPT = {
    "rejected": Case("RequestRejected", chat, Reply.status(400, words(PROMPT))),
    "exhausted": Case("RouteExhausted", chat, Reply.status(503, words(PROMPT))),
    "error-in-200": Case("RouteExhausted", chat, Reply.json(words(PROMPT))),
    "stream": Case(
        "StreamInterrupted", stream, begun(f"data: {json.dumps(words(PROMPT))}\n\n".encode())
    ),
}


async def error_of(act: Callable[[Router], Awaitable[None]], asked: Router) -> BaseException:
    try:
        await act(asked)
    except BaseException as error:  # noqa: BLE001 - every kind is looked at, cancellation too
        return error
    raise AssertionError("nothing was raised")


def failed(case: Case, name: str) -> tuple[BaseException, tuple[ReadableSpan, ...], str]:
    """Make the request; return its error, the spans, and the router's reprs."""
    provider, exporter = recording()
    scripts = {} if case.reply is None else {"us.test": case.reply, "fra.test": case.reply}
    wire = (_BrokenWire if name.startswith("wire") else ScriptedWire)(scripts)

    async def main() -> tuple[BaseException, str]:
        async with Router.from_text(
            POLICY, environ={"KEY": KEY}, wire=wire, tracer_provider=provider, clock=LoopClock()
        ) as asked:
            error = await error_of(case.act, asked)
            return error, repr([asked, vars(asked), vars(asked.chat), asked.explain()])

    error, router = run_in_virtual_time(main)
    return error, exporter.get_finished_spans(), router


def chain(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    """The error and everything that led to it, hidden by `from None` or not."""
    if error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        yield from chain(error.__cause__, seen)
        yield from chain(error.__context__, seen)


def shown_by(error: BaseException) -> dict[str, str]:
    """Every text that an error reporter could make of an error, by where it is from."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    shown = {"traceback": "".join(report.format())}
    for link in chain(error, set()):
        shown[f"{type(link).__name__} str"] = f"{link}"
        shown[f"{type(link).__name__} repr"] = f"{link!r}"
        frames = traceback.StackSummary.extract(
            traceback.walk_tb(link.__traceback__), capture_locals=True
        )
        for frame in frames:
            for local, value in (frame.locals or {}).items():
                shown[f"{frame.filename}:{frame.lineno} {frame.name} {local}"] = value
    return shown


def kept_of(error: BaseException, spans: tuple[ReadableSpan, ...]) -> dict[str, str]:
    """Every text that is kept or exported of a request."""
    kept = {
        f"span {span.name}": repr(
            [span.name, span.attributes, span.events, span.status.description, span.links]
        )
        for span in spans
    }
    for span in spans:
        kept[f"events of {span.name}"] = repr([event.attributes for event in span.events])
    try:
        found = receipt(error)
    except LookupError:
        return kept
    return kept | {"receipt": f"{found!r}{found}{json.dumps(found.to_dict())}"}


def logged(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    return {f"log {r.name} {r.lineno}": f"{r.getMessage()}{r.__dict__}" for r in caplog.records}


def leaks(texts: dict[str, str], *canaries: str) -> list[str]:
    """Where a canary shows."""
    return [where for where, text in texts.items() if any(canary in text for canary in canaries)]


@pytest.mark.parametrize("name", CASES)
def test_a_failure_shows_neither_prompt_nor_key(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong, an error reporter, a log and a trace may be read by strangers."""
    caplog.set_level(logging.DEBUG)
    case = CASES[name]
    error, spans, router = failed(case, name)
    assert type(error).__name__ == case.error
    texts = shown_by(error) | kept_of(error, spans) | logged(caplog) | {"router": router}
    assert leaks(texts, PROMPT, KEY) == []


@pytest.mark.parametrize("name", ECHOES_OF_THE_PROMPT)
def test_a_prompt_that_a_backend_echoes_is_in_no_span_log_or_receipt(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A backend's words reach the caller, who knows the prompt, in the exception's text alone."""
    caplog.set_level(logging.DEBUG)
    case = ECHOES_OF_THE_PROMPT[name]
    error, spans, router = failed(case, name)
    assert type(error).__name__ == case.error
    assert leaks(kept_of(error, spans) | logged(caplog) | {"router": router}, PROMPT) == []


@pytest.mark.parametrize("act", [chat, stream, embed], ids=["chat", "stream", "embeddings"])
def test_a_success_shows_neither_prompt_nor_key(act: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Content is off: a trace tells who answered, how long it took and what it cost."""
    caplog.set_level(logging.DEBUG)
    replies = {
        chat: Reply.chat(PROMPT),
        stream: Reply.chat_stream([PROMPT]),
        embed: Reply.embeddings([[0.5, 0.5]]),
    }
    provider, exporter = recording()
    wire = ScriptedWire({"us.test": replies[act], "fra.test": replies[act]})

    async def main() -> str:
        async with Router.from_text(
            POLICY, environ={"KEY": KEY}, wire=wire, tracer_provider=provider, clock=LoopClock()
        ) as asked:
            await act(asked)
            return repr([asked, vars(asked), wire.requests])

    reprs = run_in_virtual_time(main)
    spans = exporter.get_finished_spans()
    assert len(spans) == 2
    texts = kept_of(Exception(), spans) | logged(caplog) | {"reprs": reprs}
    assert leaks(texts, PROMPT, KEY) == []
