"""A TCP proxy on a loopback port that breaks what passes through it: in front of any server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from hybridllm.testing._link import Link, Toxics
from hybridllm.testing._listener import Listener
from hybridllm.testing._toxics import Toxic

_PORTS = {"http": 80, "https": 443}


class ToxicProxy:
    """Stands between a client and a backend, yours or a simulated one, and breaks the way between them.

    It passes bytes on and knows nothing of HTTP; each direction has toxics of its own, which may be
    changed at any time, and act on connections that are open, too. TLS passes through it untouched, so
    that a certificate has to be good for the name `localhost`.

    It lives in the running event loop and needs real time: not for `VirtualTimeLoop`.

    Args:
        url: Of the backend: `http://vllm.staging:8000/v1`.
        to_backend: What is wrong with the requests' way.
        to_client: What is wrong with the answers' way.
        seed: Decides which connections a toxic with a probability strikes.

    Attributes:
        connections_opened: How many connections were ever opened.
    """

    def __init__(
        self,
        url: str,
        *,
        to_backend: Toxic | Sequence[Toxic] | None = None,
        to_client: Toxic | Sequence[Toxic] | None = None,
        seed: int = 1,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"not the URL of a backend: {url!r}; like http://127.0.0.1:8000/v1")
        self._host = parts.hostname
        self._backend_port = parts.port or _PORTS[parts.scheme]
        self._scheme, self._path = parts.scheme, parts.path
        self._to_backend = Toxics(to_backend)
        self._to_client = Toxics(to_client)
        self._seed = seed
        self.connections_opened = 0
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._listener: Listener | None = None

    async def __aenter__(self) -> Self:
        if self._listener is not None:
            raise RuntimeError("this proxy is open already")
        self._listener = Listener(self._new_connection, tls=None)
        self._listener.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        tasks = self._break_links()
        await self._port.release()
        self._listener = None
        if tasks:
            await asyncio.wait(tasks)

    @property
    def base_url(self) -> str:
        """The backend's URL by way of the proxy: where clients are to be sent."""
        host = "localhost" if self._scheme == "https" else "127.0.0.1"
        return f"{self._scheme}://{host}:{self.port}{self._path}"

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1. It stays the same while the proxy is down."""
        return self._port.port

    @property
    def to_backend(self) -> tuple[Toxic, ...]:
        """What is wrong with the requests' way. Setting it works at once, on open connections too."""
        return self._to_backend.now

    @to_backend.setter
    def to_backend(self, toxics: Toxic | Sequence[Toxic] | None) -> None:
        self._to_backend.set(toxics)

    @property
    def to_client(self) -> tuple[Toxic, ...]:
        """What is wrong with the answers' way. Setting it works at once, on open connections too."""
        return self._to_client.now

    @to_client.setter
    def to_client(self, toxics: Toxic | Sequence[Toxic] | None) -> None:
        self._to_client.set(toxics)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._links)

    def kill(self) -> None:
        """Die: refuse new connections and reset all open ones. `heal` brings it back."""
        self._port.close()
        self._break_links()

    def blackhole(self) -> None:
        """Let every attempt to connect hang; open connections stay. `heal` ends it. Linux only."""
        self._port.blackhole()

    def heal(self) -> None:
        """Have no toxics any more, and listen on the same port."""
        self.to_backend = self.to_client = ()
        self._port.open()

    @property
    def _port(self) -> Listener:
        if self._listener is None:
            raise RuntimeError("this proxy is not open: use `async with`")
        return self._listener

    def _break_links(self) -> list[asyncio.Task[None]]:
        tasks = list(self._links.values())
        for link, task in self._links.items():
            link.rst()
            task.cancel()
        return tasks

    def _new_connection(self) -> asyncio.BaseProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_opened += 1
        link = Link(
            self.connections_opened,
            seed=self._seed,
            to_backend=self._to_backend,
            to_client=self._to_client,
        )
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: this runs in a task
        self._links[link] = task
        try:
            await link.run(reader, writer, host=self._host, port=self._backend_port)
        except asyncio.CancelledError:
            pass  # the proxy was killed or closed: nobody waits for this task's word
        finally:
            del self._links[link]
