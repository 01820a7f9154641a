"""Sizes, times, prices and the model book: read as a person writes them, exact, and never guessed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from hybridllm._adapters.book_data import shipped_book
from hybridllm._core.money.book import BookEntry, Tier, book_of, tier_of
from hybridllm._core.money.price import Price, cost_usd
from hybridllm._core.money.usage import Usage
from hybridllm._core.policy import units
from hybridllm._core.policy.compiled import Capability

# Every row as its source prints it: id, input, output, context; `-` is not quoted.
BOOK = """
qwen3-8b            0.01 0.01  32K
glm-4-9b            0.01 0.01  32K
qwen2.5-7b          0.01 0.01  32K
glm-4.5-air         0.07 0.01  32K
qwen3.5-4b          0.05 0.05  32K
hunyuan-lite        0.39 0.10  32K
qwen2.5-14b         0.05 0.10  32K
ga-economy          0.18 0.13  -
step-3.5-flash      0.13 0.15  32K
qwen3.5-27b         0.33 0.19  32K
bytedance-seed-oss  0.04 0.20  128K
hunyuan-standard    0.09 0.20  32K
hunyuan-pro         0.09 0.20  32K
ernie-speed-128k    0.00 0.20  128K
ga-standard         0.36 0.20  -
qwen3-14b           0.20 0.24  32K
deepseek-v4-flash   0.18 0.25  128K
qwen3-32b           0.18 0.28  32K
hunyuan-turbos      0.14 0.28  32K
glm-4.6             -    0.35  -
deepseek-v3.2       0.35 0.38  128K
qwen2.5-72b         0.20 0.40  128K
doubao-seed-lite    0.10 0.40  128K
ling-flash-2.0      0.18 0.50  32K
qwen3-vl-32b        0.26 0.52  32K
qwen3-omni-30b      0.30 0.52  32K
glm-4-32b           0.26 0.56  32K
hunyuan-turbo       0.18 0.57  32K
hunyuan-a13b        -    0.57  -
deepseek-v4-pro     0.57 0.78  128K
glm-4.6v            0.39 0.80  32K
doubao-seed-1.6     0.05 0.80  128K
minimax-m2.5        -    -     -
glm-5               -    -     -
deepseek-r1         -    2.50  -
kimi-k2.5           -    -     -
kimi-k2.6           -    -     -
qwen3.5-397b        -    3.00  -
gpt-4o              2.50 10.00 128K
gpt-4o-mini         0.15 0.60  128K
deepseek-v3         0.27 1.10  -
"""


def test_the_book_holds_the_sources_figures() -> None:
    """All of them, in their order; what is not quoted is None, not zero."""
    expected = [
        (name, *(None if figure == "-" else Decimal(figure) for figure in prices), context)
        for name, *prices, context in (row.split() for row in BOOK.split("\n") if row)
    ]
    found = [
        (
            entry.id,
            entry.usd_per_mtok_in,
            entry.usd_per_mtok_out,
            f"{entry.context_tokens // 1024}K" if entry.context_tokens else "-",
        )
        for entry in shipped_book()
    ]
    assert found == expected


def test_an_entry_holds_all_that_the_source_says() -> None:
    """One rich row, one poor one."""
    book = shipped_book()
    assert book.get("qwen3.5-27b") == BookEntry(
        id="qwen3.5-27b",
        name="Qwen3.5-27B",
        provider="Qwen",
        as_of="2026-06",
        usd_per_mtok_in=Decimal("0.33"),
        usd_per_mtok_out=Decimal("0.19"),
        context_tokens=32_768,
        tier="budget",
        license="Apache-2.0",
        size="27B",
        self_host_usd_month=(Decimal(300), Decimal(1200)),
    )
    assert book.get("kimi-k2.6") == BookEntry(
        id="kimi-k2.6",
        name="Kimi K2.6",
        provider="Moonshot",
        as_of="2026-06",
        tier="flagship",
        stated_tier="flagship",
        capabilities=frozenset({Capability.REASONING}),
    )


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("qwen3-8b", "qwen3-8b"),
        ("Qwen3-8B", "qwen3-8b"),
        ("DeepSeek V4 Flash", "deepseek-v4-flash"),
        ("deepseek v4 flash", "deepseek-v4-flash"),
        ("ByteDance Seed-OSS-36B", "bytedance-seed-oss"),
        ("BYTEDANCE-SEED-OSS", "bytedance-seed-oss"),
    ],
)
def test_the_book_is_asked_by_id_or_name_in_any_case(name: str, found: str) -> None:
    """The sources use both spellings."""
    entry = shipped_book().get(name)
    assert entry is not None
    assert entry.id == found


def test_the_book_does_not_guess() -> None:
    """Nearly is not known."""
    assert shipped_book().get("qwen3-8") is None
    assert shipped_book().get("") is None


def test_the_book_is_read_once() -> None:
    """And has a length and its names."""
    assert shipped_book() is shipped_book()
    assert len(shipped_book()) == len(shipped_book().names()) == 41
    assert shipped_book().as_of == "2026-06"


@pytest.mark.parametrize(
    ("name", "price"),
    [
        ("qwen3-32b", Price(Decimal("0.18"), Decimal("0.28"), price_id="qwen3-32b@2026-06")),
        (
            "ernie-speed-128k",
            Price(Decimal(0), Decimal("0.20"), price_id="ernie-speed-128k@2026-06"),
        ),
        ("glm-4.6", None),
        ("glm-5", None),
    ],
)
def test_half_a_price_is_none(name: str, price: Price | None) -> None:
    """A cost needs both figures; a quoted 0 is a figure."""
    entry = shipped_book().get(name)
    assert entry is not None
    assert entry.price == price


@pytest.mark.parametrize(
    ("output", "tier"),
    [
        ("0.009", None),
        ("0.01", "ultra-budget"),
        ("0.0999", "ultra-budget"),
        ("0.10", "budget"),
        ("0.30", "mid-range"),
        ("0.7999", "mid-range"),
        ("0.80", "premium"),
        ("2.00", "flagship"),
        ("3.4999", "flagship"),
        ("3.50", None),
        ("10.00", None),
    ],
)
def test_a_tier_begins_at_its_lower_bound(output: str, tier: str | None) -> None:
    """And ends below its upper one; beyond the bands there is no tier."""
    assert tier_of(Decimal(output), shipped_book().tiers) == tier


def test_a_stated_tier_stands_beside_the_computed_one() -> None:
    """DeepSeek V4 Pro is called premium at a mid-range price: both are kept."""
    entry = shipped_book().get("deepseek-v4-pro")
    assert entry is not None
    assert (entry.tier, entry.stated_tier) == ("mid-range", "premium")


def test_an_id_stands_in_a_book_once() -> None:
    """In any case of its letters; an id goes before another entry's display name."""
    entry = BookEntry("a", "A name", "X", "2026-06")
    with pytest.raises(ValueError, match="'A' twice"):
        book_of((entry, BookEntry("A", "Other", "X", "2026-06")), tiers=(), as_of="2026-06")
    named_like_it = BookEntry("b", "a", "X", "2026-06")
    book = book_of((named_like_it, entry), tiers=(), as_of="2026-06")
    assert book.get("a") is entry
    assert tier_of(Decimal(1), (Tier("t", Decimal(1), Decimal(2)),)) == "t"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(1_000_000, 0), "0.18"),
        (Usage(0, 1_000_000), "0.28"),
        (Usage(17, 4), "0.00000418"),
        (Usage(1_000_000, 0, cached_input_tokens=1_000_000), "0.05"),
        (Usage(1_000_000, 0, cached_input_tokens=400_000), "0.128"),
    ],
)
def test_a_cost_is_tokens_times_price(usage: Usage, expected: str) -> None:
    """Exact; a cached token is charged once, at its own price."""
    price = Price(Decimal("0.18"), Decimal("0.28"), Decimal("0.05"))
    assert cost_usd(usage, price) == Decimal(expected)


