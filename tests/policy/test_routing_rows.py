"""Every practice of routing that the policies and the cookbook promise, with the cases that show it.

A row's number is that of its section in `docs/cookbook.md`. What a case cannot show, because it takes
several requests (a reload, measured latency, shares), is shown by the router below the table.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hybridllm import PolicyError, Router, check_cases, receipt
from hybridllm.testing import LoopClock, Reply, ScriptedWire, run_in_virtual_time

ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "policies"
COOKBOOK = ROOT / "docs" / "cookbook.md"
KEYS = dict.fromkeys(("GLOBAL_API_KEY", "GLOBAL_DEV_API_KEY", "VLLM_API_KEY"), "not-a-real-key")
MESSAGES: list[Any] = [{"role": "user", "content": "Where is my parcel?"}]
ROWS_OF_CHOOSING = {1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 14, 17, 18}
ALL_ROWS = range(1, 19)

sys.path.append(str(ROOT / "docs"))  # the tools that the pages are made with; no package of ours


class Row(NamedTuple):
    """A practice: the policy that has it, and its cases; `NAME.yaml` is a file of the cookbook."""

    practice: str
    policy: str
    cases: tuple[str, ...]


ROWS = {
    1: Row(
        "a registry task -> model",
        "registry.yaml",
        (
            "the fast one is asked, and it is cheap",
            "hard questions",
            "what is too long for 32K goes to the one with 128K",
            "everything else",
            "a task that nobody knows is denied, not answered by something",
        ),
    ),
    2: Row(
        "a cheap answer first, a better model if it will not do",
        "three-buckets",
        (
            "a cheap model answers a common question",
            "the same question again, marked unsure, goes to the better one",
        ),
    ),
    3: Row(
        "three buckets, each with its tiers and ceilings",
        "three-buckets",
        (
            "bandwidth takes the cheapest tier first, then the next",
            "a prompt that nobody can answer for 0.002 USD is denied",
            "judgment",
            "flagship takes the best",
            "pinning a dear model in a cheap task is denied",
        ),
    ),
    4: Row(
        "price tiers, and why their order is no order by price",
        "five-tiers",
        (
            "a long prompt goes by the price of prompts, whatever its answer costs",
            "a long answer goes by the price of answers",
            "the lowest price of a tier is the dearest choice for a long prompt",
            "a ceiling on the request drops who is dear for it, and nobody else",
            "what a vendor calls premium is premium",
        ),
    ),
    5: Row(
        "any hosted model in development, hosted first in production",
        "dev-staging-prod",
        (
            "production is hosted first",
            "our own GPUs stand behind the API",
            "a developer gets the cheapest hosted model",
            "so does the test suite",
            "a huge request is refused outside production",
        ),
    ),
    6: Row(
        "own GPUs above a volume or above break-even, an API below",
        "heavy-volume",
        (
            "while there is little the API answers",
            "600 million a day for 120 days are answered by our own",
            "ten days of it are a burst",
            "outside production it stays with the API",
            "a month that is dear enough is enough",
            "a month that is not is left to the API",
            "GPUs that sleep are bridged by the API",
        ),
    ),
    7: Row(
        "regulated data at home, unregulated work elsewhere",
        "regulated",
        (
            "a clinical note is answered at home though the caller gives no tag",
            "with our own servers down patients' data waits",
            "a session that has carried patients' data keeps the tag",
            "pinning a model that we serve does not reach our own servers without the tag",
        ),
    ),
    8: Row(
        "bursts overflow to the API, and come back; who may not leave waits",
        "self-host-first",
        (
            "as long as one of ours has room nobody leaves",
            "when both have enough to do the API takes the surplus",
            "when both would keep a request waiting the API answers at once",
            "internal data waits at home in the same burst",
        ),
    ),
    10: Row(
        "work under 300 ms stays local, by measured latency",
        "self-host-first",
        (
            "work of 300 ms stays local",
            "one of our own that misses 300 ms goes behind the other",
            "the API is asked first only where it is the one that keeps the objective",
        ),
    ),
    11: Row(
        "another model stands in, and is marked",
        "api-first",
        ("with both regions down our own model answers, marked as a fallback",),
    ),
    12: Row(
        "three models side by side, by share",
        "dev-staging-prod",
        (
            "staging draws a model for a request without a session",
            "and another one for another",
            "a conversation keeps its model",
            "whatever is drawn",
            "another conversation may have another",
        ),
    ),
    14: Row(
        "embeddings never leave their vector space",
        "rag",
        (
            "with both down the call fails rather than answer in another space",
            "the new space has one server, and no other stands in for it",
            "a query of the new index names its space",
            "a model and a space that exclude each other are denied",
        ),
    ),
    17: Row(
        "vision, audio, adapters on our own side",
        "rag",
        (
            "a scanned page goes to a model that sees",
            "a recording goes to a model that hears",
            "support is answered by our own adapter",
            "many passages go to the model with the long context",
        ),
    ),
    18: Row(
        "routine at home, high stakes on the best model of an API",
        "b2b-saas",
        (
            "triage stays at home",
            "an escalated ticket gets the best writer",
            "outreach in bulk costs nothing per token",
            "code is written by the model made for it",
            "a regulatory review gets the most accurate",
        ),
    ),
}


def policy_file(name: str, folder: Path) -> Path:
    """A shipped policy's file; one of the cookbook is written into the folder first."""
    if not name.endswith(".yaml"):
        return POLICIES / f"{name}.yaml"
    blocks: Any = import_module("docgen.blocks")
    files = blocks.files(blocks.blocks(COOKBOOK.read_text(encoding="utf-8")))
    path = folder / name
    path.write_text(files[name], encoding="utf-8")
    return path


