"""Our own wire connects to addresses that were checked: whatever a name server says, and whenever."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hybridllm._adapters.aiohttp_wire import AiohttpWire
from hybridllm._adapters.name_look_up import look_up_in_thread
from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import NoSuchName, WireRequest
from names import FakeNames
from raw_server import JSON_HEAD, RawServer, raw_server, whole
from socket_watch import SocketWatch
from wires import answering, body_of, failure_of, post

HERE = ("127.0.0.1",)
METADATA = ("169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200", "::ffff:a9fe:a9fe")


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server(answering(whole(b"{}"))) as server:
        yield server


def to(server: RawServer, host: str, *, private: bool) -> WireRequest:
    """A request to the server under another name."""
    return post(f"http://{host}:{server.port}", private_allowed=private)


def forget(wire: AiohttpWire) -> None:
    """As if the addresses had become too old."""
    wire._resolver._names._kept.clear()


async def test_a_name_is_connected_to_where_it_was_checked(server: RawServer) -> None:
    """One look-up, one check, one connection; every further request uses the connection."""
    names = FakeNames({"own.example": HERE})
    wire = AiohttpWire(look_up=names.look_up)
    for _ in range(10):
        assert await body_of(await wire.send(to(server, "own.example", private=True))) == b"{}"
        forget(wire)
    await wire.close()
    assert (names.asked, server.connections) == (["own.example"], 1)
    assert server.exchanges[0].headers["host"] == f"own.example:{server.port}"


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("address", METADATA)
async def test_a_metadata_service_is_never_connected_to(
    server: RawServer, address: str, private: bool, socket_watch: SocketWatch
) -> None:
    """Not even by a backend that may be in a private network, and not if it is one address of many."""
    names = FakeNames({"api.example": (address,), "mixed.example": ("127.0.0.1", address)})
    wire = AiohttpWire(look_up=names.look_up)
    with socket_watch.watching() as events:
        for host in names.answers:
            error = await failure_of(wire, to(server, host, private=private))
            assert error.kind is FailureKind.ADDRESS_REFUSED
            assert "never a backend" in error.detail or not private
        assert not any("socket.connect" in event for event in events)
    await wire.close()
    assert server.connections == 0


@pytest.mark.parametrize(
    "addresses", [("10.0.0.7",), ("8.8.8.8", "10.0.0.7"), ("127.0.0.1",), ("64:ff9b::a00:7",)]
)
async def test_a_hosted_api_is_not_looked_for_in_a_private_network(
    server: RawServer, addresses: tuple[str, ...], socket_watch: SocketWatch
) -> None:
    """One such address refuses the whole name; the message says which, and what would allow it."""
    wire = AiohttpWire(look_up=FakeNames({"api.example": addresses}).look_up)
    with socket_watch.watching() as events:
        error = await failure_of(wire, to(server, "api.example", private=False))
        assert not any("socket.connect" in event for event in events)
    assert error.kind is FailureKind.ADDRESS_REFUSED
    assert error.detail.startswith(f"api.example has the address {addresses[-1]}, of a private")
    assert "private: true" in error.detail
    await wire.close()
    assert server.connections == 0


async def test_a_name_that_changes_its_address_is_checked_again() -> None:
    """Rebinding: good at first, then the metadata service. There is no look-up that is not checked."""
    names = FakeNames({"own.example": [HERE, ("169.254.169.254",)]})
    wire = AiohttpWire(look_up=names.look_up)
    last_words = whole(b"{}", JSON_HEAD + b"connection: close\r\n")
    async with raw_server(answering(last_words)) as server:
        assert await body_of(await wire.send(to(server, "own.example", private=True))) == b"{}"
        forget(wire)
        error = await failure_of(wire, to(server, "own.example", private=True))
        assert error.kind is FailureKind.ADDRESS_REFUSED
        await wire.close()
        assert (len(names.asked), server.connections) == (2, 1)


async def test_a_kept_connection_serves_only_those_who_may_go_there(server: RawServer) -> None:
    """Two backends at one place, of which one may be in a private network: the other gets no ride."""
    wire = AiohttpWire(look_up=FakeNames({"own.example": HERE}).look_up)
    await body_of(await wire.send(to(server, "own.example", private=True)))
    error = await failure_of(wire, to(server, "own.example", private=False))
    assert error.kind is FailureKind.ADDRESS_REFUSED
    assert len(server.exchanges) == 1
    assert await body_of(await wire.send(to(server, "own.example", private=True))) == b"{}"
    await wire.close()


async def test_an_address_in_the_place_of_a_name_is_checked_at_the_socket(
    socket_watch: SocketWatch,
) -> None:
    """aiohttp looks no address up, so its resolver is not asked; the last door stands before the socket."""
    wire = AiohttpWire(look_up=FakeNames({}).look_up)
    with socket_watch.watching() as events:
        for host in ("169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "0.0.0.0"):
            error = await failure_of(wire, post(f"http://{host}", private_allowed=True))
            assert error.kind is FailureKind.ADDRESS_REFUSED
        assert not any("socket.connect" in event for event in events)
    await wire.close()


async def test_aiohttp_has_no_other_way_to_an_address() -> None:
    """Neither its cache nor its own resolvers."""
    wire = AiohttpWire()
    assert wire._connector._resolver is wire._resolver
    assert not wire._connector.use_dns_cache
    await wire.close()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_wire_that_is_closed_waits_for_no_name(cancelled: bool) -> None:
    """A look-up that hangs holds up neither the close nor whoever asked."""
    wire = AiohttpWire(look_up=FakeNames({"hangs.example": None}).look_up)
    async with asyncio.timeout(2), asyncio.TaskGroup() as group:
        asked = group.create_task(failure_of(wire, post("http://hangs.example")))
        await asyncio.sleep(0.01)
        if cancelled:
            asked.cancel()
        await wire.close()
    if not cancelled:
        assert asked.result().kind in (FailureKind.CONNECT, FailureKind.RESET)


async def test_names_that_hang_stop_no_other_name() -> None:
    """Sixty at once; the loop's own executor has a handful of threads, and none of them is used."""
    released = threading.Event()

    def getaddrinfo(host: str, *_: Any, **__: Any) -> Any:
        if host.startswith("hangs"):
            released.wait(30)
        return [(0, 0, 0, "", (HERE[0], 0))]

    look_up = look_up_in_thread(getaddrinfo)
    try:
        hanging = [look_up(f"hangs{number}") for number in range(60)]
        async with asyncio.timeout(5):
            for number in range(20):
                assert await look_up(f"fine{number}") == HERE
        assert not any(one.done() for one in hanging)
        assert getattr(asyncio.get_running_loop(), "_default_executor", None) is None
    finally:
        released.set()
    await asyncio.wait(hanging, timeout=5)


