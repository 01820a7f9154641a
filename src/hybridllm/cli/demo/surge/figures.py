"""The sums of the second act: what left and at what price, who waited, and what would have been without."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hybridllm.cli.demo.surge.act import Phase
from hybridllm.cli.demo.surge.traffic import Timetable
from hybridllm.cli.demo.surge.without import first_tokens_s
from hybridllm.cli.demo.surge.world import API, MACHINE, MAY_SEE
from hybridllm.cli.demo.tally import Ending, Record, Tally
from hybridllm.cli.quantiles import quantile

if TYPE_CHECKING:
    from hybridllm.cli.demo.ask import Ask

BEFORE = (Phase.CALM, Phase.AFTER)


@dataclass(frozen=True, slots=True)
class Spell:
    """One of the two spells in which requests go elsewhere. Times of first tokens are those of who may leave.

    Attributes:
        requests: That came; `may_leave`: those of them that no tag keeps.
        left: Answered by the API; `share`: of those that may leave.
        cost_usd: What the API asked for those.
        first_token_p99_s: Of those that may leave.
        without_p99_s: What that would have been, had nobody left: a sum; None: not known.
        tagged: Requests that may not leave; `tagged_left`: attempts of those at the API.
        tagged_answered: Answered at home; `tagged_wait_s`: the longest that one waited for its first token.
        tagged_later: Told to come back.
    """

    requests: int
    may_leave: int
    left: int
    share: float | None
    cost_usd: Decimal
    first_token_p99_s: float | None
    without_p99_s: float | None
    tagged: int
    tagged_left: int
    tagged_answered: int
    tagged_wait_s: float | None
    tagged_later: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of the act.

    Attributes:
        can_per_s: Requests that the machine answers a second; `asked_per_s`: that came in the burst.
        calm_p99_s: First tokens in calm hours.
        ideal_share: Of the burst's requests that may leave: what the machine has no room for.
        back_s: From the end of the burst until the last one left.
        awake_after_s: From being woken until the machine was used again; None: not before the end.
        back_home: Requests that it answered since.
    """

    can_per_s: float
    asked_per_s: float | None
    calm_p99_s: float | None
    burst: Spell
    ideal_share: float | None
    back_s: float
    asleep: Spell
    awake_after_s: float | None
    back_home: int

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; money is a text."""
        told = asdict(self)
        for spell in ("burst", "asleep"):
            told[spell]["cost_usd"] = str(told[spell]["cost_usd"])
        return told


def figures(
    tally: Tally,
    asks: Sequence[Ask],
    times: Timetable,
    *,
    awake_after_s: float | None,
    woken_s: float | None,
) -> Figures:
    """Make the sums.

    Args:
        tally: What has ended.
        asks: Everything that was to be asked, in order.
        times: When what happened.
        awake_after_s: How long waking took; None: longer than the act.
        woken_s: When it was woken, from the start of the act; None: it was not.
    """
    awake_s = None if woken_s is None or awake_after_s is None else woken_s + awake_after_s
    without = _without(asks, times, awake_s=awake_s)
    burst = [one for one in tally.records if one.phase == Phase.BURST]
    asleep = [one for one in tally.records if one.phase == Phase.ASLEEP]
    calm = [one for one in tally.records if one.phase in BEFORE and _may_leave(one)]
    burst_s = times.after_s - times.burst_s
    spell = _spell(burst, without)
    room = MACHINE.requests_per_s * burst_s
    left_s = [
        one.ask.at_s for one in tally.records if _left(one) and one.phase in (*BEFORE, Phase.BURST)
    ]
    return Figures(
        can_per_s=MACHINE.requests_per_s,
        asked_per_s=len(burst) / burst_s if burst else None,
        calm_p99_s=quantile(_first_tokens_s(calm), 0.99),
        burst=spell,
        ideal_share=max(0.0, len(burst) - room) / spell.may_leave if spell.may_leave else None,
        back_s=max(0.0, max(left_s, default=0.0) - times.after_s),
        asleep=_spell(asleep, without),
        awake_after_s=awake_after_s,
        back_home=sum(
            one.phase == Phase.AWAKE and one.ending is Ending.ANSWERED and not _left(one)
            for one in tally.records
        ),
    )


def _without(asks: Sequence[Ask], times: Timetable, *, awake_s: float | None) -> dict[int, float]:
    """Return the first tokens that requests would have waited for at the machine; each spell by itself."""
    found: dict[int, float] = {}
    for begin_s, end_s, away_until_s in (
        (0.0, times.quiet_s, 0.0),
        (times.again_s, times.end_s, awake_s),
    ):
        if away_until_s is None:
            continue
        spell = [ask for ask in asks if begin_s <= ask.at_s <= end_s]
        waits_s = first_tokens_s([ask.at_s for ask in spell], MACHINE, away_until_s=away_until_s)
        found |= {id(ask): wait_s for ask, wait_s in zip(spell, waits_s, strict=True)}
    return found


def _spell(records: Sequence[Record], without: dict[int, float]) -> Spell:
    free = [one for one in records if _may_leave(one)]
    tagged = [one for one in records if not _may_leave(one)]
    left = [one for one in free if _left(one)]
    answered = [one for one in tagged if one.ending is Ending.ANSWERED]
    return Spell(
        requests=len(records),
        may_leave=len(free),
        left=len(left),
        share=len(left) / len(free) if free else None,
        cost_usd=sum((_cost_usd(one) for one in records), Decimal(0)),
        first_token_p99_s=quantile(_first_tokens_s(free), 0.99),
        without_p99_s=quantile(
            [without[id(one.ask)] for one in free if id(one.ask) in without], 0.99
        ),
        tagged=len(tagged),
        tagged_left=sum(_attempts_at_api(one) for one in tagged),
        tagged_answered=len(answered),
        tagged_wait_s=max(_first_tokens_s(answered), default=None),
        tagged_later=sum(one.ending is Ending.LATER for one in tagged),
    )


def _may_leave(record: Record) -> bool:
    return record.ask.residency not in MAY_SEE


def _left(record: Record) -> bool:
    served = None if record.receipt is None else record.receipt.served
    return served is not None and served.backend == API


def _attempts_at_api(record: Record) -> int:
    attempts = () if record.receipt is None else record.receipt.attempts
    return sum(attempt.backend == API for attempt in attempts)


def _cost_usd(record: Record) -> Decimal:
    return Decimal(0) if record.receipt is None else record.receipt.cost_usd or Decimal(0)


def _first_tokens_s(records: Iterable[Record]) -> list[float]:
    return [
        one.receipt.first_token_s
        for one in records
        if one.ending is Ending.ANSWERED
        and one.receipt is not None
        and one.receipt.first_token_s is not None
    ]