def test_every_row_of_choosing_is_shown() -> None:
    """One that is left out here is shown nowhere."""
    assert set(ROWS) == ROWS_OF_CHOOSING


@pytest.mark.parametrize("number", ROWS)
def test_a_row_is_shown_by_cases_of_its_policy(number: int, tmp_path: Path) -> None:
    """Each stands in the file, by its name, and passes."""
    row = ROWS[number]
    report = check_cases(policy_file(row.policy, tmp_path), environ=KEYS)
    passed = {result.case.name: result.passed for result in report.results}
    assert {case: passed.get(case) for case in row.cases} == dict.fromkeys(row.cases, True)


def test_the_cookbook_has_a_section_for_every_row() -> None:
    """With the policy that has it whole; what is not there yet says so."""
    text = COOKBOOK.read_text(encoding="utf-8")
    headings = [int(number) for number in re.findall(r"^## (\d+)\. ", text, re.MULTILINE)]
    assert headings == list(ALL_ROWS)
    table = {
        int(n): line for n, line in re.findall(r"^\| \[(\d+)\]\(.*?\) \|(.*)$", text, re.MULTILINE)
    }
    assert sorted(table) == list(ALL_ROWS)
    for number, row in ROWS.items():
        if not row.policy.endswith(".yaml"):
            assert f"`{row.policy}`" in table[number]
    for number in set(ALL_ROWS) - ROWS_OF_CHOOSING - {9, 16}:
        assert "later" in table[number], number


@pytest.mark.parametrize(
    "case",
    [
        "limited in both our own GPUs take over, and nothing waits for a Retry-After",
        "with both regions out they take the rest as well",
        "EU data leaves the one region that it may use when that is limited",
    ],
)
def test_an_api_overflows_to_own_gpus(case: str) -> None:
    """Row 8, the other way round."""
    report = check_cases(POLICIES / "api-first.yaml", environ=KEYS)
    assert [one.passed for one in report.results if one.case.name == case] == [True]


# --- 1: a model is swapped by a string


def test_a_string_is_swapped_and_a_request_under_way_is_unharmed(tmp_path: Path) -> None:
    """No restart; who was being answered is answered by the model that it began with."""
    path = policy_file("registry.yaml", tmp_path)
    wire = ScriptedWire({"api.example.com": Reply.chat("parcel").after(2.0)})

    async def main() -> None:
        async with Router.from_file(path, environ={}, wire=wire, clock=LoopClock()) as router:
            ask = router.chat.completions.create
            async with asyncio.TaskGroup() as group:
                begun = group.create_task(ask(task="fast-classifier", messages=MESSAGES))
                await asyncio.sleep(1.0)
                text = path.read_text(encoding="utf-8")
                path.write_text(text.replace("use: qwen3-8b", "use: glm-4-9b"), encoding="utf-8")
                assert await router.reload()
                after = receipt(await ask(task="fast-classifier", messages=MESSAGES))
            before = receipt(begun.result())
            assert [one.model for one in before.attempts] == ["qwen3-8b"]
            assert [one.model for one in after.attempts] == ["glm-4-9b"]
            assert before.policy_version != after.policy_version == router.policy.version
            assert (before.route, after.route) == ("fast-classifier",) * 2

    run_in_virtual_time(main)


