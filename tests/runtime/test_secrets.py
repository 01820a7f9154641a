"""Over real sockets, with aiohttp at work: no key and no prompt shows in what a failure leaves behind.

`test_canaries.py` asks the same of every kind of error over scripted backends; here the frames and the
logs of the HTTP library are in it too, and whatever the process still holds afterwards. No function of this
file keeps a canary in a local.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import pickle
import tempfile
from collections.abc import Iterator
from traceback import walk_tb
from types import CodeType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Any

import openai
import pytest

from adapters.span_trees import recording
from hybridllm import Router, receipt
from hybridllm._adapters.aiohttp_wire import AiohttpWire
from hybridllm.testing import Fault, SimulatedBackend
from runtime.test_canaries import chain, kept_of, leaks, logged, shown_by
from runtime.world import MODEL, policy

PROMPT = "canary-prompt-51c2"
KEY = "sk-canary-key-fedcba9876543210"
ANSWER = "canary-answer-88d0 and so on"
TIMEOUTS = "attempt: 200ms, first_token: 200ms, idle: 200ms, connect: 200ms"


def echoing(status: int) -> Fault:
    """An answer that repeats the key in every field that an error has, and in a header."""
    said = f"Incorrect API key provided: {KEY}. You can find yours at https://b.test/{KEY}"
    error = {"message": said, "type": KEY, "param": KEY, "code": KEY}
    return Fault.status(status, {"error": error, KEY: KEY}, headers={"x-request-id": KEY})


FAULTS = {
    "401": echoing(401),
    "403": echoing(403),
    "400": echoing(400),
    "429": echoing(429),
    "503": echoing(503),
    "401-text": Fault.status(401, f"<html>no: {KEY}"),
    "refuse": Fault.refuse(),
    "hang": Fault.hang(),
    "reset": Fault.reset_before_head(),
    "reset-mid-head": Fault.reset_mid_head(),
    "reset-mid-body": Fault.cut_after(1, "rst"),
    "garbage": Fault.garbage(f"GET {KEY} {PROMPT}".encode()),
    "body": Fault.body(f'{{"choices": "{KEY}"}}'.encode()),
    "redirect": Fault.redirect(f"http://127.0.0.1:1/{KEY}"),
    "stall": Fault.cut_after(1, "stall"),
    "error-event": Fault.cut_after(1, "error_event"),
    "gzip": Fault.gzip(),
}


async def ask(router: Router, *, stream: bool) -> None:
    answer: Any = await router.chat.completions.create(
        messages=[{"role": "user", "content": PROMPT}], task="t", stream=stream
    )
    if stream:
        async with answer:
            async for _ in answer:
                pass


async def error_over_sockets(
    name: str, *, stream: bool, provider: Any = None, alive: bool = False
) -> tuple[BaseException, dict[str, str]]:
    """The error of one request to one backend with the fault of that name, and what its router shows."""
    backend = SimulatedBackend(models=[MODEL], fault=FAULTS[name], answer=ANSWER)
    async with backend:
        wire = AiohttpWire()
        text = policy("b", urls={"b": backend.base_url}, timeouts=TIMEOUTS, repeats=1)
        async with Router.from_text(
            text, environ={"KEY": KEY}, wire=wire, tracer_provider=provider
        ) as router:
            try:
                await ask(router, stream=stream)
            except openai.OpenAIError as error:
                await asyncio.sleep(0)  # the loop lets go of what woke this task
                status = router.status()
                shown = {
                    "router": f"{router!r}{vars(router)!r}",
                    "status": f"{status}{status!r}{status.to_dict()}",
                    "crash dump": crash_dump(),
                }
                return error, shown | (dict(exceptions_alive()) if alive else {})
    raise AssertionError("it did not fail")


def crash_dump() -> str:
    """What faulthandler writes if the process dies here."""
    with tempfile.TemporaryFile("w+b") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read().decode()


def exceptions_alive() -> Iterator[tuple[str, str]]:
    """Every exception with a frame of ours that the process still holds: also those that nobody raised."""
    gc.collect()
    for number, one in enumerate(gc.get_objects()):
        # By its type: `isinstance` would ask openai's proxies for their class, and load half of it.
        if issubclass(type(one), BaseException) and any(map(of_ours, walk_tb(one.__traceback__))):
            for where, text in shown_by(one).items():
                yield f"alive {number}: {where}", text


def of_ours(place: tuple[FrameType, int]) -> bool:
    """Whether a frame is of the package, of aiohttp, or of this file."""
    name = place[0].f_code.co_filename
    return "hybridllm/_" in name or "/aiohttp/" in name or name == __file__


def reached_from(error: BaseException) -> Iterator[tuple[str, str]]:
    """Every text that hangs on an error, but through frames and what belongs to everybody."""
    shared = (ModuleType, type, FunctionType, CodeType, TracebackType)
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, shared):
            continue
        seen.add(id(one))
        if isinstance(one, str | bytes):
            yield f"reached {len(seen)}", str(one)
        waiting.extend(gc.get_referents(one))
    assert len(seen) < 20_000, "the walk left the error"


def texts_of(error: BaseException, spans: Any, caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """Every text that is made of an error, a trace and the logs."""
    told = receipt(error)
    texts = shown_by(error) | logged(caplog) | kept_of(error, spans)
    texts["receipt"] = f"{told!r}{told}{told.to_dict()}"
    for number, link in enumerate(chain(error, set())):
        texts[f"{number} args"] = f"{link.args!r}{vars(link)!r}{getattr(link, '__notes__', ())}"
    response = getattr(error, "response", None)
    if response is not None:
        texts["response"] = f"{response.request.headers}{response.headers}{response.text}"
    texts["pickle"] = repr(pickle.dumps(error))
    texts["pickled receipt"] = repr(pickle.dumps(told))
    return texts | dict(reached_from(error))


def everything_shown(
    name: str, caplog: pytest.LogCaptureFixture, *, stream: bool = False, alive: bool = False
) -> list[str]:
    """Where a canary shows after a failure; also used by the rows of the fault catalogue.

    Args:
        alive: Look at every exception that the process holds, too; that takes a second.
    """
    provider, exporter = recording()
    error, shown = asyncio.run(
        error_over_sockets(name, stream=stream, provider=provider, alive=alive), debug=True
    )
    texts = shown | texts_of(error, exporter.get_finished_spans(), caplog)
    return leaks(texts, KEY, PROMPT, ANSWER)


async def logged_by_a_success(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Where a canary shows after an answer and a stream."""
    provider, exporter = recording()
    async with SimulatedBackend(models=[MODEL], answer=ANSWER) as backend:
        text = policy("b", urls={"b": backend.base_url})
        async with Router.from_text(text, environ={"KEY": KEY}, tracer_provider=provider) as router:
            for stream in (False, True):
                await ask(router, stream=stream)
            assert b"canary-prompt" in backend.requests[0].raw  # the witness
            shown = {"router": f"{router!r}{vars(router)!r}", "status": str(router.status())}
    spans = exporter.get_finished_spans()
    assert len(spans) == 4
    texts = kept_of(Exception(), spans) | logged(caplog) | shown | dict(exceptions_alive())
    return leaks(texts, KEY, PROMPT, ANSWER)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_failure_over_real_sockets_shows_neither_key_nor_prompt(
    name: str, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Text, attributes, receipt, causes, frames with their locals, logs, pickles, what hangs on it."""
    caplog.set_level(logging.DEBUG)
    assert everything_shown(name, caplog, stream=stream) == []


@pytest.mark.parametrize("debug", [False, True])
def test_an_answer_over_real_sockets_shows_neither_key_nor_prompt_nor_itself(
    debug: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """In no log of ours, of asyncio's or of aiohttp's, and in no span."""
    caplog.set_level(logging.DEBUG)
    assert asyncio.run(logged_by_a_success(caplog), debug=debug) == []


def test_the_watch_for_canaries_sees_them() -> None:
    """The witness: an error that does hold one is found by it."""

    def careless(prompt: str) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        careless(PROMPT)
    assert leaks(shown_by(caught.value), PROMPT)


def test_the_search_of_what_is_alive_sees_a_canary() -> None:
    """The witness: an exception that is only kept somewhere, and one that hangs on another."""

    def careless(prompt: str) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        careless(PROMPT)
    kept = [caught.value]
    assert leaks(dict(exceptions_alive()), PROMPT)
    error = RuntimeError("fine")
    error.add_note("fine")
    vars(error)["inner"] = [{"deep": f"{PROMPT}!"}]
    assert leaks(dict(reached_from(error)), PROMPT)
    del kept
