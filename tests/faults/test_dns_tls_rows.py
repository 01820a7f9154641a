"""The rows of the fault catalogue that happen before anything is sent: names (N7, N8) and TLS (N10).

The name server is a fake; sockets, TLS and the router are real.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import trustme

from hybridllm import Receipt, RouteExhausted, Router, receipt
from hybridllm._adapters.aiohttp_wire import AiohttpWire
from hybridllm._adapters.name_look_up import look_up_in_thread
from hybridllm._adapters.tls import client_context
from hybridllm._runtime.clock import SystemClock
from hybridllm._runtime.ports import LookUp
from hybridllm.testing import SimulatedBackend, no_leaks
from names import NXDOMAIN, SERVFAIL, Answer, FakeNames
from raw_server import Exchange, RawServer, raw_server, whole
from runtime.world import KEY, MESSAGES, MODEL, policy
from wires import answering, body_of, post

GOOD_ENOUGH_S = 0.05
HANG_S = 5.0


async def asked(router: Router) -> Receipt:
    return receipt(await router.chat.completions.create(messages=MESSAGES, task="t"))


@asynccontextmanager
async def named(look_up: LookUp, *urls: str) -> AsyncIterator[tuple[Router, SimulatedBackend]]:
    """A router over backends at these URLs, and after them one that is well, at an address."""
    async with no_leaks(), SimulatedBackend(models=[MODEL]) as good:
        places = {f"bad{number}": url for number, url in enumerate(urls)}
        text = policy(
            *places, "good", urls={**places, "good": good.base_url}, timeouts="connect: 300ms"
        )
        wire = AiohttpWire(look_up=look_up)
        async with Router.from_text(text, environ={"KEY": KEY}, wire=wire) as router:
            yield router, good


@pytest.mark.parametrize("answer", [NXDOMAIN, SERVFAIL], ids=["NXDOMAIN", "SERVFAIL"])
async def test_n7_a_name_that_does_not_resolve_fails_over_within_50_ms(answer: Answer) -> None:
    """Nothing was sent, nothing can be billed; what was wrong is in the receipt of every request."""
    fake = FakeNames({"gone.example.com": answer})
    async with named(fake.look_up, "https://gone.example.com/v1") as (router, good):
        told = [await asked(router) for _ in range(4)]
        for one in told:
            failed, served = one.attempts
            assert (failed.error, served.error) == ("connect", None)
            assert not failed.maybe_billed
        assert min(one.attempts[0].duration_s for one in told) < GOOD_ENOUGH_S
        assert min(one.duration_s for one in told) < GOOD_ENOUGH_S
        assert good.served == 4


async def test_n7_the_caller_hears_what_was_wrong_with_the_name() -> None:
    """If nobody else is left, the error says that it was the name."""
    fake = FakeNames({"gone.example.com": NXDOMAIN})
    wire = AiohttpWire(look_up=fake.look_up)
    text = policy("only", urls={"only": "https://gone.example.com/v1"}, repeats=0)
    async with Router.from_text(text, environ={"KEY": KEY}, wire=wire) as router:
        with pytest.raises(RouteExhausted, match="its name has no address: Name or service not"):
            await asked(router)


async def test_n7_an_answer_that_may_not_be_asked_fails_over_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A hosted API whose name suddenly leads inside: a security event, once; nothing is connected to."""
    fake = FakeNames({"api.example.com": ("127.0.0.1",)})
    with caplog.at_level(logging.WARNING, logger="hybridllm.security"):
        async with SimulatedBackend(models=[MODEL]) as inside:
            url = f"https://api.example.com:{inside.port}/v1"
            async with named(fake.look_up, url) as (router, _):
                told = [await asked(router) for _ in range(3)]
            assert inside.connections_opened == 0
    assert [a.error for a in told[0].attempts] == ["address_refused", None]
    assert not told[0].attempts[0].maybe_billed
    (record,) = caplog.records
    assert record.getMessage() == (
        "security event: backend 'bad0' was not connected to: api.example.com has the address 127.0.0.1, "
        "of a private network; write private: true if its backend is there"
    )


