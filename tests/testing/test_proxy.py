"""What each toxic does to the bytes between a client and a server, seen from both ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from hybridllm import Router
from hybridllm.testing import SimulatedBackend, Toxic, ToxicKind, ToxicProxy, no_leaks
from raw_server import until

ANSWER = bytes(range(256)) * 40  # 10 KiB


@dataclass
class Peer:
    """The server's end of each connection: what came, and how it ended."""

    received: list[bytes] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each line with `ANSWER`."""
        try:
            while data := await reader.read(65_536):
                self.received.append(data)
                writer.write(ANSWER)
                await writer.drain()
            self.ends.append("fin")
        except ConnectionError:
            self.ends.append("rst")
        finally:
            writer.close()


@dataclass
class Client:
    """The client's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self) -> None:
        self.writer.write(b"ask\n")
        await self.writer.drain()

    async def rest(self) -> tuple[bytes, str]:
        """All that comes up to the end, and how it ends."""
        got = b""
        try:
            while data := await self.reader.read(65_536):
                got += data
        except ConnectionError:
            return got, "rst"
        return got, "fin"

    async def silent(self, seconds: float = 0.05) -> bool:
        """Whether nothing comes for a while, not even the end."""
        try:
            async with asyncio.timeout(seconds):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


Connect = Callable[[], Awaitable[Client]]


@asynccontextmanager
async def proxied(
    *, to_backend: Toxic | None = None, to_client: Toxic | None = None, seed: int = 1
) -> AsyncIterator[tuple[ToxicProxy, Peer, Connect]]:
    """A proxy before a server of bytes; all is closed at the end, and no task is left."""
    peer, clients = Peer(), []
    async with no_leaks():
        server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with ToxicProxy(url, to_backend=to_backend, to_client=to_client, seed=seed) as proxy:

            async def connect() -> Client:
                client = Client(*await asyncio.open_connection("127.0.0.1", proxy.port))
                clients.append(client)
                return client

            yield proxy, peer, connect
        for client in clients:
            client.writer.close()
        server.close()
        await server.wait_closed()


async def test_without_toxics_it_passes_everything_on() -> None:
    """Bytes, and the end of each direction on its own."""
    async with proxied() as (proxy, peer, connect):
        client = await connect()
        await client.ask()
        assert await client.reader.readexactly(len(ANSWER)) == ANSWER
        assert proxy.connections == proxy.connections_opened == 1
        client.writer.write_eof()
        assert await client.rest() == (b"", "fin")
        assert (peer.received, peer.ends) == ([b"ask\n"], ["fin"])
        await until(lambda: proxy.connections == 0)


async def test_a_client_that_breaks_off_is_told_to_the_server() -> None:
    """A break stays a break: what leaves in disorder arrives in disorder."""
    async with proxied() as (proxy, peer, connect):
        client = await connect()
        await client.ask()
        await client.reader.readexactly(len(ANSWER))
        client.writer.transport.abort()
        await until(lambda: peer.ends != [])
        await until(lambda: proxy.connections == 0)


async def test_latency_delays_each_piece_and_not_their_sum() -> None:
    """Ten questions at once: the answers come 100 ms later, not a second."""
    async with proxied(to_client=Toxic.latency(0.1, jitter_s=0.02)) as (_, _, connect):
        clients = [await connect() for _ in range(10)]
        loop = asyncio.get_running_loop()
        began = loop.time()
        for client in clients:
            await client.ask()
        for client in clients:
            assert await client.reader.readexactly(len(ANSWER)) == ANSWER
        assert 0.08 <= loop.time() - began < 0.6


async def test_bandwidth_slows_down() -> None:
    """10 KiB at 50 kB/s take a fifth of a second, and come piece by piece."""
    async with proxied(to_client=Toxic.bandwidth(50_000)) as (_, _, connect):
        client = await connect()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await client.ask()
        first = await client.reader.read(65_536)
        assert 0 < len(first) < len(ANSWER)
        assert first + await client.reader.readexactly(len(ANSWER) - len(first)) == ANSWER
        assert loop.time() - began >= 0.18


