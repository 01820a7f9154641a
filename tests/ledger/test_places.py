"""Where a ledger is: what is no place is told, and a password in a database's URL is shown nowhere."""

from __future__ import annotations

import pytest

from hybridllm import Ledger, LedgerError, LedgerReader, Router
from ledger.routers import POLICY

PASSWORD = "hunter2"
URLS = (
    f"postgresql+psycopg://me:{PASSWORD}@127.0.0.1:1/x",
    f"postgresql+psycopg://127.0.0.1:1/x?user=me&password={PASSWORD}",
    f"postgresql+psycopg://127.0.0.1:1/x?sslpassword={PASSWORD}&connect_timeout=1",
)


@pytest.mark.parametrize("url", URLS)
async def test_a_password_is_not_shown(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """In the repr, the status, the log or an error, wherever in the URL it stands."""
    pytest.importorskip("psycopg")
    ledger = Ledger(url)
    shown = [repr(ledger)]
    async with Router.from_text(POLICY, environ={}, ledger=ledger) as router:
        shown += [repr(router), str(router.status()), str(router.status().to_dict())]
        place = router.status().ledger
    assert place is not None
    assert "127.0.0.1" in place.place
    with pytest.raises(LedgerError) as caught:
        LedgerReader(url)
    shown += [str(caught.value), repr(caught.value), caplog.text]
    assert PASSWORD not in "".join(shown)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"postgresql+psycopg://me:{PASSWORD}@host:port/x", "this is neither"),
        (f"postgresql+unheard_of://me:{PASSWORD}@host/x", "is not installed"),
        (f"unheard_of://me:{PASSWORD}@host/x", "is not installed"),
        ("://", "this is neither"),
    ],
)
def test_a_url_that_is_none_is_told_by_whoever_reads_it(url: str, words: str) -> None:
    """As an error of the ledger's, not of a library's."""
    with pytest.raises(LedgerError, match=words) as caught:
        LedgerReader(url)
    assert PASSWORD not in str(caught.value)
