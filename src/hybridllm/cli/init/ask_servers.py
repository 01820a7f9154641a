"""`GET .../models` of several servers at once, so bounded that no answer can do harm.

Whoever answers is not known yet. So: no proxy and no redirect (`http.client` knows neither), no key and
no cookie is sent, an answer is read up to a size, and after a time every connection is cut.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from queue import SimpleQueue
from threading import Thread, Timer
from urllib.parse import urlsplit

BYTES_MAX = 1_048_576
REFUSED = "refuses connections"
_STEP_S = 0.5  # to connect, and between two pieces of an answer
_ALL_S = 1.5  # for everything; more for servers that somebody named, which may be far away
_NAMED_FACTOR = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        status: HTTP status.
        server: Its `server` header, empty without one.
        body: As read; one byte more than `BYTES_MAX` if there was more.
    """

    status: int
    server: str
    body: bytes


def model_lists(base_urls: Sequence[str], *, named: bool) -> list[Answer | str]:
    """Return what each server answers to `GET BASE_URL/models`, or in words why it did not.

    Args:
        base_urls: Checked: http or https, a host, a plain path.
        named: True for servers that somebody named: they get more time.
    """
    factor = _NAMED_FACTOR if named else 1
    gets = [_Get(url, step_s=_STEP_S * factor) for url in base_urls]
    ended: SimpleQueue[int | None] = SimpleQueue()
    timer = Timer(_ALL_S * factor, ended.put, (None,))
    timer.daemon = True
    timer.start()
    # Daemons, for nothing can cut short a name that is being looked up.
    threads = [
        Thread(target=get.run, args=(ended, number), daemon=True) for number, get in enumerate(gets)
    ]
    for thread in threads:
        thread.start()
    under_way = set(range(len(gets)))
    while under_way and (number := ended.get()) is not None:
        under_way.discard(number)
    timer.cancel()
    told = [get.outcome for get in gets]
    for get, thread in zip(gets, threads, strict=True):
        get.cut()
        thread.join(_STEP_S)
    return told


class _Get:
    """One request. `outcome` may be read at any time."""

    def __init__(self, base_url: str, *, step_s: float) -> None:
        parts = urlsplit(base_url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=step_s)
        self._path = f"{parts.path}/models"
        self._socket: socket.socket | None = None  # the connection forgets its own too early
        self.outcome: Answer | str = "did not answer in time"

    def run(self, ended: SimpleQueue[int | None], number: int) -> None:
        """Ask, and put `number` into the queue however that ends."""
        try:
            self.outcome = self._ask()
        except TimeoutError:
            pass  # what `outcome` says already
        except ConnectionRefusedError:
            self.outcome = REFUSED
        except (OSError, HTTPException, ValueError) as error:
            self.outcome = f"cannot be asked: {type(error).__name__}"
        finally:
            self._connection.close()
            ended.put(number)

    def cut(self) -> None:
        """End it now, if it is still under way."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _ask(self) -> Answer:
        self._connection.connect()
        self._socket = self._connection.sock
        self._connection.request("GET", self._path, headers={"Accept": "application/json"})
        response = self._connection.getresponse()
        body = response.read(BYTES_MAX + 1)
        return Answer(response.status, response.headers.get("server", ""), body)
