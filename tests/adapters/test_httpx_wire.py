"""A client that the user made, as the wire."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import httpx
import httpx2
import pytest

from hybridllm._adapters.httpx_wire import HttpxWire
from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import WireRequest
from odd_backend import MESSAGES, ROLE, answer, fleet, good, stream, text_of
from raw_server import raw_server, whole
from wires import (
    KEY,
    answering,
    body_of,
    failure_of,
    post,
    stream_on,
)


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_defaults_of_the_users_client_go_to_no_backend(library: Any) -> None:
    """Its auth, headers, cookies and parameters were made for somebody else."""
    async with raw_server(answering(whole(b"", b"HTTP/1.1 307 No\r\nlocation: /x\r\n"))) as server:
        async with library.AsyncClient(
            headers={"x-inner": "1", "authorization": "other"}, auth=("user", "password"),
            cookies={"session": "1"}, params={"a": "b"}, follow_redirects=True, trust_env=False,
        ) as client:  # fmt: skip
            wire = HttpxWire(client)
            response = await wire.send(
                WireRequest("POST", f"{server.url}/v1", {"x-ours": "1"}, b"1")
            )
            assert response.status == 307
            await body_of(response)
        (exchange,) = server.exchanges
    assert exchange.head.startswith(b"POST /v1 HTTP/1.1\r\n")
    assert set(exchange.headers) == {"host", "content-length", "x-ours"}


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_the_users_client_stays_open_unless_it_was_given_away(library: Any) -> None:
    """Closing our wire is not closing what is not ours."""
    client = library.AsyncClient(trust_env=False)
    await HttpxWire(client).close()
    assert not client.is_closed
    wire = HttpxWire(client, owns_client=True)
    await wire.close()
    assert client.is_closed
    error = await failure_of(wire, post("http://127.0.0.1:1"))
    assert error.kind is FailureKind.LOCAL


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_full_pool_is_our_own_matter(library: Any) -> None:
    """It says nothing about the backend, so it is not charged to it."""
    limits = library.Limits(max_connections=1)
    client = library.AsyncClient(limits=limits, trust_env=False)
    async with raw_server(stream_on) as server, client:
        wire = HttpxWire(client)
        response = await wire.send(post(server.url))
        error = await failure_of(wire, post(server.url))
        assert error.kind is FailureKind.LOCAL
        await response.close(reusable=False)


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_derived_client_and_a_transport_in_memory_will_do(library: Any) -> None:
    """So that users may test without sockets."""

    class Derived(library.AsyncClient):  # type: ignore[misc]
        pass

    def handler(request: Any) -> Any:
        if request.url.path == "/broken":
            raise library.ReadError(KEY)
        return library.Response(200, content=b"hello")

    async with Derived(transport=library.MockTransport(handler)) as client:
        wire = HttpxWire(client)
        assert await body_of(await wire.send(WireRequest("GET", "http://x/", {}))) == b"hello"
        error = await failure_of(wire, WireRequest("GET", "http://x/broken", {}))
        assert error.kind is FailureKind.RESET
        assert KEY not in str(error)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(httpx.Client, r"not httpx.*Client; a synchronous client", id="httpx-sync"),
        pytest.param(httpx2.Client, r"not httpx2.*Client; a synchronous client", id="httpx2-sync"),
        pytest.param(object, r"not builtins\.object", id="something-else"),
    ],
)
def test_only_an_async_client_is_taken(make: Any, words: str) -> None:
    """A synchronous one would stop every other request while one is waiting."""
    with pytest.raises(TypeError, match=words):
        HttpxWire(make())


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_router_runs_over_the_users_client(library: Any) -> None:
    """Whole answers, streams, and a failover from a body that breaks off."""
    async with library.AsyncClient(trust_env=False) as client:
        for odd in (good, stream(ROLE, end="fin"), answer(b"null")):
            async with fleet(odd, wire=HttpxWire(client)) as here:
                create = here.router.chat.completions.create
                reply = await create(task="chat", messages=MESSAGES)
                assert reply.choices[0].message.content == "hello"
                parts = await create(task="chat", messages=MESSAGES, stream=True)
                assert await text_of(parts) == "hello"
                assert [len(server.exchanges) for server in (here.odd, here.good)] == (
                    [2, 0] if odd is good else [2, 2]
                )


def test_neither_library_is_loaded_by_the_wire() -> None:
    """It comes with the package; a client that nobody uses must cost nothing."""
    script = (
        "import sys, hybridllm._adapters.httpx_wire\n"
        "print([name for name in ('httpx', 'httpx2', 'openai', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
