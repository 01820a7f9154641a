"""One connection through a proxy: two directions, each with what is wrong with it.

Owns the order in which toxics act on a piece of data: it waits, it is cut, it is counted, it is lost,
it is slowed down. What is wrong is asked anew for each piece, so that it can change at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence

from hybridllm.testing._http1 import reset_on_close
from hybridllm.testing._tokens import draw
from hybridllm.testing._toxics import AFTER_BYTES, Toxic, ToxicKind

_READ_BYTES = 65_536
_READ_AHEAD = (
    16  # pieces that may be on their way at once: with latency, a round trip's worth of data
)
_BANDWIDTH_STEP_S = 0.02


class Toxics:
    """What is wrong with one direction, for all connections; may change."""

    def __init__(self, toxics: Toxic | Sequence[Toxic] | None) -> None:
        self.now = _as_toxics(toxics)
        self._changed = asyncio.Event()

    def set(self, toxics: Toxic | Sequence[Toxic] | None) -> None:
        """Have others, at once."""
        self.now = _as_toxics(toxics)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def change(self) -> None:
        """Wait until they are others."""
        await self._changed.wait()


class _Over(Exception):
    """The connection has been ended, both ways."""


class Link:
    """A client's connection, and the one to the backend that is its other half.

    Args:
        number: From 1; with the seed it decides which toxics of a probability strike.
    """

    def __init__(self, number: int, *, seed: int, to_backend: Toxics, to_client: Toxics) -> None:
        self.number = number
        self._seed = seed
        self._toxics = (to_backend, to_client)
        self._writers: list[asyncio.StreamWriter] = []

    async def run(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        host: str,
        port: int,
    ) -> None:
        """Pass on what either end sends, until both have ended or the connection is broken."""
        self._writers.append(writer)
        try:
            other_reader, other_writer = await asyncio.open_connection(host, port)
            self._writers.append(other_writer)
            async with asyncio.TaskGroup() as group:
                self._start(group, reader, other_writer, self._toxics[0], way="to_backend")
                self._start(group, other_reader, writer, self._toxics[1], way="to_client")
        except* _Over:
            pass
        except* OSError:
            self.rst()  # one end broke: the other one is told so
        finally:
            for each in self._writers:
                each.close()
            for each in self._writers:
                with contextlib.suppress(OSError):
                    await each.wait_closed()

    def rst(self) -> None:
        """Break both ends off."""
        for writer in self._writers:
            reset_on_close(writer.transport)
            writer.transport.abort()

    def _start(
        self,
        group: asyncio.TaskGroup,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        toxics: Toxics,
        *,
        way: str,
    ) -> None:
        direction = _Direction(
            reader, writer, toxics, rst=self.rst, chance=lambda *words: self._draw(way, *words)
        )
        group.create_task(direction.read(), name=f"proxy {way} reads")
        group.create_task(direction.write(), name=f"proxy {way} writes")

    def _draw(self, *words: object) -> float:
        return draw(self._seed, self.number, *words)


class _Direction:
    """What one end sends, on its way to the other."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        toxics: Toxics,
        *,
        rst: Callable[[], None],
        chance: Callable[..., float],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._toxics = toxics
        self._rst = rst
        self._chance = chance
        self._on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_READ_AHEAD)
        self._now_s = asyncio.get_running_loop().time
        self._passed_bytes = 0
        self._pieces = 0
        self._ended = False  # half-closed by a toxic: what comes is dropped
        self._dark = False

    async def read(self) -> None:
        """Take what the sender sends, unless it is to wait."""
        data = b"?"
        while data:
            while self._of(ToxicKind.STALL):
                await self._toxics.change()
            data = await self._reader.read(_READ_BYTES)
            await self._on_the_way.put((self._now_s(), data))

    async def write(self) -> None:
        """Hand it on, as late and in such pieces as the toxics say."""
        while True:
            arrived_s, data = await self._on_the_way.get()
            self._pieces += 1
            for toxic in self._of(ToxicKind.LATENCY):
                off = toxic.jitter_s * (2 * self._chance("jitter", self._pieces) - 1)
                await self._until(arrived_s + toxic.seconds + off)
            if not data:
                break
            for piece in self._cut(data):
                await self._pass_on(piece)
        for toxic in self._of(ToxicKind.SLOW_CLOSE):
            await asyncio.sleep(toxic.seconds)
        if not (self._ended or self._dark or self._of(ToxicKind.BLACKHOLE)):
            self._writer.write_eof()

    def _of(self, *kinds: ToxicKind) -> list[Toxic]:
        """The toxics of these kinds that strike this connection now."""
        return [
            toxic
            for place, toxic in enumerate(self._toxics.now)
            if toxic.kind in kinds
            and (toxic.probability >= 1 or self._chance(place, toxic.kind) < toxic.probability)
        ]

    def _cut(self, data: bytes) -> Iterator[bytes]:
        """Pieces as small as the toxics ask at the moment when each is taken."""
        while data:
            sizes = [toxic.size for toxic in self._of(ToxicKind.SLICER)]
            sizes += [
                max(1, int(toxic.size * _BANDWIDTH_STEP_S))
                for toxic in self._of(ToxicKind.BANDWIDTH)
            ]
            size = min(sizes, default=len(data))
            yield data[:size]
            data = data[size:]

    async def _pass_on(self, piece: bytes) -> None:
        limits = self._of(*AFTER_BYTES)
        limit = min(limits, key=lambda toxic: toxic.size, default=None)
        if limit is not None:
            piece = piece[: max(0, limit.size - self._passed_bytes)]
        self._dark = self._dark or bool(self._of(ToxicKind.BLACKHOLE))
        if piece and not (self._dark or self._ended):
            self._writer.write(piece)
            await self._writer.drain()
            self._passed_bytes += len(piece)
        if limit is not None and self._passed_bytes >= limit.size:
            self._strike(limit)
            return
        for toxic in self._of(ToxicKind.SLICER):
            await asyncio.sleep(toxic.seconds)
        for toxic in self._of(ToxicKind.BANDWIDTH):
            await asyncio.sleep(len(piece) / toxic.size)

    def _strike(self, limit: Toxic) -> None:
        if limit.kind is ToxicKind.RESET:
            self._rst()
            raise _Over
        if limit.kind is ToxicKind.LIMIT_DATA:
            raise _Over
        if not self._ended:
            self._ended = True
            self._writer.write_eof()

    async def _until(self, at_s: float) -> None:
        if (wait_s := at_s - self._now_s()) > 0:
            await asyncio.sleep(wait_s)


def _as_toxics(toxics: Toxic | Sequence[Toxic] | None) -> tuple[Toxic, ...]:
    if toxics is None:
        return ()
    return (toxics,) if isinstance(toxics, Toxic) else tuple(toxics)
