"""Asking the system for the addresses of a name, each time in a thread of its own.

Not in the loop's default executor: `getaddrinfo` blocks until the name server answers, so a few names that
hang would fill its threads and stop every other name (0.3 s became 5.3 s, measured). And a daemon: the
threads of an executor are joined when the process ends.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

from hybridllm._runtime.ports import LookUp, NoSuchName

# The name does not exist, or has no address; every other error says that nobody could tell.
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def look_up_in_thread(getaddrinfo: Callable[..., Any] | None = None) -> LookUp:
    """Return what asks the system for a name's addresses.

    Args:
        getaddrinfo: In the place of the one that `socket` has.
    """

    def look_up(host: str) -> asyncio.Future[tuple[str, ...]]:
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[tuple[str, ...]] = loop.create_future()

        def work() -> None:
            found = _asked(getaddrinfo or socket.getaddrinfo, host)
            try:
                loop.call_soon_threadsafe(_settle, asked, found)
            except RuntimeError:
                pass  # the loop is closed: nobody waits any more

        threading.Thread(target=work, name="hybridllm-name", daemon=True).start()
        return asked

    return look_up


def _asked(getaddrinfo: Callable[..., Any], host: str) -> tuple[str, ...] | OSError:
    # Without a network the system has no address for its own name, if it may give reachable ones only.
    flags = 0 if host == "localhost" else socket.AI_ADDRCONFIG
    try:
        found = getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=flags)
    except socket.gaierror as error:
        gone = error.errno in _NO_SUCH_NAME
        return NoSuchName(*error.args) if gone else socket.gaierror(*error.args)
    except Exception as error:  # noqa: BLE001 - a border: a thread that raised would leave its waiters alone
        return OSError(type(error).__name__)
    addresses = tuple(dict.fromkeys(str(place[0]) for *_, place in found))
    return addresses or NoSuchName("the name has no address")


def _settle(asked: asyncio.Future[tuple[str, ...]], found: tuple[str, ...] | OSError) -> None:
    if asked.done():  # given up
        return
    if isinstance(found, OSError):
        asked.set_exception(found)
        asked.exception()  # looked at: nobody may be waiting any more
    else:
        asked.set_result(found)