async def test_what_the_system_says_of_a_name_is_told_apart() -> None:
    """No such name, nobody knows, a bug: each is an error of the system's own kind, and never hangs."""

    async def told(error: Exception | None) -> BaseException | None:
        def getaddrinfo(*_: Any, **__: Any) -> Any:
            if error is not None:
                raise error
            return []

        asked = look_up_in_thread(getaddrinfo)("h")
        await asyncio.wait({asked}, timeout=5)
        return asked.exception()

    assert isinstance(await told(socket.gaierror(socket.EAI_NONAME, "no")), NoSuchName)
    assert isinstance(await told(None), NoSuchName)
    assert isinstance(await told(socket.gaierror(socket.EAI_AGAIN, "later")), socket.gaierror)
    odd = await told(UnicodeError("label too long"))
    assert isinstance(odd, OSError)
    assert "UnicodeError" in str(odd)


PROGRAM = """
import asyncio, time
from hybridllm._adapters.aiohttp_wire import AiohttpWire
from hybridllm._adapters.name_look_up import look_up_in_thread
from hybridllm._runtime.ports import WireError, WireRequest

def hangs(*_, **__):
    time.sleep(3_600)

async def main():
    wire = AiohttpWire(look_up=look_up_in_thread(hangs))
    try:
        await wire.send(WireRequest("GET", "http://hangs.example", {}, connect_timeout_s=0.05))
    except WireError as error:
        print(error.kind)
    await wire.close()

asyncio.run(main())
print("end")
"""


def test_a_name_that_hangs_does_not_keep_the_process_from_ending() -> None:
    """Nothing is joined: the thread is a daemon."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "connect_timeout\nend\n"
    assert done.stderr == ""