async def test_a_slicer_cuts() -> None:
    """Four bytes, a pause, four bytes: every read brings one piece."""
    async with proxied(to_backend=Toxic.slicer(2, interval_s=0.02)) as (_, peer, connect):
        client = await connect()
        await client.ask()
        await until(lambda: len(peer.received) == 2)
        assert peer.received == [b"as", b"k\n"]


@pytest.mark.parametrize("way", ["to_backend", "to_client"])
async def test_a_black_hole_swallows(way: str) -> None:
    """No byte and no end arrives; and what has lost something stays dark after the toxic has gone."""
    async with proxied() as (proxy, peer, connect):
        setattr(proxy, way, Toxic.blackhole())
        client = await connect()
        await client.ask()
        assert await client.silent()
        assert peer.received == ([] if way == "to_backend" else [b"ask\n"])
        proxy.heal()
        await client.ask()
        assert await client.silent()
        other = await connect()
        await other.ask()
        assert await other.reader.readexactly(len(ANSWER)) == ANSWER


async def test_a_stall_stops_reading_and_loses_nothing() -> None:
    """The sender's buffers fill until it must wait; then all of it comes."""
    async with proxied(to_backend=Toxic.stall()) as (proxy, peer, connect):
        client = await connect()
        client.writer.write(b"x" * (16 << 20))  # more than the kernel holds
        await asyncio.sleep(0.05)
        assert peer.received == []
        assert client.writer.transport.get_write_buffer_size() > 0
        proxy.to_backend = ()
        proxy.to_client = Toxic.blackhole()
        await until(lambda: sum(map(len, peer.received)) == 16 << 20, within_s=5.0)


@pytest.mark.parametrize(
    ("toxic", "end"), [(Toxic.reset(after_bytes=1_000), "rst"), (Toxic.limit_data(1_000), "fin")]
)
async def test_a_connection_ends_after_so_many_bytes(toxic: Toxic, end: str) -> None:
    """Broken off or in order: not a byte more, and the server is told too."""
    async with proxied(to_client=toxic) as (proxy, peer, connect):
        client = await connect()
        await client.ask()
        got, how = await client.rest()
        assert how == end
        assert got == (ANSWER[:1_000] if end == "fin" else ANSWER[: len(got)])  # a RST may overtake
        await until(lambda: peer.ends != [])
        await until(lambda: proxy.connections == 0)


async def test_a_reset_of_no_bytes_comes_instead_of_the_first() -> None:
    """The request is never seen."""
    async with proxied(to_backend=Toxic.reset()) as (_, peer, connect):
        client = await connect()
        await client.ask()
        assert await client.rest() == (b"", "rst")
        assert peer.received == []


async def test_half_a_connection_is_closed() -> None:
    """The server reads an end and still answers: what came before it arrives."""
    async with proxied(to_backend=Toxic.half_close(after_bytes=2)) as (_, peer, connect):
        client = await connect()
        await client.ask()
        assert await client.reader.readexactly(len(ANSWER)) == ANSWER
        await until(lambda: peer.ends == ["fin"])
        assert peer.received == [b"as"]


async def test_a_slow_close_is_told_late() -> None:
    """Everything has come, its end has not yet."""
    async with proxied(to_client=Toxic.slow_close(0.1)) as (_, peer, connect):
        client = await connect()
        await client.ask()
        client.writer.write_eof()
        assert await client.reader.readexactly(len(ANSWER)) == ANSWER
        await until(lambda: peer.ends == ["fin"])
        assert await client.silent()
        assert await client.rest() == (b"", "fin")


