"""A folder for status sockets: with a short path, as pytest's own may be too long for a unix socket.

And somebody who has a socket there and tells what a test wants.
"""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def short_folder() -> Iterator[Path]:
    """A new folder, empty again at the end or the test has left something behind."""
    with tempfile.TemporaryDirectory(prefix="hs-", dir="/tmp") as name:
        yield Path(name)
        assert list(Path(name).iterdir()) == []


@contextmanager
def teller(
    folder: Path, told: bytes | Callable[[], bytes] | None, *, number: int = 0
) -> Iterator[None]:
    """Somebody who answers every connection with these bytes; None: never."""
    path = folder / f"hybridllm-4711-{number}.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            while True:
                try:
                    asking, _ = listening.accept()
                except OSError:
                    return
                with asking:
                    asking.sendall((told() if callable(told) else told) or b"")

        thread = threading.Thread(target=serve, daemon=True)
        if told is not None:
            thread.start()
        try:
            yield
        finally:
            if told is not None:
                listening.shutdown(socket.SHUT_RDWR)
                thread.join(5)
            path.unlink(missing_ok=True)


async def read(path: Path) -> bytes:
    """What a socket tells, to its end."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


async def document(folder: Path) -> dict[str, Any]:
    """What the only socket of a folder tells."""
    (path,) = folder.glob("hybridllm-*.sock")
    told: dict[str, Any] = json.loads(await read(path))
    return told
