"""`router.status()`: the policy and its reloads, every candidate and backend, what is under way."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hybridllm import BackendStatus, CandidateStatus, PolicyError, RouteExhausted, Router
from hybridllm.testing import Reply, ScriptedWire, run_in_virtual_time
from runtime.reloading import GOOD, put, reloading, text
from runtime.world import KEY, MESSAGES, environ, policy, script, scripted, text_of


def test_a_status_is_told_to_people_and_machines(tmp_path: Path) -> None:
    """Times in the clock's UTC; JSON as it stands."""

    async def main() -> None:
        path = tmp_path / "team.yaml"
        async with reloading(path, text("eu"), {"eu": GOOD.after(5.0)}) as here:
            await asyncio.sleep(10)
            put(path, text("eu", "us"))
            await here.router.reload()
            put(path, text("us").replace("routes:", "rotes:"))
            await asyncio.sleep(10)
            with pytest.raises(PolicyError):
                await here.router.reload()
            task = asyncio.get_running_loop().create_task(here.chat())
            await asyncio.sleep(1)
            status = here.router.status()
            assert status.loaded_at.replace(microsecond=0) == datetime(2026, 1, 1, 0, 0, 10, 0, UTC)
            told = json.loads(json.dumps(status.to_dict()))
            assert told | {
                "last_error": "",
                "version": "",
                "loaded_at": "",
                "last_error_at": "",
                "candidates": [],
                "backends": [],
            } == {
                "policy": "team",
                "version": "",
                "file": str(path),
                "loaded_at": "",
                "reloads": 1,
                "failed": 1,
                "last_error": "",
                "last_error_at": "",
                "watching": False,
                "observed": {},
                "in_flight": {"eu": 1, "us": 0},
                "candidates": [],
                "backends": [],
                "overflows": [],
                "caches": [],
                "cascades": [],
                "volumes": [],
                "shadows": [],
                "ledger": None,
                "budgets": [],
                "panic": [],
                "requests": 1,
                "retry_budget_left": 50.2,  # a fifth of the one request
            }
            assert str(status).splitlines()[1:3] == [
                "in force since 2026-01-01T00:00:10+00:00; reloads: 1, failed: 1",
                "a reload failed at 2026-01-01T00:00:20+00:00:",
            ]
            assert "requests under way: eu 1, us 0" in str(status).splitlines()
            await task
            put(path, text("eu", "us"))
            assert await here.router.reload() is False
            assert "failed at 2026-01-01T00:00:20+00:00, and went well since" in str(
                here.router.status()
            )

    run_in_virtual_time(main)


OBSERVING = """
constraints:
  - {name: dear, mode: observe, when: {tenant: "acme-*"}, max_output_price: 0.01}
"""


async def test_counts_of_rules_that_are_gone_go_with_them(tmp_path: Path) -> None:
    """Those of rules that enforce now, too; a rule whose name begins alike is another one."""
    path = tmp_path / "team.yaml"
    both = OBSERVING + "  - {name: dear-2, mode: observe, when: {}, max_output_price: 0.02}\n"
    async with reloading(path, text("eu", more=both)) as here:
        await here.chat(tenant="acme-1")
        assert len(here.router.status().observed) == 2
        put(path, text("eu", more=OBSERVING))
        await here.router.reload()
        (rule,) = here.router.status().observed
        assert rule.startswith("constraint 'dear' ")
        put(path, text("eu"))
        await here.router.reload()
        assert here.router.status().observed == {}


async def test_what_observing_rules_would_have_done_is_counted(tmp_path: Path) -> None:
    """Across reloads."""
    path = tmp_path / "team.yaml"
    async with reloading(path, text("eu", more=OBSERVING)) as here:
        for tenant in ("acme-1", "other", "acme-2"):
            await here.chat(tenant=tenant)
        put(path, text("us", more=OBSERVING))
        await here.router.reload()
        await here.chat(tenant="acme-1")
        observed = here.router.status().observed
        assert sum(observed.values()) == 3
        assert all("dear" in rule for rule in observed)
        assert f"observed 2 times: {next(iter(observed))}" in str(here.router.status())


# Candidates


def row(here: Any, name: str) -> CandidateStatus:
    """One candidate's row, by the name of its backend."""
    (found,) = [row for row in here.router.status().candidates if row.backend == name]
    return found


