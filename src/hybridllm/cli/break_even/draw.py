"""An answer as a person reads it: the verdict first, then every sum, so that it can be done again by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import typer

from hybridllm.cli.output import headline, note, paragraph, usd, usd_per_mtok
from hybridllm.cli.tables import Table, show
from hybridllm.economics import Choice, End

if TYPE_CHECKING:
    from hybridllm.economics import Answer, ApiPart, Bar, Crossing, Range

_CHOICES = {
    Choice.API: "Stay with the API",
    Choice.OWN: "Self-host",
    Choice.OWN_WITH_OVERFLOW: "Self-host, with the API as overflow",
    Choice.NOT_KNOWN: "Not decided: no machines are named",
}
_BAR_WIDTH = 32
_MONTHS_SHOWN = 6


def draw(answer: Answer) -> None:
    """Print an answer."""
    paragraph(typer.style(verdict(answer), bold=True))
    _traffic(answer)
    _api(answer)
    if answer.own_usd is not None:
        _own(answer)
        _crossing(answer)
        _tornado(answer)
        _ahead(answer)
    headline("What follows")
    paragraph(answer.decision.reason)
    for caveat in answer.decision.caveats:
        paragraph(f"- {caveat}")
    if answer.scenario.notes:
        headline("To be known")
        for text in answer.scenario.notes:
            paragraph(f"- {text}")


def verdict(answer: Answer) -> str:
    """Return the answer in one line."""
    api, own = answer.api_usd, answer.own_usd
    choice = _CHOICES[answer.decision.choice]
    if own is None:
        return (
            f"{choice}. The API costs {_ends(api)} a month ({usd(answer.api_usd_per_day)} a day)."
        )
    sure = "at every end of the ranges" if answer.sure else "and the ranges overlap"
    sides = sorted(
        ((own, "own machines", "Own machines cost"), (api, "the API", "The API costs")),
        key=lambda side: side[0].likely,
    )
    (cheap, cheaper, _), (dear, _, dearer) = sides
    times = f"{dear.likely / cheap.likely:,.1f} times" if cheap.likely else "against"
    return f"{choice}. {dearer} {_ends(dear)} a month, {times} what {cheaper} cost: {_ends(cheap)}, {sure}."


def _traffic(answer: Answer) -> None:
    scenario = answer.scenario
    tokens, days = scenario.tokens_per_day.likely, scenario.days_per_month
    note(
        f"{scenario.name}: {_tokens(tokens)} tokens a day, {_tokens(tokens * days)} in a month of "
        f"{days.normalize():f} days"
    )


def _api(answer: Answer) -> None:
    headline("At the API")
    made = Table("model", "tokens a month", "prompts", "cached", "per 1M", "a month", "price",
                 right=("tokens a month", "prompts", "cached", "per 1M", "a month"))  # fmt: skip
    shares = {part.model: part for part in (*answer.scenario.traffic, *answer.scenario.also)}

    def row(part: ApiPart, before: str = "") -> None:
        mix = shares[part.model]
        made.add_row(
            f"{before}{part.model}",
            _tokens(part.tokens_per_month),
            _percent(mix.input_share.likely),
            _percent(mix.cached_share.likely),
            usd_per_mtok(_rounded(part.usd_per_mtok)),
            usd(part.usd_per_month),
            part.price_id,
        )

    for part in answer.parts:
        row(part)
    for part in answer.also:
        row(part, "instead: ")
    show(made)
    typer.echo(f"a month {_ends(answer.api_usd)}; a day {usd(answer.api_usd_per_day)}")


def _own(answer: Answer) -> None:
    machines, own = answer.scenario.machines, answer.own_usd
    if machines is None or own is None:
        return
    headline(f"On own machines: {machines.gpus}, {machines.purchase.value}")
    can = machines.tokens_per_day
    told = "one is taken to be enough"
    if can is not None:
        use = _percent(machines.utilisation.likely)
        told = f"one can process {_tokens(can.likely)} tokens a day, of which {use} can be used"
    sets = f"{answer.sets_per_region} + {machines.spare_sets} spare"
    note(f"sets per region: {sets}; regions: {machines.regions}; {told}")
    made = Table(
        "a month",
        "times",
        "each",
        "low",
        "likely",
        "high",
        right=("times", "each", "low", "likely", "high"),
    )
    for term in answer.own_terms:
        one, each = term.usd_per_month, usd(term.usd_per_unit.likely)
        made.add_row(term.name, str(term.units), each, usd(one.low), usd(one.likely), usd(one.high))
    together = [sum(one.usd_per_month.at(end) for one in answer.own_terms) for end in End]
    made.add_row("together", "", "", *(usd(Decimal(total)) for total in together))
    show(made)
    if together != [own.low, own.likely, own.high]:
        ends = f"{usd(own.low)} to {usd(own.high)}"
        note(f"with as many sets as volume, capacity and use need at their ends: {ends}")


def _crossing(answer: Answer) -> None:
    found = answer.crossings
    if found is None:
        return
    headline("Where they cross")
    made = Table("tokens a day", "level at", "for good from", right=("level at", "for good from"))
    for name, one in (
        ("best for own machines", found.low),
        ("likely", found.likely),
        ("worst for own machines", found.high),
    ):
        made.add_row(name, _level(one.first), _level(one.for_good))
    show(made)
    now = answer.scenario.tokens_per_day.likely
    paragraph(f"now: {_tokens(now)}. {_confidence(answer, found.low, found.high)}")


def _confidence(answer: Answer, low: Crossing, high: Crossing) -> str:
    now = answer.scenario.tokens_per_day.likely
    if low.first is None or now < low.first:
        return "The API costs less, whatever the ranges turn out to be."
    if high.for_good is not None and now >= high.for_good:
        return "Own machines cost less, whatever the ranges turn out to be."
    return "Which side costs less depends on where in their ranges the figures are."


def _tornado(answer: Answer) -> None:
    found = answer.crossings
    bars = [bar for bar in answer.tornado if bar.at_low is not None or bar.at_high is not None]
    if found is None or not bars:
        return
    headline("What moves the crossing")
    ends = [
        end
        for bar in bars
        for end in (bar.at_low, bar.at_high, found.likely.first)
        if end is not None
    ]
    least, most = min(ends), max(ends)
    made = Table("input", "from", "to", "level at", "", "and", right=("from", "to", "level at"))
    for bar in bars:
        first, last = bar.given.low, bar.given.high
        made.add_row(
            f"{bar.name}{' *' if bar.assumed else ''}",
            _figure(first),
            _figure(last),
            _level(bar.at_low),
            _drawn(bar, found.likely.first, least, most),
            _level(bar.at_high),
        )
    show(made)
    if any(bar.assumed for bar in bars):
        note("* no range was given: a fifth below and above, to see what it would do")


def _drawn(bar: Bar, likely: Decimal | None, least: Decimal, most: Decimal) -> str:
    """One bar; what never crosses reaches to the right end."""

    def place(value: Decimal | None) -> int:
        if value is None:
            return _BAR_WIDTH
        return int((value - least) / (most - least) * (_BAR_WIDTH - 1)) if most > least else 0

    first, last = sorted((place(bar.at_low), place(bar.at_high)))
    cells = ["█" if first <= cell <= last else " " for cell in range(_BAR_WIDTH)]
    if likely is not None:
        cells[place(likely)] = "│"
    return "".join(cells) + (">" if bar.at_low is None or bar.at_high is None else " ")


def _ahead(answer: Answer) -> None:
    ahead, scenario = answer.ahead, answer.scenario
    count = len(ahead.months)
    if len({(month.api_usd, month.own_usd) for month in ahead.months}) == 1:
        headline(f"{count} months: nothing grows and no price falls, so each is as the first")
        if ahead.own_usd is not None:
            typer.echo(f"the API {_ends(ahead.api_usd)}; own machines {_ends(ahead.own_usd)}")
        return
    headline(f"{count} months: the volume grows by {_percent(scenario.growth_per_month.likely)} a month, "
             f"the API's price falls by {_percent(scenario.price_decline_per_month.likely)}")  # fmt: skip
    made = Table(
        "month",
        "tokens a day",
        "API",
        "own machines",
        right=("tokens a day", "API", "own machines"),
    )
    shown = sorted(
        {0, count - 1, *(count * part // _MONTHS_SHOWN - 1 for part in range(1, _MONTHS_SHOWN))}
    )
    for place in shown:
        if place >= 0:
            month = ahead.months[place]
            own = month.own_usd.likely if month.own_usd is not None else None
            made.add_row(
                str(month.number),
                _tokens(month.tokens_per_day),
                usd(month.api_usd.likely),
                usd(own),
            )
    if ahead.own_usd is not None:
        made.add_row("all", "", usd(ahead.api_usd.likely), usd(ahead.own_usd.likely))
        made.add_row("low", "", usd(ahead.api_usd.low), usd(ahead.own_usd.low))
        made.add_row("high", "", usd(ahead.api_usd.high), usd(ahead.own_usd.high))
    show(made)


def _ends(amount: Range) -> str:
    if amount.exact:
        return usd(amount.likely)
    return f"{usd(amount.likely)} ({usd(amount.low)} to {usd(amount.high)})"


def _tokens(count: Decimal) -> str:
    if count < 1_000_000:
        return f"{count:,.0f}"
    text = f"{count / 1_000_000:,.3f}"
    return f"{text.rstrip('0').rstrip('.')}M"


def _level(tokens: Decimal | None) -> str:
    return "never" if tokens is None else _tokens(tokens)


def _rounded(price: Decimal) -> Decimal:
    return price.quantize(Decimal("0.000001"))


def _percent(share: Decimal) -> str:
    text = f"{share * 100:.2f}".rstrip("0").rstrip(".")
    return f"{text} %"


def _figure(value: Decimal) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.4f}".rstrip("0").rstrip(".")