def hanging(released: threading.Event) -> Callable[..., Any]:
    """A system whose name server does not answer for names that begin with `hangs`."""

    def getaddrinfo(host: str, *_: Any, **__: Any) -> Any:
        if host.startswith("hangs"):
            released.wait(HANG_S)
        return [(0, 0, 0, "", ("127.0.0.1", 0))]

    return getaddrinfo


async def test_n8_a_name_that_hangs_costs_the_others_nothing() -> None:
    """Others' slowest exchange while forty names hang, beside that without; each has its own name.

    20 % is less than the noise of a shared machine; a delay by the hung names would be seconds.
    """
    released = threading.Event()
    wire = AiohttpWire(look_up=look_up_in_thread(hanging(released)))
    async with raw_server(answering(whole(b"{}"))) as server, asyncio.TaskGroup() as group:

        async def slowest_s(prefix: str) -> float:
            spent_s = []
            for number in range(40):
                url = f"http://{prefix}{number}.example:{server.port}"
                began_s = perf_counter()
                await body_of(await wire.send(post(url, private_allowed=True)))
                spent_s.append(perf_counter() - began_s)
            return sorted(spent_s)[-2]

        before_s = await slowest_s("before")
        stuck = [
            group.create_task(
                wire.send(post(f"https://hangs{number}.example", connect_timeout_s=30))
            )
            for number in range(40)
        ]
        await asyncio.sleep(0.05)
        during_s = await slowest_s("during")
        assert not any(task.done() for task in stuck)
        for task in stuck:
            task.cancel()
        released.set()
    await wire.close()
    assert during_s < max(3 * before_s, 0.5)


async def test_n8_the_one_that_hangs_is_given_up_after_the_connect_limit() -> None:
    """And failed over; the next request does not ask for the name again, while the first look-up goes on."""
    released = threading.Event()
    asked_for: list[str] = []
    system = hanging(released)

    def getaddrinfo(host: str, *rest: Any, **options: Any) -> Any:
        asked_for.append(host)
        return system(host, *rest, **options)

    look_up = look_up_in_thread(getaddrinfo)
    async with named(look_up, "https://hangs.example.com/v1") as (router, _):
        for _ in range(3):
            told = await asked(router)
            assert [a.error for a in told.attempts] == ["connect_timeout", None]
            assert 0.29 < told.attempts[0].duration_s < 2.0
        assert asked_for == ["hangs.example.com"]
        released.set()


CA = trustme.CA()
UNKNOWN = trustme.CA()