def test_before_the_first_request_every_candidate_is_there_and_well() -> None:
    """Nothing is measured, nothing is built for it, and no event loop is needed."""
    router = Router.from_text(policy("eu", "us"), environ={})
    status = router.status()
    assert [row.name for row in status.candidates] == ["eu/m", "us/m"]
    assert status.candidates[0] == CandidateStatus("eu", "m")
    assert status.backends == (BackendStatus("eu"), BackendStatus("us"))
    assert (status.panic, status.retry_budget_left) == ((), router.policy.budget.reserve_max)
    assert router._engine_once.made is None


def test_a_breaker_is_told_from_its_first_failure_to_the_end_of_its_ramp() -> None:
    """In figures, and in words for people."""

    async def main() -> None:
        replies = [*[Reply.status(503)] * 6, GOOD]
        async with script("eu", "us", eu=replies, us=GOOD.after(0.2)) as here:
            for _ in range(3):
                await here.chat()
            eu = row(here, "eu")
            assert (eu.breaker, eu.refused, eu.probe_in_s) == ("closed", False, None)
            assert (eu.failures_in_row, eu.attempts, eu.failures) == (3, 3, 3)
            assert eu.reason == "failures in a row: 3, last 503"
            for _ in range(2):
                await here.chat()
            eu = row(here, "eu")
            assert (eu.breaker, eu.refused, eu.openings, eu.last_failure) == (
                "open",
                True,
                1,
                "503",
            )
            assert eu.probe_in_s is not None
            assert 2 <= eu.probe_in_s <= 7
            assert eu.reason == f"open, last 503; probe in {eu.probe_in_s} s"
            assert row(here, "us").answer_ms_p50 == 200
            await asyncio.sleep(7)
            eu = row(here, "eu")
            assert (eu.breaker, eu.refused, eu.probe_in_s) == ("open", False, 0.0)
            assert eu.reason == "open, last 503; the next request is a probe"
            assert eu.last_failure_ago_s is not None
            assert 7 <= eu.last_failure_ago_s < 7.5
            await here.chat()
            assert row(here, "eu").openings == 2
            await asyncio.sleep(13)
            await here.chat()
            eu = row(here, "eu")
            assert (eu.breaker, eu.reason) == (
                "half_open",
                "1 of 2 probes good, the next request is a probe",
            )
            await here.chat()
            eu = row(here, "eu")
            assert (eu.breaker, eu.share, eu.reason) == ("closed", 0.1, "gets its share back: 10%")
            await asyncio.sleep(6)
            assert row(here, "eu").share == 1.0

    run_in_virtual_time(main)


def test_a_probe_that_is_under_way_is_told() -> None:
    """Nobody else is let through meanwhile."""

    async def main() -> None:
        replies = [*[Reply.status(503)] * 5, GOOD.after(2)]
        async with script("eu", "us", eu=replies, us=GOOD) as here:
            for _ in range(5):
                await here.chat()
            await asyncio.sleep(7)
            async with asyncio.TaskGroup() as group:
                group.create_task(here.chat())
                await asyncio.sleep(1)
                eu = row(here, "eu")
                assert (eu.breaker, eu.refused) == ("half_open", True)
                assert eu.reason == "a probe is under way, 0 of 2 probes good"

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("reply", "gate", "after", "ends_s"),
    [
        pytest.param(Reply.status(429, retry_after=20), "rate", "429", 22, id="rate"),
        pytest.param(Reply.status(402), "quota", "402", 300, id="quota"),
        pytest.param(Reply.status(401), "credential", "401", 60, id="credential"),
        pytest.param(
            Reply.status(404, error_code="model_not_found"), "model", "404", 60, id="model"
        ),
    ],
)
def test_a_gate_is_told_with_what_closed_it_and_when_it_ends(
    reply: Reply, gate: str, after: str, ends_s: float
) -> None:
    """And is gone when it has ended by itself."""

    async def main() -> None:
        async with script("eu", "us", eu=[reply, GOOD], us=GOOD) as here:
            await here.chat()
            eu = row(here, "eu")
            assert (eu.gate, eu.gate_after, eu.refused) == (gate, after, True)
            assert eu.gate_ends_s is not None
            assert ends_s * 0.9 <= eu.gate_ends_s <= ends_s
            assert eu.reason.startswith(f"{gate} gate after {after}, ")
            assert here.router.status().panic == ()
            await asyncio.sleep(ends_s + 1)
            assert row(here, "eu").gate is None

    run_in_virtual_time(main)


