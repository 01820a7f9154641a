"""The rows of the fault catalogue about policy files, residency, addresses and secrets (P1 to P10).

One test per row, each over what its own tests go through at length: `policy/test_hostile_files.py`,
`policy/seeded_mistakes.py`, `runtime/test_residency.py`, `policy/test_base_urls.py`, `core/test_smuggled.py`,
`runtime/test_canaries.py` and `test_secrets.py`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridllm import InvalidRequest, PolicyDenied, PolicyError, Router, receipt
from hybridllm._adapters.aiohttp_wire import AiohttpWire
from hybridllm.testing import Fault, SimulatedBackend, run_in_virtual_time
from names import FakeNames
from policy.hostile_files import ENVIRON, FILES
from policy.policy_text import GOOD, changed, problems_of
from policy.test_base_urls import BAD_URLS
from runtime.reloading import put, reloading, text
from runtime.test_residency import judged
from runtime.test_secrets import everything_shown, logged_by_a_success
from runtime.world import KEY, MESSAGES, MODEL, policy, world

P1_FILES = (
    "alias-bomb", "alias-to-itself", "merge-key", "python-object", "lists-2000-deep", "5000-digits",
    "10-mebibytes", "nul", "utf-16", "two-documents",
)  # fmt: skip
P1_CPU_S_MAX = 0.1


def test_p1_a_hostile_file_is_refused_at_once_and_the_last_good_policy_stays(
    tmp_path: Path,
) -> None:
    """Each of the row's files, given to a router at work; the memory they take is measured beside."""
    hostile = {file.name: file for file in FILES}

    async def main() -> None:
        path = tmp_path / "team.yaml"
        async with reloading(path, text("eu"), environ={"KEY": KEY} | ENVIRON) as here:
            good = here.router.policy
            for name in P1_FILES:
                spent_s = []
                for _ in range(3):  # the fastest: whatever else the machine does
                    put(path, hostile[name].data)
                    began_s = time.process_time()
                    with pytest.raises(PolicyError, match=re.escape(hostile[name].says)):
                        await here.router.reload()
                    spent_s.append(time.process_time() - began_s)
                assert (name, min(spent_s) < P1_CPU_S_MAX) == (name, True)
                assert here.router.policy is good
                assert receipt(await here.chat()).policy_version == good.version

    run_in_virtual_time(main)


P2_MISTAKES = {
    "Norway is a name": ("    region: eu\n", "    region: NO\n", None),
    "on is a name": ("    region: eu\n", "    region: on\n", None),
    "octal": ("version: 1\n", "version: 010\n", "version"),
    "underscore": ("version: 1\n", "version: 1_000\n", "version"),
    "date": ("version: 1\n", "version: 2026-01-01\n", "version"),
    "duplicate key": ("version: 1\n", "version: 1\nversion: 1\n", "twice"),
    "unknown field": ("    region: eu\n", "    region: eu\n    regionn: eu\n", "regionn"),
    "empty list": ("use: [qwen3-8b]", "use: []", "use"),
    "nan": ("use: [qwen3-8b]", "use: [{split: {qwen3-8b: .nan}}]", "use"),
    "infinity": ("use: [qwen3-8b]", "use: [{split: {qwen3-8b: .inf}}]", "use"),
    "a fallback to itself": ("fallbacks: [qwen3-32b]", "fallbacks: [qwen3-8b]", "fallbacks"),
}


@pytest.mark.parametrize("case", P2_MISTAKES)
def test_p2_a_mistake_is_told_at_its_line(case: str) -> None:
    """YAML's traps mean what YAML 1.2 says; whatever is wrong is told at its place, in words."""
    old, new, says = P2_MISTAKES[case]
    problems = [one for one in problems_of(GOOD.replace(old, new, 1)) if not one.warning]
    first_line = GOOD[: GOOD.index(old)].count("\n") + 1
    if says is None:
        assert problems == []
        return
    assert problems
    assert says in problems[0].message + problems[0].path
    assert first_line <= problems[0].line <= first_line + new.count("\n")


