"""Whether traffic would cost more at hosted APIs than on one's own machines: the sums, and nothing but them.

The traffic is weighed as it is: its models, its mix of prompt and answer, its cached share. A model that no
price is known for is left out and named; where more than a few tokens are of such models, nothing is known.
Machines are bought whole: traffic that does not fit a set of them needs another set. It is taken to come
evenly over the day; peaks are the overflow's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import inf, isfinite

from hybridllm._core.economics.sums import MTOK, api_usd, level_tokens, steps_for
from hybridllm._core.money.capacity import SECONDS_A_MONTH
from hybridllm._core.money.price import Price
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.hybrid import DAYS_A_MONTH, Capacity
from hybridllm._core.policy.listed_prices import list_prices_at

UNKNOWN_SHARE_MAX = Decimal("0.05")
"""Of the tokens, that may be of models without a price; of more nobody knows what the APIs would cost."""

_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a month's traffic costs at hosted APIs and on own machines.

    Attributes:
        api_usd_per_month: Of the tokens whose price is known; None: too many have none.
        own_usd_per_month: Machines and hidden costs of as many sets as the traffic needs; None: no backend
            has a capacity.
        crossing_tokens_per_day: From so much of this mix on own machines cost less; None: never, because
            even a token on a full machine costs more, or not known.
        tokens_per_month: Of models with a price.
        backends: Whose capacity was weighed.
        sets: How often these machines are needed for the tokens; None: nobody knows what all of them can do,
            and they are taken once.
        unknown: The models without a price, in order of their names.
        unknown_share: Of all tokens, those of such models.
    """

    api_usd_per_month: Decimal | None
    own_usd_per_month: Decimal | None
    crossing_tokens_per_day: Decimal | None
    tokens_per_month: Decimal
    backends: tuple[str, ...]
    sets: int | None
    unknown: tuple[str, ...]
    unknown_share: Decimal

    @property
    def ratio(self) -> float | None:
        """API over own: above 1 the APIs cost more; infinite if own machines are free; None: not known."""
        api, own = self.api_usd_per_month, self.own_usd_per_month
        if api is None or own is None:
            return None
        if own:
            return float(api / own)
        return inf if api else None

    @property
    def text(self) -> str:
        """The sums in one line."""
        return "; ".join((_api_text(self), _own_text(self), *_verdict_texts(self)))


@dataclass(frozen=True, slots=True)
class _Traffic:
    """A month's tokens with their price, and those without."""

    tokens: Decimal
    usd: Decimal
    unknown: tuple[str, ...]
    unknown_share: Decimal


@dataclass(frozen=True, slots=True)
class MachineSet:
    """The machines that are weighed, once each.

    Attributes:
        usd: A month of what is paid however much they do.
        usd_per_token: What a token costs beside that, on those of them that give idle machines back.
        tokens: That they can process in a month; None: of some of them nobody knows.
    """

    usd: Decimal
    usd_per_token: Decimal
    tokens: Decimal | None


def weigh(
    policy: Policy,
    tokens_by_model: Mapping[str, tuple[float, float]],
    cached_share: Mapping[str, float],
    backends: tuple[str, ...],
    *,
    days: float | None = None,
    at: datetime | None = None,
) -> Weighed:
    """Weigh traffic at the prices of hosted APIs against the machines of a policy.

    Args:
        policy: Has the list prices and the capacities.
        tokens_by_model: Prompt tokens, cached ones included, and completion tokens per logical model.
        cached_share: Of the prompt tokens per model, those that an API would bill as cached, 0 to 1; a model
            that is not named has none.
        backends: Whose capacity is weighed; empty: of all that have one.
        days: In which the tokens came; None: in a month (30.4375 days).
        at: Whose prices hold, of a policy whose prices have dates; None: those that hold at last.
    """
    months = DAYS_A_MONTH / _exact(days) if days is not None else Decimal(1)
    prices = {model: list_prices_at(policy, model, at) for model in tokens_by_model}
    traffic = _traffic(prices, tokens_by_model, cached_share, months)
    names = tuple(name for name in backends or policy.backends if policy.backends[name].capacity)
    machines = one_set(policy.backends[name].capacity for name in names) if names else None
    api = traffic.usd if traffic.unknown_share <= UNKNOWN_SHARE_MAX else None
    own, sets = None, None
    if machines is not None:
        if machines.tokens is not None:
            sets = steps_for(traffic.tokens, machines.tokens)
        own = (sets or 1) * machines.usd + traffic.tokens * machines.usd_per_token
    return Weighed(
        api_usd_per_month=api,
        own_usd_per_month=own,
        crossing_tokens_per_day=_crossing(traffic, machines) if machines and api else None,
        tokens_per_month=traffic.tokens,
        backends=names,
        sets=sets,
        unknown=traffic.unknown,
        unknown_share=traffic.unknown_share,
    )


