"""A month's page: it says what the report says, needs nothing but itself, and takes no name for markup."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hybridllm.cli.report.charts import NARROW, Series, lines, stacked_bars
from hybridllm.cli.report.month import gathered
from hybridllm.cli.report.page import page
from reports.months import attempt, machine, month, request, us, written

EVIL = '<script>document.title="owned"</script>"><img src=x onerror=alert(1)>'
CHROMIUM = shutil.which("chromium")


class Tags(HTMLParser):
    """Every tag with its attributes, and those that were not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def made(path: Path) -> str:
    """The page of a month in which somebody has a name like that, everywhere."""
    at = {"started_us": us("2025-11-04", 9)}
    names = ("tenant", "feature", "task")
    asked = request(
        "f" * 32, **dict.fromkeys((*names, "served_model", "served_backend"), EVIL), **at
    )
    sent = attempt("f" * 32, **dict.fromkeys((*names, "model", "backend"), EVIL), **at)
    more = [(asked, [sent])]
    said = [machine("2025-11-01"), machine("2025-11-01", backend=EVIL, usd_per_month="10")]
    ledger = written(path, [*month(200, first="2025-11-01"), *more], said)
    return page(gathered(str(ledger), "2025-11", policy=None, on_step=lambda _: None))


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made(tmp_path_factory.mktemp("page") / "ledger.db")


def test_the_page_is_whole_and_loads_nothing(html: str) -> None:
    """Every tag is closed; no script, no address, no style from elsewhere, and a policy that forbids them."""
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert {tag for tag, _ in tags.seen}.isdisjoint(
        {"script", "img", "link", "iframe", "object", "form"}
    )
    for _, attributes in tags.seen:
        assert not attributes.keys() & {"src", "href", "onload", "onerror", "action"}
    assert "default-src 'none'" in html
    assert "url(" not in html
    assert "@import" not in html


def test_a_name_is_text_whatever_it_is(html: str) -> None:
    """In tables, legends, the hints of bars, machines."""
    assert "<script" not in html
    assert "<img" not in html
    assert html.count("&lt;script&gt;") >= 5


def test_the_page_says_what_the_report_says(html: str) -> None:
    """The total, machines, what-ifs and what nobody knows."""
    text = re.sub(r"<[^>]+>", " ", html)
    for words in (
        "November 2025",
        "Spend by day",
        "By tenant",
        "By task and model",
        "all on own machines",
        "machines on idle days",
        "Provisional: the shares",
        "In no sum",
        "vllm-fra",
    ):
        assert words in text, words


def test_an_empty_month_has_a_page(tmp_path: Path) -> None:
    """Without a division by nothing."""
    ledger = written(tmp_path / "l.db", [])
    html = page(gathered(str(ledger), "2025-11", policy=None, on_step=lambda _: None))
    assert "November 2025" in html


def test_an_axis_ends_at_a_round_number() -> None:
    """At or above the largest value; a gap stays a gap."""
    drawn = stacked_bars(["2025-11-01"], [Series("a", [61.0], "c0")], unit="$", size=NARROW)
    assert re.findall(r">(\$[\d.]+)<", drawn) == ["$0", "$20", "$40", "$60", "$80"]
    gap = lines(["1", "2", "3"], [Series("a", [1.0, None, 2.0], "c0")], unit=" s", size=NARROW)
    assert gap.count("<polyline") == 2
    assert "$1.2e" not in stacked_bars(
        ["1"], [Series("a", [0.000012], "c0")], unit="$", size=NARROW
    )


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: the page was opened in no browser")
def test_the_page_opens_from_disk_in_a_browser(html: str, tmp_path: Path) -> None:
    """Without a network: it is drawn, and nobody's name has run."""
    file = tmp_path / "month.html"
    file.write_text(html, encoding="utf-8")
    picture = tmp_path / "month.png"

    def opened(*asked: str) -> str:
        profile, nowhere = f"--user-data-dir={tmp_path}/profile", "--proxy-server=127.0.0.1:9"
        plain = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", profile, nowhere]
        done = subprocess.run(
            [*plain, "--window-size=1280,1700", *asked, f"file://{file}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    shown = opened("--dump-dom")
    assert "<title>November 2025: what requests cost</title>" in shown
    assert shown.count("<rect") > 30
    opened(f"--screenshot={picture}")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 40_000  # a blank page takes 5 KB
