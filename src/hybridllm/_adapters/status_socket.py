"""A unix socket that tells whoever connects how the router is: one JSON document, and closes.

Owns the socket's file: its name, its rights, when it comes and goes. Knows nothing of what is told.
Nothing is read from who connects, nobody is waited for longer than `ANSWER_S`, and a status that cannot be
served harms no request: that is a warning in the log.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
import logging
import os
import socket
import stat
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context
from pathlib import Path
from typing import Any, cast

from hybridllm._runtime.wall_clock import utc_now
from hybridllm._version import __version__
from hybridllm.errors import InvalidRequest

ANSWER_S = 5.0
"""Who has not read the document by then is cut off."""

CONNECTIONS_MAX = 16
FRESH_S = 0.1
"""The document is made anew at most so often: reading in a loop must not slow requests down."""

PATH_BYTES_MAX = 103
"""Of a unix socket: 103 on macOS and BSD, 107 on Linux."""

_NAMES_MAX = 1_000
_numbers = itertools.count()
_logger = logging.getLogger("hybridllm")


def status_folder(path: str | Path) -> Path:
    """Return the folder, absolute, if sockets may be put there.

    Raises:
        InvalidRequest: If it is not there, is no folder, anybody may write to it (and it is not sticky), or
            its path is too long for a unix socket.
    """
    folder = Path(path).absolute()
    if not hasattr(socket, "AF_UNIX"):
        raise _refused(folder, "this system has no unix sockets")
    try:
        mode = folder.stat().st_mode
    except OSError as error:
        raise _refused(folder, f"{error.strerror or 'cannot be read'}; make it first") from None
    if not stat.S_ISDIR(mode):
        raise _refused(folder, "it is not a folder")
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise _refused(folder, "everybody may write to it: chmod o-w it, or set its sticky bit")
    longest = len(os.fsencode(folder / f"hybridllm-{os.getpid()}-{_NAMES_MAX}.sock"))
    if longest > PATH_BYTES_MAX:
        most = PATH_BYTES_MAX - (longest - len(os.fsencode(folder)))
        have = len(os.fsencode(folder))
        raise _refused(
            folder, f"its path has {have} bytes; a unix socket leaves it {most}: take a shorter one"
        )
    return folder


class StatusSocket:
    """The socket of one router, from `open` to `close`.

    Args:
        folder: See `status_folder`.
        told: Makes the document, but for which process it is; called in the event loop.
    """

    def __init__(self, folder: Path, told: Callable[[], Mapping[str, Any]]) -> None:
        self._folder = folder
        self._owner = 0
        # Of loops that were closed without a word, and of the process that this one was forked from.
        self._forsaken: list[asyncio.Task[None]] = []
        self._process: dict[str, Any] = {}
        self._told = told
        self._path: Path | None = None
        self._listening: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None
        self._readers: set[asyncio.Transport] = set()
        self._made = (float("-inf"), b"")

    def open(self) -> None:
        """Begin to serve, in the running event loop; a failure is logged.

        A second call does nothing, unless the loop was closed or the process was forked meanwhile.
        """
        before = self._serving
        if before is not None:
            if self._owner == os.getpid() and not before.get_loop().is_closed():
                return
            self._put_away()
            self._forsaken.append(before)
        self._owner = os.getpid()
        self._process = _process()
        try:
            self._listening, self._path = _listening(self._folder)
        except OSError as error:
            _logger.warning("no status socket in %s: %s", self._folder, error.strerror)
            return
        # In a context of its own: the request that is under way is not what this is done for.
        self._serving = asyncio.get_running_loop().create_task(
            self._serve(self._listening), name="hybridllm-status", context=Context()
        )

    async def close(self) -> None:
        """Stop serving and take the file away."""
        serving, self._serving = self._serving, None
        if serving is None or self._owner != os.getpid():
            return
        loop = serving.get_loop()
        if loop is asyncio.get_running_loop():
            serving.cancel()
            await asyncio.wait({serving})
        elif not loop.is_closed():
            with suppress(RuntimeError):  # it was closed just now
                loop.call_soon_threadsafe(serving.cancel)
            self._unlink()  # now: a loop that has stopped would not get to it
            return
        self._put_away()  # once more: a task that had not begun did not get to it

    async def _serve(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_unix_server(
                lambda: _Reader(self._readers, self._document), sock=listening, backlog=16
            )
            try:
                await loop.create_future()  # until it is cancelled
            finally:
                server.close()
                for reader in list(self._readers):
                    reader.abort()
        except Exception as error:  # noqa: BLE001 - a border: nobody awaits this task
            _logger.warning("the status is not served: %s", type(error).__name__)
        finally:
            self._put_away()

    def _put_away(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()
        self._unlink()

    def _unlink(self) -> None:
        path, self._path = self._path, None
        if path is not None and self._owner == os.getpid():  # a fork's end is not ours
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _document(self) -> bytes:
        now_s = asyncio.get_running_loop().time()
        made_at_s, document = self._made
        if now_s - made_at_s >= FRESH_S:
            document = (
                json.dumps({**self._process, **self._told()}, ensure_ascii=True).encode() + b"\n"
            )
            self._made = (now_s, document)
        return document


class _Reader(asyncio.Protocol):
    """One who connected."""

    def __init__(self, readers: set[asyncio.Transport], document: Callable[[], bytes]) -> None:
        self._readers = readers
        self._document = document
        self._transport: asyncio.Transport | None = None
        self._cut_off: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell, and say goodbye."""
        told = cast("asyncio.Transport", transport)  # a stream server makes no other
        if len(self._readers) >= CONNECTIONS_MAX:
            told.abort()
            return
        self._transport = told
        self._readers.add(told)
        self._cut_off = asyncio.get_running_loop().call_later(ANSWER_S, told.abort)
        told.pause_reading()
        try:
            told.write(self._document())
        except Exception as error:  # noqa: BLE001 - a border: asyncio would log its traceback
            _logger.warning("the status cannot be told: %s", type(error).__name__)
        told.close()  # when all is written

    def connection_lost(self, exc: Exception | None) -> None:
        """It has read everything, left, or was cut off."""
        if self._cut_off is not None:
            self._cut_off.cancel()
        if self._transport is not None:
            self._readers.discard(self._transport)