def _traffic(
    prices_of: Mapping[str, tuple[Price, ...]],
    tokens_by_model: Mapping[str, tuple[float, float]],
    cached_share: Mapping[str, float],
    months: Decimal,
) -> _Traffic:
    known = unknown = usd = _NOTHING
    names = []
    for model, (prompt, answer) in sorted(tokens_by_model.items()):
        tokens_in, tokens_out = _exact(prompt) * months, _exact(answer) * months
        prices = prices_of[model]
        if prices:
            cached = tokens_in * _exact(cached_share.get(model, 0.0))
            known += tokens_in + tokens_out
            usd += min(api_usd(tokens_in, tokens_out, cached, price) for price in prices)
        elif tokens_in or tokens_out:
            names.append(model)
            unknown += tokens_in + tokens_out
    share = unknown / (known + unknown) if unknown else _NOTHING
    return _Traffic(known, usd, tuple(names), share)


def one_set(capacities: Iterable[Capacity | None]) -> MachineSet:
    """Add up machines; what they process is shared by what they can.

    An elastic one of which nobody knows what it can do counts as busy all month.
    """
    usd, elastic = _NOTHING, _NOTHING
    tokens: Decimal | None = _NOTHING
    for one in filter(None, capacities):
        usd += one.hidden_usd_per_month
        # Whole tokens: 50M a day, held as a rate a second, must have room for 50M a day.
        can = (_exact(one.tokens_per_s or 0.0) * SECONDS_A_MONTH).to_integral_value()
        tokens = tokens + can if tokens is not None and can else None
        if one.elastic:
            elastic += one.usd_per_month
        else:
            usd += one.usd_per_month
    if tokens is None:
        return MachineSet(usd + elastic, _NOTHING, None)
    return MachineSet(usd, elastic / tokens, tokens)


def _crossing(traffic: _Traffic, machines: MachineSet) -> Decimal | None:
    """The least volume of this mix at which both cost the same, per day.

    More sets cost as much per token as one: where one does not pay even when it is full, none does.
    """
    if not traffic.tokens:
        return None
    tokens = level_tokens(
        usd_fixed=_NOTHING,
        usd_per_step=machines.usd,
        tokens_per_step=machines.tokens,
        usd_saved_per_token=traffic.usd / traffic.tokens - machines.usd_per_token,
    )
    return None if tokens is None else tokens / DAYS_A_MONTH


def _api_text(weighed: Weighed) -> str:
    tokens, api = weighed.tokens_per_month, weighed.api_usd_per_month
    if api is None:
        return "what hosted APIs would cost is not known"
    price = f" at {api / tokens * MTOK:.4f} per 1M" if tokens else ""
    return f"hosted APIs {api:,.2f} USD a month for {tokens / MTOK:,.1f}M tokens{price}"


def _own_text(weighed: Weighed) -> str:
    own, sets = weighed.own_usd_per_month, weighed.sets
    if own is None:
        return "no backend has a capacity"
    times = f"{sets} x " if sets is not None and sets > 1 else ""
    room = "" if sets is not None else ", if that is enough"
    return f"own machines {own:,.2f} USD ({times}{' and '.join(weighed.backends)}{room})"


def _verdict_texts(weighed: Weighed) -> Iterator[str]:
    crossing, ratio = weighed.crossing_tokens_per_day, weighed.ratio
    if ratio is not None and isfinite(ratio):
        yield f"the APIs cost {ratio:,.2f} times as much"
    if crossing is not None:
        yield f"equal at {crossing / MTOK:,.1f}M tokens a day"
    elif ratio:
        yield "own machines never cost less, not even full"
    if weighed.unknown:
        share = f"{weighed.unknown_share * 100:.1f} % of the tokens"
        yield f"left out, for want of a price: {', '.join(weighed.unknown)} ({share})"


def _exact(number: float) -> Decimal:
    """The number as it is written, not as it is held."""
    return Decimal(str(number))
