"""A folder for status sockets: with a short path, as pytest's own may be too long for a unix socket."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def short_folder() -> Iterator[Path]:
    """A new folder, empty again at the end or the test has left something behind."""
    with tempfile.TemporaryDirectory(prefix="hs-", dir="/tmp") as name:
        yield Path(name)
        assert list(Path(name).iterdir()) == []


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