def test_a_swap_that_costs_too_much_is_refused(tmp_path: Path) -> None:
    """The route's own ceiling holds for every reload; the last good policy stays."""
    path = policy_file("registry.yaml", tmp_path)

    async def main() -> None:
        async with Router.from_file(path, environ={}, wire=ScriptedWire({})) as router:
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace("use: qwen3-8b", "use: qwen3-32b"), encoding="utf-8")
            with pytest.raises(PolicyError, match=r"max_output_price: 0\.05 leaves nobody"):
                await router.reload()
            assert router.explain(task="fast-classifier").candidates == ("hosted/qwen3-8b",)

    run_in_virtual_time(main)


# --- 10: measured latency


OWN, API = ("vllm-fra.internal", "vllm-par.internal"), "eu.global-apis.com"


def shipped(name: str, wire: ScriptedWire, *, environment: str | None = None) -> Router:
    return Router.from_file(
        POLICIES / f"{name}.yaml",
        environ=KEYS,
        environment=environment,
        wire=wire,
        clock=LoopClock(),
    )


def test_work_under_300_ms_goes_where_it_was_measured_to_be_done_in_time() -> None:
    """At home while that is fast; to the API once both of our own are measured to be too slow."""
    fast, slow = Reply.chat("x").after(0.1), Reply.chat("x").after(0.6)
    wire = ScriptedWire({**dict.fromkeys(OWN, fast), API: fast})

    async def main() -> None:
        async with shipped("self-host-first", wire) as router:

            async def asked() -> str:
                reply = await router.chat.completions.create(
                    task="autocomplete", messages=MESSAGES, max_tokens=8
                )
                return receipt(reply).attempts[-1].backend

            at_home = [await asked() for _ in range(20)]
            assert set(at_home) <= {"vllm-fra", "vllm-par"}
            for host in OWN:
                wire.script(host, slow)
            while_it_shows = [await asked() for _ in range(40)]
            assert while_it_shows[-10:] == ["global-eu"] * 10
            for host in OWN:
                wire.script(host, fast)
            await asyncio.sleep(400)  # what was measured is old: our own are tried again
            assert await asked() in ("vllm-fra", "vllm-par")

    run_in_virtual_time(main)


# --- 11: the receipt marks the fallback


def test_a_model_that_stands_in_is_marked_in_the_receipt() -> None:
    """Both regions of the API fail; our own model answers, and nobody takes it for the one asked for."""
    wire = ScriptedWire(
        {
            "global-apis.com": Reply.fail("connect"),
            "eu.global-apis.com": Reply.status(503),
            "vllm-fra.internal": Reply.chat("parcel"),
        }
    )

    async def main() -> None:
        async with shipped("api-first", wire) as router:
            reply = await router.chat.completions.create(task="classify", messages=MESSAGES)
            served = receipt(reply).attempts[-1]
            assert (served.backend, served.model) == ("vllm-fra", "qwen3-32b")
            assert served.reason == "fallback"
            assert "fallback  served" in str(receipt(reply))

    run_in_virtual_time(main)


# --- 12: shares


def test_staging_compares_three_models_by_share_and_a_session_keeps_its_own() -> None:
    """Through the router: 600 requests of 200 sessions, and 300 without one."""
    wire = ScriptedWire({"global-apis.com": Reply.chat("parcel")})

    async def main() -> None:
        async with shipped("dev-staging-prod", wire, environment="staging") as router:

            async def model(**hints: Any) -> str:
                reply = await router.chat.completions.create(messages=MESSAGES, **hints)
                return receipt(reply).attempts[-1].model

            by_session: dict[int, set[str]] = {}
            for number in range(600):
                session = number % 200
                by_session.setdefault(session, set()).add(await model(session=f"s-{session}"))
            assert all(len(models) == 1 for models in by_session.values())
            counts = Counter(next(iter(models)) for models in by_session.values())
            assert counts["qwen3.5-27b"] > counts["deepseek-v4-flash"] > counts["glm-4-9b"] > 0
            drawn = Counter([await model() for _ in range(300)])
            assert len(drawn) == 3  # each has a tenth at least: all but impossible to miss
            assert drawn["qwen3.5-27b"] > 150

    run_in_virtual_time(main)