async def test_a_probability_strikes_its_share_of_the_connections() -> None:
    """The same ones with the same seed."""

    async def struck(seed: int) -> list[bool]:
        async with proxied(to_client=Toxic.limit_data(0, probability=0.4), seed=seed) as (
            _,
            _,
            connect,
        ):
            ends = []
            for _ in range(40):
                client = await connect()
                await client.ask()
                client.writer.write_eof()
                ends.append((await client.rest())[0] == b"")
            return ends

    first = await struck(1)
    assert 8 <= sum(first) <= 24
    assert await struck(1) == first
    assert await struck(2) != first


async def test_it_can_be_killed_and_healed() -> None:
    """Open connections are reset, new ones refused; then the same port is open again."""
    async with proxied() as (proxy, peer, connect):
        client = await connect()
        await client.ask()
        await client.reader.readexactly(len(ANSWER))
        proxy.kill()
        assert await client.rest() == (b"", "rst")
        await until(lambda: peer.ends != [])
        with pytest.raises(ConnectionRefusedError):
            await connect()
        proxy.heal()
        other = await connect()
        await other.ask()
        assert await other.reader.readexactly(len(ANSWER)) == ANSWER


async def test_connecting_can_hang() -> None:
    """As through a firewall that drops packets."""
    async with proxied() as (proxy, _, connect):
        proxy.blackhole()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connect()
        proxy.heal()
        await (await connect()).ask()


async def test_a_dead_server_behind_it_is_a_reset() -> None:
    """The proxy itself is there, so that nobody can be refused."""
    async with SimulatedBackend() as gone:
        url = gone.base_url
    async with ToxicProxy(url) as proxy:
        client = Client(*await asyncio.open_connection("127.0.0.1", proxy.port))
        assert (await client.rest())[1] == "rst"
        client.writer.close()


async def test_a_router_works_through_it() -> None:
    """Whole answers, streams, and a deadline that a slow line cannot stretch."""
    policy = """
version: 1
backends: {own: {kind: vllm, base_url: "${OWN}", region: eu, operator: self}}
models: {small: {on: {own: simulated-model}}}
routes: [{name: all, use: small}]
"""
    async with (
        no_leaks(),
        SimulatedBackend(kind="vllm") as backend,
        ToxicProxy(backend.base_url, to_client=Toxic.slicer(7)) as proxy,
        Router.from_text(policy, environ={"OWN": proxy.base_url}) as router,
    ):
        assert proxy.base_url.endswith("/v1")
        answer = await router.chat.completions.create(messages=[{"role": "user", "content": "Hi"}])
        assert answer.choices[0].message.content == backend.answer


@pytest.mark.parametrize("url", ["127.0.0.1:80", "ftp://127.0.0.1", "http://", ""])
def test_only_a_url_of_http_is_taken(url: str) -> None:
    """The message shows one."""
    with pytest.raises(ValueError, match=r"like http://127.0.0.1:8000/v1"):
        ToxicProxy(url)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Toxic.latency(-1),
        lambda: Toxic.latency(float("nan")),
        lambda: Toxic.latency(1, jitter_s=-1),
        lambda: Toxic.bandwidth(0),
        lambda: Toxic.slicer(0),
        lambda: Toxic.limit_data(-1),
        lambda: Toxic.reset(probability=1.5),
    ],
)
def test_a_toxic_that_makes_no_sense_is_refused(wrong: Callable[[], Toxic]) -> None:
    """Where it is made."""
    with pytest.raises(ValueError, match="must be"):
        wrong()


def test_every_kind_can_be_made() -> None:
    """One constructor per word."""
    assert all(hasattr(Toxic, kind.value) for kind in ToxicKind)


async def test_a_closed_proxy_says_so() -> None:
    """It has no port before its block, and is opened once at a time."""
    proxy = ToxicProxy("http://127.0.0.1:9/v1")
    with pytest.raises(RuntimeError, match="async with"):
        _ = proxy.base_url
    async with proxy:
        with pytest.raises(RuntimeError, match="open already"):
            await proxy.__aenter__()
