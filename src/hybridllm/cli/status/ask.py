"""Asks every process that serves its status in a folder; takes away what dead ones left there.

What comes through a socket is checked before anybody draws it: it may be of another version, or of
somebody else.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_S = 2.0
"""How long a process may take for a piece of its answer."""

BYTES_MAX = 8 << 20
_AT_ONCE = 16
_FACTS = (
    "pid",
    "argv0",
    "started_at",
    "policy",
    "version",
    "retry_budget_left",
    "reloads",
    "failed",
    "panic",
)
_ROWS = {
    "candidates": ("backend", "model", "breaker", "gate", "reason", "attempts", "failures"),
    "backends": ("backend", "in_flight", "limit", "waiting"),
}


@dataclass(slots=True)
class Found:
    """What a folder told.

    Attributes:
        processes: The documents, by policy and process id; `sockets`: the names of their sockets.
        silent: (name of the socket, why) of those that told nothing.
    """

    processes: list[dict[str, Any]] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    silent: list[tuple[str, str]] = field(default_factory=list)


def asked(folder: Path) -> Found:
    """Ask everybody in a folder."""
    sockets = sorted(folder.glob("hybridllm-*-*.sock"))
    found, answers = Found(), []
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for path, told in zip(sockets, threads.map(_told, sockets), strict=True):
            if isinstance(told, dict):
                answers.append((path.name, told))
            elif told is not None:
                found.silent.append((path.name, told))
    for name, told in sorted(answers, key=lambda one: (str(one[1]["policy"]), str(one[1]["pid"]))):
        found.sockets.append(name)
        found.processes.append(told)
    return found


def trusted(owner: int, asker: int) -> bool:
    """Return whether what a socket of this user tells may be shown to that one."""
    return asker == 0 or owner in (asker, 0)


def _told(path: Path) -> dict[str, Any] | str | None:
    """Return a document, or why there is none; None: nobody is there."""
    try:
        before = path.lstat()
        if not stat.S_ISSOCK(before.st_mode):
            return "is no socket"
        if not trusted(before.st_uid, os.geteuid()):
            return "belongs to another user, who may tell anything"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(ANSWER_S)
            try:
                asking.connect(os.fspath(path))
            except ConnectionRefusedError:
                _take_away(path, before.st_ino)
                return None
            text = _all_of(asking)
    except FileNotFoundError:
        return None  # it went just now
    except TimeoutError:
        return f"no answer within {ANSWER_S:g} s: its event loop is blocked, or it is stopped"
    except OSError as error:
        return error.strerror or type(error).__name__
    return _read(text)


def _all_of(asking: socket.socket) -> bytes:
    pieces, size = [], 0
    while size <= BYTES_MAX and (piece := asking.recv(65_536)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _take_away(path: Path, inode: int) -> None:
    with suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()


def _read(text: bytes) -> dict[str, Any] | str:
    if len(text) > BYTES_MAX:
        return f"tells more than {BYTES_MAX >> 20} MiB"
    try:
        told = _printable(json.loads(text, parse_constant=_no_number))
    except (ValueError, RecursionError):
        return (
            "tells no status" if text else "told nothing: it has too many readers, or was closing"
        )
    if not isinstance(told, dict) or not all(name in told for name in _FACTS):
        return "tells no status that this version understands"
    for rows, names in _ROWS.items():
        if not isinstance(told.get(rows), list) or not all(
            isinstance(row, dict) and all(name in row for name in names) for row in told[rows]
        ):
            return "tells no status that this version understands"
    return told


def _no_number(_: str) -> None:
    """Return what stands for `NaN` and `Infinity`, which JSON has not: unknown."""


def _printable(value: Any) -> Any:
    """Replace what would steer a terminal."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() or c == "\n" else "?" for c in value)
    if isinstance(value, list):
        return [_printable(one) for one in value]
    if isinstance(value, dict):
        return {_printable(name): _printable(one) for name, one in value.items()}
    return value