def _process() -> dict[str, Any]:
    """Which process this is, and since when its router has been in use."""
    argv = getattr(sys, "argv", None) or [""]  # an embedded interpreter may have none
    return {
        "hybridllm": __version__,
        "pid": os.getpid(),
        "argv0": argv[0],
        "started_at": utc_now().isoformat(timespec="seconds"),
    }


def _listening(folder: Path) -> tuple[socket.socket, Path]:
    """Return a socket that listens in this folder, and where; what dead processes left there goes."""
    for left in folder.glob("hybridllm-*-*.sock"):
        remove_if_dead(left)
    hidden = folder / f".hybridllm-{os.getpid()}-{next(_numbers)}"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        hidden.unlink(missing_ok=True)
        listening.bind(os.fspath(hidden))
        hidden.chmod(0o600)  # before `listen`: until then nobody gets in
        listening.listen(16)
        return listening, _linked(folder, hidden)
    except BaseException:
        listening.close()
        raise
    finally:
        with suppress(OSError):
            hidden.unlink(missing_ok=True)


def _linked(folder: Path, hidden: Path) -> Path:
    """Give a socket its name: only now that somebody listens, so that nobody takes it for a dead one."""
    for number in range(_NAMES_MAX):
        path = folder / f"hybridllm-{os.getpid()}-{number}.sock"
        with suppress(FileExistsError):  # a rename would take it from somebody
            path.hardlink_to(hidden)
            return path
    raise OSError(errno.EEXIST, "all names are taken")


def remove_if_dead(path: Path) -> None:
    """Remove a socket's file if nobody listens any more."""
    with suppress(OSError):
        before = path.lstat()
        if not stat.S_ISSOCK(before.st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            asked.setblocking(False)
            try:
                asked.connect(os.fspath(path))
            except ConnectionRefusedError:
                if path.lstat().st_ino == before.st_ino:
                    path.unlink()


def _refused(folder: Path, why: str) -> InvalidRequest:
    return InvalidRequest(f"status_dir: {str(folder)!r}: {why}")