def server_tls(**options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer = options.pop("issuer", CA)
    hosts = options.pop("hosts", ("127.0.0.1", "localhost"))
    issuer.issue_cert(*hosts, **options).configure_cert(context)
    return context


def expired(_: Path) -> ssl.SSLContext:
    then = SystemClock().utc_now() - timedelta(days=30)
    return server_tls(not_before=then, not_after=then + timedelta(days=1))


def not_yet_valid(_: Path) -> ssl.SSLContext:
    return server_tls(not_before=SystemClock().utc_now() + timedelta(days=1))


def wrong_host(_: Path) -> ssl.SSLContext:
    return server_tls(hosts=("api.example.com",))


def wrong_address(_: Path) -> ssl.SSLContext:
    return server_tls(hosts=("127.0.0.2",))


def unknown_authority(_: Path) -> ssl.SSLContext:
    return server_tls(issuer=UNKNOWN)


def self_signed(folder: Path) -> ssl.SSLContext:
    certificate, key = folder / "cert.pem", folder / "key.pem"
    UNKNOWN.cert_pem.write_to_path(certificate)
    UNKNOWN.private_key_pem.write_to_path(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def old_protocol(version: ssl.TLSVersion) -> Callable[[Path], ssl.SSLContext]:
    def made(_: Path) -> ssl.SSLContext:
        context = server_tls()
        context.set_ciphers("ALL:@SECLEVEL=0")  # or the server would refuse to speak it itself
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
        return context

    return made


def answer_to(hello: bytes, tls: ssl.SSLContext | None) -> bytes:
    """What a server says to a client's hello: the alert of an old TLS, or plain HTTP.

    asyncio's own server drops the connection before its alert is sent; others send it.
    """
    assert hello.startswith(b"\x16\x03"), hello  # a TLS record, and no HTTP
    if tls is None:
        return b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(hello)
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        tls.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
    return outgoing.read()


TLS = {
    "expired": (expired, "the certificate has expired"),
    "not-yet-valid": (not_yet_valid, "the certificate is not yet valid"),
    "wrong-host": (wrong_host, "the certificate is for another address"),
    "wrong-address": (wrong_address, "the certificate is for another address"),
    "unknown-authority": (unknown_authority, "the certificate's authority is not known"),
    "self-signed": (self_signed, "the certificate is self-signed"),
    "tls1.0": (old_protocol(ssl.TLSVersion.TLSv1), "the server speaks no TLS 1.2 or later"),
    "tls1.1": (old_protocol(ssl.TLSVersion.TLSv1_1), "the server speaks no TLS 1.2 or later"),
    "no-tls": (None, "the server does not speak TLS"),
}


def trusting() -> ssl.SSLContext:
    """Our own context, which trusts the authority of these tests besides."""
    context = client_context.__wrapped__()
    CA.configure_trust(context)
    return context


async def never(exchange: Exchange) -> None:
    raise AssertionError(f"it was asked over no safe connection: {exchange.head!r}")


@asynccontextmanager
async def bad_server(tls: ssl.SSLContext | None) -> AsyncIterator[tuple[RawServer | None, int]]:
    """A server with that TLS; one without, or with an old one, only gets to answer a hello."""
    if tls is not None and tls.maximum_version is ssl.TLSVersion.MAXIMUM_SUPPORTED:
        async with raw_server(never, tls=tls) as server:
            yield server, server.port
        return

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer_to(await reader.read(4_096), tls))
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield None, listener.sockets[0].getsockname()[1]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("case", TLS)
async def test_n10_tls_that_cannot_be_trusted_is_told_and_fails_over(
    case: str, tmp_path: Path
) -> None:
    """One attempt, no retry there, nothing in plain text; the next backend answers, over good TLS."""
    make, words = TLS[case]
    async with (
        no_leaks(),
        bad_server(make(tmp_path) if make else None) as (server, port),
        SimulatedBackend(models=[MODEL], tls=server_tls()) as good,
    ):
        urls = {"bad": f"https://127.0.0.1:{port}/v1", "good": good.base_url}
        wire = AiohttpWire(ssl_context=trusting())
        text = policy("bad", "good", urls=urls)
        async with Router.from_text(text, environ={"KEY": KEY}, wire=wire) as router:
            told = await asked(router)
        assert [(a.backend, a.error) for a in told.attempts] == [("bad", "tls"), ("good", None)]
        assert not told.attempts[0].maybe_billed
        only = policy("bad", urls=urls, repeats=2)
        wire = AiohttpWire(ssl_context=trusting())
        async with Router.from_text(only, environ={"KEY": KEY}, wire=wire) as router:
            with pytest.raises(RouteExhausted, match=f"TLS failed: {words}") as caught:
                await asked(router)
        assert len(receipt(caught.value).attempts) == 1
        if server is not None:
            assert server.exchanges == []
            assert server.connections <= 2


async def test_n10_our_context_verifies_and_speaks_nothing_old(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Explicitly; and the keys of its connections are written nowhere, whatever the environment says."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    context = client_context.__wrapped__()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.keylog_filename is None
    assert not (tmp_path / "keys.log").exists()
    assert ssl.create_default_context().keylog_filename is not None  # the witness