def test_a_cached_token_without_its_own_price_costs_as_any_other() -> None:
    """Not known is not free."""
    price = Price(Decimal("0.18"), Decimal("0.28"))
    assert cost_usd(Usage(1_000_000, 0, cached_input_tokens=1_000_000), price) == Decimal("0.18")


@pytest.mark.parametrize(
    ("read", "written", "value"),
    [
        (units.context_tokens, "32K", 32_768),
        (units.context_tokens, "128k", 131_072),
        (units.context_tokens, "1M", 1_048_576),
        (units.context_tokens, "1.5K", 1_536),
        (units.context_tokens, "4096", 4_096),
        (units.context_tokens, 4_096, 4_096),
        (units.context_tokens, Decimal("1e5"), 100_000),
        (units.context_tokens, "auto", None),
        (units.context_tokens, None, None),
        (units.count, "500M", 500_000_000),
        (units.count, "2M", 2_000_000),
        (units.count, "20K", 20_000),
        (units.count, "1.5B", 1_500_000_000),
        (units.count, 6_000, 6_000),
        (units.seconds, "800ms", Decimal("0.8")),
        (units.seconds, "10s", Decimal(10)),
        (units.seconds, "1.5 s", Decimal("1.5")),
        (units.seconds, "5m", Decimal(300)),
        (units.seconds, "2h", Decimal(7_200)),
        (units.seconds, "30d", Decimal(2_592_000)),
        (units.usd, "0.18", Decimal("0.18")),
        (units.usd, "$0.18", Decimal("0.18")),
        (units.usd, Decimal("0.1"), Decimal("0.1")),
        (units.usd, 3, Decimal(3)),
    ],
)
def test_units_are_read_as_a_person_writes_them(
    read: object, written: object, value: object
) -> None:
    """1K of context is 1,024 tokens; 1K of a rate is 1,000; seconds and USD are exact."""
    assert callable(read)
    assert read(written) == value


@pytest.mark.parametrize(
    ("read", "written"),
    [
        *(
            (units.context_tokens, wrong)
            for wrong in ("32Q", "K", "", "-1K", "1_000", "0.3", True, [], "1e5")
        ),
        *((units.count, wrong) for wrong in ("500MB", None, "0.0001K", Decimal("0.5"), True)),
        *(
            (units.seconds, wrong)
            for wrong in ("10", 10, Decimal("0.5"), "-1s", "1w", "10 min", "", None, "1S")
        ),
        *((units.usd, wrong) for wrong in ("", "€1", "1,5", "-1", True, None, "1 USD")),
        *((units.retention, wrong) for wrong in ("", "0s", "500ms", 30, None, "None", "long")),
    ],
)
def test_what_could_mean_two_things_is_refused(read: object, written: object) -> None:
    """A duration without its unit, a comma, a sign: the message is a predicate for the value."""
    assert callable(read)
    with pytest.raises(ValueError, match=r"^is not "):
        read(written)
