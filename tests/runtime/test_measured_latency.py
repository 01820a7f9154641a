"""Objectives are judged on latency that was measured: of streams, answers, and of who let time run out."""

from __future__ import annotations

import asyncio

from hybridllm import receipt
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import policy, scripted, text_of

SLO = "  - {name: quick, when: {tenant: quick}, use: [{model: m, on: [far, near]}], SLO}\n"


def text(slo: str, timeouts: str = "") -> str:
    """Prefers `far`; `near` is there for what has to be quick."""
    whole = policy("far", "near", timeouts=timeouts)
    return whole.replace("routes:\n", "routes:\n" + SLO.replace("SLO", f"slo: {slo}"))


def test_a_backend_that_answers_late_is_asked_after_one_that_does_not() -> None:
    """After a handful of answers; later, when nobody remembers, it is tried again."""

    async def main() -> None:
        far, near = Reply.chat("late").after(0.9), Reply.chat("soon").after(0.05)
        async with scripted(text("{total_ms: {p50: 300}}"), far=far, near=near) as here:

            async def served() -> str:
                return receipt(await here.chat(tenant="quick")).attempts[0].backend

            assert [await served() for _ in range(7)] == ["far"] * 5 + ["near"] * 2
            assert receipt(await here.chat()).attempts[0].backend == "far"  # no objective there
            await asyncio.sleep(400)
            assert await served() == "far"

    run_in_virtual_time(main)


def test_a_stream_is_judged_by_its_first_token() -> None:
    """The whole answer may take its time."""

    async def main() -> None:
        far = Reply.chat_stream(["late"]).after(0.9)
        replies = {"far": far, "near": Reply.chat_stream(["soon"])}
        async with scripted(text("{ttft_ms: {p90: 300}}"), **replies) as here:
            served = []
            for _ in range(7):
                stream = await here.stream(tenant="quick")
                await text_of(stream)
                served.append(stream.receipt.attempts[0].backend)
            assert served == ["far"] * 5 + ["near"] * 2

    run_in_virtual_time(main)


def test_who_lets_its_own_time_limit_pass_was_at_least_that_slow() -> None:
    """A backend that hangs is not an unmeasured one, which would be tried first for ever."""

    async def main() -> None:
        rules = text("{total_ms: {p50: 300}}", timeouts="attempt: 2s").replace(
            "far: {kind: api,", "far: {kind: api, timeouts: {attempt: 2s},"
        )
        async with scripted(rules, far=Reply.hang(), near=Reply.chat("soon")) as here:
            for _ in range(5):
                await here.chat(tenant="quick")
            assert here.sent("far") == 5
            plan = here.router.explain(tenant="quick", task="t").plan
            assert [one.candidate.backend.name for one in plan.kept] == ["near", "far"]

    run_in_virtual_time(main)
