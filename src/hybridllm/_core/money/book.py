"""The model book: dated figures of known models, which policies use, override or extend.

A figure that its source does not quote is None, and stays None: not known is not zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from hybridllm._core.money.price import Price
from hybridllm._core.policy.compiled import Capability


@dataclass(frozen=True, slots=True)
class BookEntry:
    """What the book knows of a model.

    Attributes:
        id: Wire id, `qwen3-8b`.
        name: Display name, `Qwen3-8B`.
        usd_per_mtok_in: USD per 1,000,000 prompt tokens; None: not quoted.
        usd_per_mtok_out: USD per 1,000,000 completion tokens; None: not quoted.
        context_tokens: Prompt and answer together; None: not known.
        tier: Band that the output price falls into; without a price, the stated one; None: in no band.
        stated_tier: What the source calls it, where that is all it says, or where it differs.
        license: None: not stated; mostly because the weights are not open.
        size: Parameters as the source writes them, `32B`.
        self_host_usd_month: The source's estimate of GPU cost for serving this one model, from and to.
        as_of: When the figures were taken, `2026-06`.
    """

    id: str
    name: str
    provider: str
    as_of: str
    usd_per_mtok_in: Decimal | None = None
    usd_per_mtok_out: Decimal | None = None
    context_tokens: int | None = None
    tier: str | None = None
    stated_tier: str | None = None
    capabilities: frozenset[Capability] = frozenset()
    license: str | None = None
    size: str | None = None
    self_host_usd_month: tuple[Decimal, Decimal] | None = None

    @property
    def price(self) -> Price | None:
        """What its tokens cost; None if the book does not know both prices."""
        if self.usd_per_mtok_in is None or self.usd_per_mtok_out is None:
            return None
        return Price(
            self.usd_per_mtok_in, self.usd_per_mtok_out, price_id=f"{self.id}@{self.as_of}"
        )


@dataclass(frozen=True, slots=True)
class Tier:
    """A band of output prices: USD per 1,000,000 tokens, the lower bound included."""

    name: str
    usd_per_mtok_out_min: Decimal
    usd_per_mtok_out_max: Decimal

    def holds(self, usd_per_mtok_out: Decimal) -> bool:
        """Return whether an output price falls into this band."""
        return self.usd_per_mtok_out_min <= usd_per_mtok_out < self.usd_per_mtok_out_max


@dataclass(frozen=True, slots=True)
class Book:
    """All entries, in the order of their source, and the tiers."""

    as_of: str
    tiers: tuple[Tier, ...]
    entries: tuple[BookEntry, ...]
    _by_name: Mapping[str, BookEntry]

    def get(self, name: str) -> BookEntry | None:
        """Return the entry with this id or display name, in any case."""
        return self._by_name.get(name.casefold())

    def names(self) -> tuple[str, ...]:
        """Return every id, in the order of the book."""
        return tuple(entry.id for entry in self.entries)

    def __iter__(self) -> Iterator[BookEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def book_of(entries: tuple[BookEntry, ...], *, tiers: tuple[Tier, ...], as_of: str) -> Book:
    """Return a book of these entries; an id goes before a display name that is spelled the same.

    Raises:
        ValueError: If two entries have the same id.
    """
    by_name: dict[str, BookEntry] = {}
    for entry in entries:
        if entry.id.casefold() in by_name:
            raise ValueError(f"the model book has {entry.id!r} twice")
        by_name[entry.id.casefold()] = entry
    for entry in entries:
        by_name.setdefault(entry.name.casefold(), entry)
    return Book(as_of, tiers, entries, by_name)


def tier_of(usd_per_mtok_out: Decimal, tiers: tuple[Tier, ...]) -> str | None:
    """Return the name of the band that an output price falls into; None: in none."""
    return next((tier.name for tier in tiers if tier.holds(usd_per_mtok_out)), None)