def test_panic_names_the_models_that_nobody_is_left_for() -> None:
    """And the retry budget goes down with each attempt beyond the first."""

    async def main() -> None:
        async with script("eu", "us", eu=Reply.status(503), us=Reply.status(401)) as here:
            for _ in range(5):
                with pytest.raises(RouteExhausted):
                    await here.chat(deadline_s=1)
            status = here.router.status()
            assert status.panic == ("m",)
            assert status.retry_budget_left < here.router.policy.budget.reserve_max
            assert "PANIC: everybody is refused for m" in str(status).splitlines()

    run_in_virtual_time(main)


def test_limit_and_queue_of_a_backend_are_told() -> None:
    """None where the policy sets no limit."""

    async def main() -> None:
        text = policy("eu", each="concurrency: 2")
        async with scripted(text, eu=GOOD.after(0.5)) as here, asyncio.TaskGroup() as group:
            assert row(here, "eu") == CandidateStatus("eu", "m")
            for _ in range(3):
                group.create_task(here.chat())
            await asyncio.sleep(0.1)
            assert here.router.status().backends == (BackendStatus("eu", 2, 2, 1),)
            assert "limit of eu: 2 at once, 1 waiting" in str(here.router.status())

    run_in_virtual_time(main)


def test_first_tokens_and_whole_answers_are_measured_apart() -> None:
    """None until there are five."""

    async def main() -> None:
        replies = [*[GOOD.after(0.3)] * 5, Reply.chat_stream(["yes"]).after(0.3)]
        async with script("eu", eu=replies) as here:
            for _ in range(4):
                await here.chat()
            assert row(here, "eu").answer_ms_p50 is None
            assert row(here, "eu").pace_ms == 300
            await here.chat()
            eu = row(here, "eu")
            assert (eu.answer_ms_p50, eu.answer_ms_p95) == (300, 300)
            assert (eu.first_token_ms_p50, eu.first_token_pace_ms) == (None, None)
            for _ in range(5):
                await text_of(await here.stream())
            assert row(here, "eu").first_token_ms_p95 == 300
            await asyncio.sleep(301)
            assert row(here, "eu").answer_ms_p50 is None

    run_in_virtual_time(main)


async def test_to_ask_makes_nothing_and_changes_nothing() -> None:
    """Not even a record of somebody who was never asked."""
    wire = ScriptedWire({"eu.test": GOOD, "us.test": GOOD})
    async with Router.from_text(
        policy("eu", "us"), environ=environ("eu", "us"), wire=wire
    ) as router:
        await router.chat.completions.create(messages=MESSAGES)
        fleet = router._engine.fleet
        before = (dict(fleet._records), fleet.latencies._looked_through_s)
        for _ in range(3):
            router.status()
        assert (dict(fleet._records), fleet.latencies._looked_through_s) == before
        assert len(fleet._records) == 1


async def test_any_thread_may_ask_while_requests_are_under_way() -> None:
    """Whatever it catches is a whole status."""
    wire = ScriptedWire({"eu.test": [GOOD, Reply.status(429), GOOD], "us.test": GOOD})
    async with Router.from_text(
        policy("eu", "us"), environ=environ("eu", "us"), wire=wire
    ) as router:
        await router.chat.completions.create(messages=MESSAGES)
        over = False

        def look() -> int:
            looked = 0
            while not over or not looked:
                assert len(json.loads(json.dumps(router.status().to_dict()))["candidates"]) == 2
                looked += 1
            return looked

        looking = asyncio.get_running_loop().run_in_executor(None, look)
        for _ in range(100):
            await router.chat.completions.create(messages=MESSAGES)
        over = True
        assert await looking > 0


def test_nothing_that_was_said_is_in_it() -> None:
    """No prompt, no key, no answer, and no word of a backend, whichever way it failed."""

    async def main() -> None:
        said = {"error": {"message": "canary-words", "code": "canary-code", "type": "canary-type"}}
        replies = [
            Reply.status(401, said),
            Reply.status(500, said),
            Reply.raw(b"canary-body"),
            Reply.chat("canary-answer"),
        ]
        async with script("eu", "us", eu=replies, us=[*reversed(replies)]) as here:
            for _ in range(8):
                with contextlib.suppress(RouteExhausted):
                    await here.chat(messages=[{"role": "user", "content": "canary-prompt"}])
                await asyncio.sleep(40)
                status = here.router.status()
                told = json.dumps(status.to_dict()) + str(status) + repr(status)
                assert "canary" not in told
                assert KEY not in told

    run_in_virtual_time(main)
