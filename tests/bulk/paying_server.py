"""A loopback server that answers chats as cheaply as can be, and counts for what it would be paid.

In every prompt there is the number of its item: `item 17`. An answer is paid for once it has been handed
to the network; the client may be dead by then, as anybody who pays by the token knows.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ITEM = re.compile(rb"item (\d+)")
_ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "answer ITEM"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}
_BODY = json.dumps(_ANSWER).encode()


@dataclass
class PayingServer:
    """What it did.

    Attributes:
        paid: How often each item was answered.
        on_asked: Called with how many requests there were, after each has come.
        on_paid: Called with how many answers there were, after each.
        delay_s: Before each answer.
        answers_max: Once it has given so many, it answers nobody until `go_on`; None: it goes on.
    """

    port: int = 0
    paid: Counter[int] = field(default_factory=Counter)
    on_asked: Callable[[int], None] | None = None
    on_paid: Callable[[int], None] | None = None
    delay_s: float = 0.0
    asked: int = 0
    answers: int = 0
    answers_max: int | None = None
    _may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    def go_on(self, answers_max: int | None) -> None:
        """Answer, until there were so many."""
        self.answers_max = answers_max
        self._may_answer.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                item = _ITEM.search(body)
                assert item is not None
                self.asked += 1
                if self.on_asked is not None:
                    self.on_asked(self.asked)
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                while self.answers == self.answers_max:
                    self._may_answer.clear()
                    await self._may_answer.wait()
                answer = _BODY.replace(b"ITEM", item[1])
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                    % (len(answer), answer)
                )
                self.paid[int(item[1])] += 1
                self.answers += 1
                if self.on_paid is not None:
                    self.on_paid(self.answers)
        except (ConnectionError, EOFError, asyncio.CancelledError):
            pass  # the client was killed, or the test is over
        finally:
            writer.close()


@asynccontextmanager
async def paying_server(*, delay_s: float = 0.0) -> AsyncIterator[PayingServer]:
    """Run one on a free port."""
    there = PayingServer(delay_s=delay_s)
    server = await asyncio.start_server(there.serve, "127.0.0.1", 0)
    there.port = server.sockets[0].getsockname()[1]
    async with server:
        yield there
