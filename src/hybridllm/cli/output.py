"""How the command line prints: consoles, tables, figures and JSON.

Owns rounding: money is exact everywhere else and is rounded here, for the eye only. `rich` is loaded
when something is printed with it, so that `--json` and `--help` do not wait for it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from hybridllm import Receipt

# A pipe has no width: a table there is as wide as it needs to be, so that `grep` and `cut` work.
_PIPE_WIDTH = 400
# Columns whose cells may go on in the next line. Names are kept whole as long as there is room.
_PROSE = frozenset({"why", "because", "when", "use, in order", "capabilities", "base URL"})


def console(stream: TextIO | None = None, *, width: int | None = None) -> Console:
    """Return a console on `stream` (standard output) that prints text as it is: no markup, no emoji."""
    from rich.console import Console

    target = stream or sys.stdout
    if width is None and not target.isatty():
        width = _PIPE_WIDTH
    return Console(
        file=target, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False
    )


def headline(out: Console, text: str) -> None:
    """Print the title of what comes below it."""
    out.print()
    out.print(text, style="bold")


def table(*columns: str, right: Iterable[str] = (), figure_width: int | None = None) -> Table:
    """Return an empty table without borders.

    Args:
        columns: Their headings.
        right: Headings of those that hold figures; they are aligned to the right.
        figure_width: Least width of those, so that a table that is drawn again stands still.
    """
    from rich.table import Table

    made = Table(
        header_style="dim",
        box=None,
        padding=(0, 2, 0, 0),
        show_edge=False,
        pad_edge=False,
    )
    numbers = frozenset(right)
    for name in columns:
        if name in numbers:
            made.add_column(name, justify="right", min_width=figure_width, no_wrap=True)
        else:
            made.add_column(name, overflow="fold", no_wrap=name not in _PROSE)
    return made


def note(out: Console, text: str) -> None:
    """Print a line that matters less."""
    out.print(text, style="dim")


def print_json(value: Any) -> None:
    """Print one JSON object on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def error_line(message: str) -> None:
    """Print one message for people on standard error."""
    import typer

    typer.echo(typer.style("error: ", fg="red", bold=True) + message, err=True)


def receipt_lines(receipt: Receipt) -> None:
    """Print a receipt for people on standard error, below the answer."""
    import typer

    typer.echo("", err=True)
    typer.echo(typer.style(str(receipt), dim=True), err=True)


def usd(amount: Decimal | None) -> str:
    """Show an amount of money: cents from a dollar on, three significant digits below."""
    if amount is None:
        return "unknown"
    if not amount:
        return "$0"
    if abs(amount) >= 1:
        return f"${amount:,.2f}"
    return f"${_plain(amount, amount.adjusted() - 2)}"


def usd_per_mtok(price: Decimal | None) -> str:
    """Show a price per 1,000,000 tokens, exact, with two decimals at least."""
    if price is None:
        return "unknown"
    exponent = price.normalize().as_tuple().exponent
    return _plain(price, min(-2, exponent if isinstance(exponent, int) else -2))


def seconds(duration_s: float | None) -> str:
    """Show a duration: milliseconds below one second."""
    if duration_s is None:
        return "-"
    return f"{duration_s * 1_000:.0f} ms" if duration_s < 1 else f"{duration_s:.2f} s"


def price_columns(price_in: Decimal | None, price_out: Decimal | None) -> tuple[str, str]:
    """Show prices of prompt and answer per 1,000,000 tokens; zero for both is what a policy calls free."""
    if price_in is not None and price_out is not None and not price_in and not price_out:
        return ("free", "free")
    return (usd_per_mtok(price_in), usd_per_mtok(price_out))


def tokens(count: int | None) -> str:
    """Show a count of tokens the way a policy file writes it: `128K`."""
    if count is None:
        return "-"
    return f"{count // 1024}K" if count and count % 1024 == 0 else f"{count:,}"


def plural(count: int, word: str) -> str:
    """Show how many there are of something: `1 stream`, `2 streams`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def percent(part: float, whole: float) -> str:
    """Show a share; one decimal below 100 %, and never 100 % for less than all."""
    if not whole:
        return "-"
    share = 100 * part / whole
    return (
        "100 %"
        if part == whole
        else f"{min(share, 99.99):.2f} %"
        if share > 99
        else f"{share:.1f} %"
    )


def _plain(amount: Decimal, exponent: int) -> str:
    """Round to 10**exponent and write without an `E`."""
    return f"{amount.quantize(Decimal(1).scaleb(exponent)):f}"