TAGGED = """
residency:
  eu: {regions: [a]}
  mars: {regions: [mars]}
"""


@pytest.mark.parametrize(
    "hints",
    [
        pytest.param({"residency": "ue"}, id="typo"),
        pytest.param({"residency": "unknown"}, id="unknown"),
        pytest.param({"residency": "EU"}, id="case"),
        pytest.param({}, id="missing"),
        pytest.param({"residency": "mars"}, id="nobody-is-allowed"),
    ],
)
async def test_p3_a_request_whose_tag_is_not_certain_is_denied_and_sends_nothing(
    hints: dict[str, Any],
) -> None:
    """Not one byte: no connection was opened to anybody."""
    async with world("a", "b", more=f"default_residency: deny{TAGGED}") as here:
        with pytest.raises(PolicyDenied):
            await here.chat(**hints)
        assert [backend.connections_opened for backend in here.backends.values()] == [0, 0]
        assert receipt(await here.chat(residency="eu")).attempts[0].backend == "a"  # the witness


@settings(max_examples=12)
@given(st.integers(min_value=1 << 40, max_value=1 << 48))
def test_p4_no_canary_is_seen_by_an_endpoint_outside_its_tag(seed: int) -> None:
    """Random policies and faults, breakers in panic, a reload halfway; judged at the endpoints."""
    judged(seed, Counter())


P6_FORMS = {
    "userinfo": "https://user:pw@api.example.com/v1",
    "backslash-at": r"https://api.example.com\@evil.example/v1",
    "fragment": "https://api.example.com#@evil.example/v1",
    "hex": "https://0x7f000001/v1",
    "decimal": "https://2130706433/v1",
    "short": "https://127.1/v1",
    "octal": "https://0177.0.0.1/v1",
    "mapped": "https://[::ffff:169.254.169.254]/v1",
    "compatible": "https://[::169.254.169.254]/v1",
    "nip-io": "https://169.254.169.254.nip.io/v1",
    "homoglyph": "https://api.exaмple.com/v1",
    "percent": "https://%61pi.example.com/v1",
    "port": "https://api.example.com:99999/v1",
    "file": "file:///etc/passwd",
    "unix": "unix:///run/vllm.sock",
    "gopher": "gopher://api.example.com/v1",
}


@pytest.mark.parametrize("form", P6_FORMS)
def test_p6_an_address_in_disguise_is_refused_when_the_policy_is_read(form: str) -> None:
    """At its line, with what is allowed; in a policy, where it would be used."""
    old = "base_url: https://vllm.internal/v1"
    problems = problems_of(changed(old, f"base_url: {json.dumps(P6_FORMS[form])}"))
    (problem,) = (one for one in problems if not one.warning)
    assert problem.path == "backends.own-eu.base_url"
    assert "pw" not in problem.message.split()


def test_p6_the_message_says_what_would_be_right() -> None:
    """A host in another script is told in ASCII, as it would have to be written."""
    old = "base_url: https://vllm.internal/v1"
    (problem,) = problems_of(changed(old, "base_url: https://api.exaмple.com/v1"))
    assert "write api.xn--exaple-kqf.com" in problem.message
    assert not problems_of(changed(old, "base_url: https://api.xn--exaple-kqf.com/v1"))
    dotted = "base_url: HTTPS://VLLM.internal./v1/"
    assert not problems_of(changed(old, dotted))
    assert len(BAD_URLS) > 60


