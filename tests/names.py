"""A name server for tests: what it answers, when, and what it was asked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hybridllm._runtime.ports import NoSuchName

Answer = Sequence[str] | Exception | None
HANGS: Answer = None
NXDOMAIN = NoSuchName(socket.EAI_NONAME, "Name or service not known")
SERVFAIL = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@dataclass
class FakeNames:
    """Answers look-ups from a list per name; the last answer is repeated.

    Attributes:
        answers: An answer (addresses, an error, or `HANGS`), or a list of several, by name.
        after_s: How long an answer takes.
        asked: The names that were asked for, in order.
    """

    answers: Mapping[str, Answer | list[Answer]]
    after_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    _hanging: list[asyncio.Future[tuple[str, ...]]] = field(default_factory=list)

    def look_up(self, host: str) -> asyncio.Future[tuple[str, ...]]:
        """A `LookUp`."""
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[tuple[str, ...]] = loop.create_future()
        told = self.answers[host]
        answers = told if isinstance(told, list) else [told]
        answer = answers[min(self.asked.count(host), len(answers) - 1)]
        self.asked.append(host)
        if answer is None:
            self._hanging.append(asked)
        else:
            loop.call_later(self.after_s, _settle, asked, answer)
        return asked


def _settle(asked: asyncio.Future[tuple[str, ...]], answer: Sequence[str] | Exception) -> None:
    if asked.done():
        return
    if isinstance(answer, Exception):
        asked.set_exception(answer)
        asked.exception()
    else:
        asked.set_result(tuple(answer))
