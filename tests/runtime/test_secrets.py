"""Over real sockets, with aiohttp at work: no key and no prompt shows in what a failure leaves behind.

`test_canaries.py` asks the same of every kind of error over scripted backends; here the frames and the
logs of the HTTP library are in it too. No function of this file keeps a canary in a local.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from typing import Any

import openai
import pytest

from hybridllm import Router, receipt
from hybridllm._adapters.aiohttp_wire import AiohttpWire
from hybridllm.testing import Fault, SimulatedBackend
from runtime.test_canaries import chain, leaks, logged, shown_by
from runtime.world import MODEL, policy

PROMPT = "canary-prompt-51c2"
KEY = "sk-canary-key-fedcba9876543210"
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


async def error_over_sockets(name: str, *, stream: bool) -> BaseException:
    """The error of one request to one backend with the fault of that name."""
    async with SimulatedBackend(models=[MODEL], fault=FAULTS[name]) as backend:
        wire = AiohttpWire()
        text = policy("b", urls={"b": backend.base_url}, timeouts=TIMEOUTS, repeats=1)
        async with Router.from_text(text, environ={"KEY": KEY}, wire=wire) as router:
            try:
                await ask(router, stream=stream)
            except openai.OpenAIError as error:
                return error
    raise AssertionError("it did not fail")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_failure_over_real_sockets_shows_neither_key_nor_prompt(
    name: str, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Text, attributes, receipt, causes, frames with their locals, logs at DEBUG, pickles."""
    caplog.set_level(logging.DEBUG)
    error = asyncio.run(error_over_sockets(name, stream=stream), debug=True)
    told = receipt(error)
    texts = shown_by(error) | logged(caplog)
    texts["receipt"] = f"{told!r}{told}{told.to_dict()}"
    for number, link in enumerate(chain(error, set())):
        texts[f"{number} args"] = f"{link.args!r}{vars(link)!r}"
    response = getattr(error, "response", None)
    if response is not None:
        texts["response"] = f"{response.request.headers}{response.headers}{response.text}"
    texts["pickle"] = repr(pickle.dumps(error))
    assert leaks(texts, KEY, PROMPT) == []


def test_the_watch_for_canaries_sees_them() -> None:
    """The witness: an error that does hold one is found by it."""

    def careless(prompt: str) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        careless(PROMPT)
    assert leaks(shown_by(caught.value), PROMPT)