async def test_p6_a_name_that_stands_for_a_metadata_service_is_not_connected_to(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What the text of a URL cannot tell is told when the name is looked up; another backend answers."""
    fake = FakeNames({"rebind.example.com": ("8.8.8.8", "169.254.169.254")})
    caplog.set_level(logging.WARNING, logger="hybridllm.security")
    async with SimulatedBackend(models=[MODEL]) as good:
        urls = {"bad": "https://rebind.example.com/v1", "good": good.base_url}
        wire = AiohttpWire(look_up=fake.look_up)
        text = policy("bad", "good", urls=urls)
        async with Router.from_text(text, environ={"KEY": KEY}, wire=wire) as router:
            for _ in range(2):
                told = receipt(await router.chat.completions.create(messages=MESSAGES, task="t"))
                assert [a.error for a in told.attempts] == ["address_refused", None]
    (record,) = caplog.records
    assert "169.254.169.254, link-local or of a metadata service" in record.getMessage()


P7_HEADERS = (
    "Host", "hOST", "Authorization", "AUTHORIZATION", "Cookie", "x-api-key", "X-API-Key", "api-key",
    "Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authorization",
    "Proxy-Connection", "Content-Length", "Content-Type", "Forwarded", "X-Forwarded-For", ":authority",
    "Host ", "X-Request-Id\r\nHost",
)  # fmt: skip
P7_SMUGGLED: list[dict[str, Any]] = [
    {"base_url": "https://evil.example"},
    {"api_key": "sk-evil-0123456789"},
    {"extra_query": {"a": "b"}},
    *(
        {"extra_body": body}
        for body in (
            {"api_base": "https://evil.example"},
            {"extra_headers": {"Host": "evil.example"}},
            {"metadata": {"base_url": "https://evil.example"}},
            {"a": [{"b": {"c": [{"apiKey": "sk-evil"}]}}]},
            {"litellm_params": {"API-Base": "https://evil.example"}},
            {"properties": {"api_base": "https://evil.example"}},
        )
    ),
    *({"extra_headers": {name: "evil.example"}} for name in P7_HEADERS),
    {"extra_headers": {"X-Request-Id": "1\r\nHost: evil.example"}},
]


async def test_p7_a_request_cannot_say_where_it_goes_or_with_whose_key() -> None:
    """Keywords, headers in any case, fields at any depth: refused by name, and nothing is sent."""
    async with world("a") as here:
        for params in P7_SMUGGLED:
            with pytest.raises((InvalidRequest, TypeError)) as caught:
                await here.chat(**params)
            assert "evil" not in str(caught.value)
        assert here["a"].connections_opened == 0
        schema = {"properties": {"api_key": {"type": "string"}, "base_url": True}}
        await here.chat(
            extra_body={"guided_json": schema}
        )  # a field of the answer may be called so
        sent = here["a"].requests[0]
        assert sent.headers["host"].startswith("127.0.0.1:")
        assert sent.headers["authorization"] == f"Bearer {KEY}"


async def test_h10_a_redirect_is_a_security_event_told_once_and_without_its_target(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What the server wrote there is its own text; nothing goes there, and the next backend answers."""
    caplog.set_level(logging.DEBUG)
    async with world("a", "b") as here, SimulatedBackend(models=[MODEL]) as target:
        here["a"].fault = Fault.redirect(f"{target.base_url}/canary-location", code=307)
        for _ in range(3):
            told = receipt(await here.chat())
            assert [a.error for a in told.attempts] == ["307", None]
        assert target.connections_opened == 0
    events = [one.getMessage() for one in caplog.records if one.name == "hybridllm.security"]
    assert events == [
        "security event: backend 'a' answered with a redirect (307); it was not followed"
    ]
    assert "canary-location" not in caplog.text


@pytest.mark.parametrize("fault", ["401", "503", "hang", "redirect", "error-event", "refuse"])
def test_p10_a_failure_leaves_no_key_prompt_or_answer_anywhere(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Logs at DEBUG, reprs, tracebacks with locals, spans, pickles, status, what is reachable: nothing."""
    caplog.set_level(logging.DEBUG)
    assert everything_shown(fault, caplog, alive=True) == []


def test_p10_a_success_leaves_no_key_prompt_or_answer_in_a_log_or_a_span(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Content is off by default, in asyncio's debug mode, too."""
    caplog.set_level(logging.DEBUG)
    assert asyncio.run(logged_by_a_success(caplog), debug=True) == []
