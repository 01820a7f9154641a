"""A seam is one more way to a backend: it never leads outside a request's residency.

The generated policies, requests and judge are those of `test_residency.py`; here every answer breaks where it
can, and every caller says what to do then.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter, defaultdict
from random import Random
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from hybridllm import Continued, HybridLLMError, Policy, Restarted, Router, receipt
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm.testing import LoopClock, Reply, ScriptedWire, SentRequest, run_in_virtual_time
from runtime import generated
from runtime.judge import allowed_backends
from runtime.seams import Reading, broken, take
from runtime.test_residency import tokens_of

POLICIES, REQUESTS_EACH = 30, 20
BREAKS = (
    broken("fi"), broken("fi", "ne"), broken("fi ", how="stream_interrupted"), broken("fi", how="stall"),
    Reply.chat_stream(["fi"], finish_reason="abort"),
    Reply.chat_stream(["fi"], finish_reason=None),
)  # fmt: skip


def prefilled(rng: Random) -> tuple[Policy, generated.Document]:
    """Any policy that loads, with backends that mostly take a prefill."""
    _, document = generated.loaded(rng)
    for backend in document["backends"].values():
        backend["prefill"] = rng.random() < 0.8
    return load_policy_text(generated.as_text(document), environ={})[0], document


def streaming(rng: Random, document: generated.Document) -> generated.Request:
    """Any call, as a stream whose caller says what to do when it breaks."""
    while True:
        asked = generated.request(rng, document)
        if asked.way == "stream":
            asked.hints["on_interrupt"] = rng.choice(("restart", "continue"))
            return asked


class Breaking:
    """Recording backends whose streams break, mostly."""

    def __init__(self, document: generated.Document, rng: Random) -> None:
        self.seen: dict[int, set[str]] = defaultdict(set)
        self._rng = rng
        self.wire = ScriptedWire(
            {f"{name}.test": self._steps(name) for name in document["backends"]}
        )

    def _steps(self, name: str) -> Any:
        def step(sent: SentRequest) -> Reply:
            (number,) = set(re.findall(rb"canary-(\d+)", sent.body or b""))
            self.seen[int(number)].add(name)
            draw = self._rng.random()
            if draw < 0.7:
                return self._rng.choice(BREAKS)
            return generated.reply(self._rng, "stream", good=0.7)

        return step


async def made(router: Router, asked: generated.Request, canary: str) -> tuple[Any, Reading, Any]:
    """Make a call and read it to its end: its receipt, what its reader has, and what was raised."""
    found = Reading()
    try:
        stream: Any = await router.chat.completions.create(**asked.params(canary))
        async with stream:
            async for item in stream:
                take(found, item)
    except HybridLLMError as error:
        return receipt(error), found, error
    return stream.receipt, found, None


async def all_made(
    policy: Policy, asked: list[generated.Request], wire: ScriptedWire
) -> list[tuple[Any, Reading, Any]]:
    async with Router(policy, environ={}, wire=wire, clock=LoopClock()) as router:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(made(router, each, f"canary-{number}"))
                for number, each in enumerate(asked)
            ]
        assert router._engine.fleet.in_flight == wire.active == 0
        return [task.result() for task in tasks]


def judged(seed: int, tally: Counter[str]) -> None:
    """One policy, streams that break, and who saw what."""
    rng = Random(seed)
    policy, document = prefilled(rng)
    asked = [streaming(rng, document) for _ in range(REQUESTS_EACH)]
    for each in asked:
        each.hints.pop("session", None)  # taints are the other test's business
    backends = Breaking(document, rng)
    outcomes = run_in_virtual_time(lambda: all_made(policy, asked, backends.wire))
    for number, (told, found, error) in enumerate(outcomes):
        request = asked[number]
        allowed = allowed_backends(document, request.facts(tokens_of(request, number)))
        seen = backends.seen[number]
        note(f"{request} may be seen by {sorted(allowed)}, was seen by {sorted(seen)}: {error}")
        assert seen <= allowed
        assert seen == {attempt.backend for attempt in told.attempts}
        assert {f"{seam.backend}/{seam.model}" for seam in found.seams} <= set(told.candidates)
        assert len(told.attempts) <= 6
        wanted = {"restart": Restarted, "continue": Continued}[request.hints["on_interrupt"]]
        assert {type(seam) for seam in found.seams} <= {wanted}
        takers = {name for name, one in document["backends"].items() if one["prefill"]}
        if wanted is Continued:
            assert {seam.backend for seam in found.seams} <= takers
            assert len({seam.model for seam in found.seams}) <= 1
        tally["seams"] += len(found.seams)
        tally[wanted.__name__] += len(found.seams)
        tally["to several"] += len(seen) > 1
        tally["restricted and sewn"] += bool(found.seams) and allowed < document["backends"].keys()


def test_no_seam_ever_leads_outside_a_requests_residency(caplog: pytest.LogCaptureFixture) -> None:
    """Streams by generated policies that break again and again: who saw them is who might."""
    caplog.set_level(logging.ERROR, "hybridllm")
    tally: Counter[str] = Counter()

    @settings(max_examples=POLICIES, database=None, deadline=None)
    @given(st.integers(0, 2**63))
    def run(seed: int) -> None:
        judged(seed, tally)

    run()
    # The witness that it could have gone wrong.
    assert tally["Restarted"] > 60
    assert tally["Continued"] > 10
    assert tally["to several"] > 40
    assert tally["restricted and sewn"] > 30
