"""The journal's pages as the thread keeps them: one for the loop, the next one, and those still needed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress

from hybridllm._runtime.ledger.ports import Journal, LedgerStoreError
from hybridllm._runtime.ledger.shared import Page, Shared

FULL_ENOUGH = 0.4
"""Of a page; from then on the next one stands ready."""

_logger = logging.getLogger("hybridllm")


class Pages:
    """The pages of one ledger in one process; all of it is called in the thread, but for `all`."""

    def __init__(self, name: str, journal: Journal, shared: Shared) -> None:
        self._name = name
        self._journal = journal
        self._shared = shared
        self._kept: list[Page] = []  # that were retired and are needed

    def all(self) -> Iterator[Page]:
        """Yield the pages that are open."""
        shared = self._shared
        pages = (shared.page, shared.spare, *shared.retired, *self._kept)
        yield from (page for page in pages if page is not None)

    def turn(self) -> None:
        """Have a page for the loop: the first, or the next where one is full or broken."""
        shared = self._shared
        page = shared.page
        if shared.spare is not None:
            return
        if page is not None and page.trouble is None:
            shared.unjournaled = None
            if page.segment.fullness < FULL_ENOUGH:
                return
        try:
            made = Page(self._journal.opened())
        except LedgerStoreError as error:
            self._unjournaled(str(error))
            return
        if page is not None and page.trouble is not None:
            self._unjournaled(page.trouble)
        if page is None:
            shared.page = made
        else:
            shared.spare = made

    def _unjournaled(self, why: str) -> None:
        shared = self._shared
        shared.errors += 1
        if shared.unjournaled is None:
            _logger.warning(
                "ledger %s: its journal cannot be written: %s. Until it can, a process that is killed loses "
                "the rows of its last moments",
                self._name,
                why,
            )
        shared.unjournaled = why

    def drop(self) -> None:
        """Remove the pages that are in the database."""
        retired = self._shared.retired
        while retired:
            self._kept.append(retired.popleft())
        for page in self._kept:
            if not page.needed:
                page.segment.drop()
        self._kept = [page for page in self._kept if page.needed]

    def sync(self) -> None:
        """While the database takes nothing, the journal is what there is: it is to outlive the machine."""
        for page in self.all():
            with suppress(OSError):
                page.segment.sync()

    def close(self) -> int:
        """Remove what is not needed, leave the rest to whoever comes next; return how many rows that is."""
        shared = self._shared
        shared.retired.extend(page for page in (shared.page, shared.spare) if page is not None)
        shared.page = shared.spare = None
        self.drop()
        self.sync()
        for page in self._kept:
            page.segment.close()
        return sum(page.appended for page in self._kept)
