"""The rows of the fault catalogue between a backend's name and its certificate: N7, N8 and N10.

Real sockets; the name server is one of ours, so that nothing leaves this machine.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme
from names import HANGS, NXDOMAIN, SERVFAIL, Answer, FakeNames

from hybridllm._adapters.aiohttp_wire import AiohttpWire
from hybridllm._runtime.ports import Wire
from hybridllm.testing import SimulatedBackend
from lab.lateness import lateness
from lab.three import THREE, TIMEOUTS, three
from lab.traffic import Outcomes, calls, steady
from raw_server import raw_server
from runtime.world import world

BY_NAME = {
    "url_of": lambda backend: f"http://{backend.name}.test:{backend.port}/v1",
    "backend": "allow_plaintext: true",
}


def named(answers: dict[str, Answer | list[Answer]]) -> Callable[[], Wire]:
    """A wire that asks a name server: of the backends that are not given, each is on this machine."""
    known: dict[str, Any] = {f"{name}.test": ["127.0.0.1"] for name in THREE}
    names = FakeNames(known | answers)
    return lambda: AiohttpWire(look_up=names.look_up)


@pytest.mark.parametrize("error", [NXDOMAIN, SERVFAIL], ids=["nxdomain", "servfail"])
async def test_n7_a_name_that_leads_nowhere_costs_no_time(error: Exception) -> None:
    """Another backend has answered within 50 ms; nothing was sent, nothing can be charged."""
    options: Any = {"ordered": True, "timeouts": TIMEOUTS, "repeats": 0} | BY_NAME
    make_wire = named({"eu-1.test": error})
    async with world(*THREE, make_wire=make_wire, **options) as here:
        await here.chat(deadline_s=10.0)
        async with lateness() as late:
            told = await calls(3, here.chat)
    assert told.success == 1.0
    for each in told.all:
        first = each.receipt.attempts[0]
        assert (first.backend, first.error, first.maybe_billed) == ("eu-1", "connect", False)
        assert each.receipt.cost_complete
    assert told.lost_s() < 0.050 + late.worst_s


async def test_n8_a_name_that_hangs_slows_down_nobody_else() -> None:
    """Those who were sent elsewhere take as long as without it, within 20 %, while it hangs for others."""

    async def traffic(make_wire: Callable[[], Wire]) -> Outcomes:
        options: Any = {
            "ordered": False,
            "timeouts": "total: 9s, connect: 1s, attempt: 2s",
            "backends": {"latency_s": 0.1},  # so that 20 % are more than a busy machine's own noise
        }
        async with world(*THREE, make_wire=make_wire, **options | BY_NAME) as here:
            return await steady(40, 1.0, here.chat)

    async with lateness() as late:
        well = await traffic(named({}))
        hung = await traffic(named({"eu-1.test": HANGS}))
    assert well.success == hung.success == 1.0
    assert set(hung.errors_of("eu-1")) == {"connect_timeout"}
    others = [each for each in hung.all if not each.tried("eu-1")]
    assert len(others) >= 10
    assert hung.took_s(0.99, of=others) <= 1.2 * well.took_s(0.99) + late.worst_s


# --- TLS


def certificate(how: str, trusted: trustme.CA) -> ssl.SSLContext:
    """What a server shows that is not to be trusted, or that speaks what is no longer spoken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    past = datetime.now(UTC) - timedelta(days=1)  # noqa: TID251 - a certificate's dates are real ones
    if how == "expired":
        trusted.issue_cert("localhost", not_after=past).configure_cert(context)
    elif how == "wrong-host":
        trusted.issue_cert("elsewhere.example").configure_cert(context)
    elif how == "self-signed":
        trustme.CA().issue_cert("localhost").configure_cert(context)
    else:
        trusted.issue_cert("localhost").configure_cert(context)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated:DeprecationWarning")
@pytest.mark.parametrize("how", ["expired", "wrong-host", "self-signed", "tls-1.0"])
async def test_n10_a_certificate_that_is_not_good_is_never_talked_to(how: str) -> None:
    """A TLS error, one attempt there, another backend answers; and not a byte of the request is sent."""
    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    good = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(good)
    bad = SimulatedBackend(name="eu-1", models=["simulated-model"], tls=certificate(how, authority))
    async with bad:

        def url_of(backend: SimulatedBackend) -> str:
            return bad.base_url if backend.name == "eu-1" else backend.base_url

        async with world(
            *THREE,
            ordered=True,
            timeouts=TIMEOUTS.replace("connect: 200ms", "connect: 2s"),
            backends={"tls": good},
            url_of=url_of,
            make_wire=lambda: AiohttpWire(ssl_context=trust),
        ) as here:
            told = await calls(3, lambda: here.chat(deadline_s=10.0))
            assert told.success == 1.0
            assert told.errors_of("eu-1") == ["tls"] * 3
            for each in told.all:
                assert [a.backend for a in each.receipt.attempts] == ["eu-1", "eu-2"]
                assert not each.receipt.attempts[0].maybe_billed
            assert bad.requests == []


async def test_n10_a_server_without_tls_gets_nothing_in_plain_text() -> None:
    """Behind an https URL is a server that speaks plain HTTP: it sees the beginning of a handshake."""
    seen = bytearray()

    async def play(exchange: Any) -> None:
        seen.extend(exchange.head + exchange.body)

    async with raw_server(play) as plain:
        async with three(
            ordered=True,
            url_of=lambda b: (
                f"https://localhost:{plain.port}/v1" if b.name == "eu-1" else b.base_url
            ),
        ) as here:
            told = await calls(2, here.chat)
            assert told.success == 1.0
            assert set(told.errors_of("eu-1")) == {"tls"}
        await asyncio.sleep(0)
        assert not seen
